"""The name of an endpoint, taken apart."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from yarl import URL

from safecase.models._errors import UnknownModel
from safecase.models._keys import find_key

_EXAMPLE = "openai/qwen@http://127.0.0.1:8000/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model is asked.

    Attributes:
        model: as the endpoint knows it.
        base_url: up to and with `/v1`, as a rule.
        key: of its host, None where there is none.
    """

    model: str
    base_url: str
    key: str | None = field(default=None, repr=False)


def find_endpoint(name: str, *, keys_file: Path | None = None) -> Endpoint:
    """The endpoint of a target `openai/<model>@<base-url>`, with the key of its host.

    Raises:
        UnknownModel: the name is not of that form.
        BadKey: there is a key, and it cannot be sent.

    >>> find_endpoint("openai/qwen@http://127.0.0.1:8000/v1").model
    'qwen'
    """
    kind, _, target = name.partition("/")
    if kind != "openai":
        raise UnknownModel(f"{printable(name)!r} names no endpoint; write it as {_EXAMPLE}")
    model, base = parse_target(target)
    return Endpoint(model=model, base_url=str(base), key=find_key(base, keys_file=keys_file))


def parse_target(target: str) -> tuple[str, URL]:
    """Model and base URL. What does not parse is not repeated: it may hold a password."""
    match = re.fullmatch(r"(?P<model>.+?)@(?P<base>https?://.+)", target, re.DOTALL)
    if match is None:
        raise UnknownModel(f"openai/{printable(target.partition('@')[0])}…: no base URL; write it as {_EXAMPLE}")
    name = f"openai/{printable(match['model'])}@…"
    try:
        base = URL(match["base"])
    except ValueError:
        raise UnknownModel(f"{name}: the base URL does not parse; write it as {_EXAMPLE}") from None
    if base.user is not None or base.password is not None:
        raise UnknownModel(f"{name}: a base URL holds no user or password; set the key of the host instead")
    if not base.host or base.query_string or base.fragment:
        raise UnknownModel(f"{name}: a base URL has a host, and no query or fragment; write it as {_EXAMPLE}")
    return match["model"], base


def printable(text: str) -> str:
    """At most 200 characters on one line, without control characters: it is shown on a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 200 else f"{line[:199]}…"
