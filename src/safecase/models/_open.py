"""Open a target by its name."""

from safecase.models._errors import UnknownModel
from safecase.models._options import Options
from safecase.models._values import Model


def open_model(name: str, *, options: Options | None = None) -> Model:
    """Open a target. It reaches for nothing yet: weights load and connections open with the first request.

    Args:
        name: `llama-cpp/<file-or-name>`, `openai/<model>@<base-url>` or `inspect/<any Inspect model name>`.
        options: how it is run or called.

    Raises:
        UnknownModel: the name is of no known kind, or its file is not there.
        MissingPackage: the extra it needs is not installed.
    """
    options = options or Options()
    kind, _, rest = name.partition("/")
    if kind == "llama-cpp" and rest:
        from safecase.models._llama import LlamaModel

        return LlamaModel(rest, options=options.local)
    if kind == "openai" and rest:
        from safecase.models._openai import OpenAIModel

        return OpenAIModel(rest, options=options.endpoint)
    if kind == "inspect" and rest:
        from safecase.models._inspect import InspectModel

        return InspectModel(rest)
    raise UnknownModel(
        f"unknown model {name!r}; name it llama-cpp/<file-or-name>, openai/<model>@<base-url> or inspect/<name>"
    )
