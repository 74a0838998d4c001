"""Open a target by its name."""

from safecase.models._errors import UnknownModel
from safecase.models._values import Model

KINDS = ("llama-cpp", "openai", "inspect")


def open_model(name: str) -> Model:
    """Open a target.

    Args:
        name: `llama-cpp/<file-or-name>`, `openai/<model>@<base-url>` or `inspect/<any Inspect model name>`.

    Raises:
        UnknownModel: the name is of no known kind, or its file is not there.
        MissingPackage: the extra it needs is not installed.
    """
    kind, _, rest = name.partition("/")
    if kind == "llama-cpp" and rest:
        from safecase.models._llama import LlamaModel

        return LlamaModel(rest)
    if kind == "openai" and rest:
        from safecase.models._openai import OpenAIModel

        return OpenAIModel(rest)
    if kind == "inspect" and rest:
        from safecase.models._inspect import InspectModel

        return InspectModel(rest)
    raise UnknownModel(
        f"unknown model {name!r}; name it llama-cpp/<file-or-name>, openai/<model>@<base-url> or inspect/<name>"
    )
