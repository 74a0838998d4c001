"""Load packs: the shipped ones by id, others by path."""

from functools import lru_cache
from pathlib import Path

from safecase.declare._check import check
from safecase.declare._errors import PackError, UnknownName
from safecase.declare._framework import Context, Framework
from safecase.declare._yaml import Document, read_text

_PACKS = Path(__file__).parent / "packs"


def shipped_packs() -> tuple[str, ...]:
    """Ids of the packs that come with safecase, sorted."""
    return tuple(sorted(path.stem for path in _PACKS.glob("*.yaml")))


def pack_path(name: str, *, beside: Path | None = None) -> Path:
    """Where a pack lies.

    Args:
        name: id of a shipped pack, or a path, relative to `beside` when that is given.

    Raises:
        UnknownName: neither.
    """
    if name in shipped_packs():
        return _PACKS / f"{name}.yaml"
    path = (beside or Path()) / name
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    raise UnknownName(
        f"unknown framework {name!r}; give a path to a .yaml pack, or one of {', '.join(shipped_packs())}"
    )


def load_framework(name: str, *, beside: Path | None = None) -> Framework:
    """Load and check a pack.

    Raises:
        UnknownName: there is no such pack.
        PackError: the pack has faults, each with file and line.

    >>> load_framework("scaling-v2").id
    'scaling-v2'
    """
    path = pack_path(name, beside=beside)
    return _checked(path, read_text(path))


@lru_cache(maxsize=16)  # a console or a gateway opens its case time and again; a changed file has another text
def _checked(path: Path, text: str) -> Framework:
    document = Document.of(text, path=path)
    framework = document.parse(Framework)
    if problems := check(framework, document):
        raise PackError(problems)
    return framework


def resolve_context(framework: Framework, context_id: str) -> Context:
    """The context of that id.

    Raises:
        UnknownName: the framework declares no such context.
    """
    known = {context.id: context for context in framework.contexts}
    if context_id not in known:
        raise UnknownName(
            f"unknown context {context_id!r} under framework {framework.id!r}; use one of {', '.join(known)}"
        )
    return known[context_id]
