"""A room's public face that loads each name's module when the name is first asked for.

Takes:  the name of a package that lists its face under `if TYPE_CHECKING:`.
Gives:  what Python calls for a name that the package does not hold yet.
Does not own: what a face lists.

A command needs a few names of most rooms, and loading the rest of each took it a second and a half. The one list serves
type checkers, the import contract, readers and this: `from safecase.measure import gather` loads `_measure.py`, and
nothing that only other names need.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any


def lazy_face(face: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package (PEP 562), made from its own imports under `if TYPE_CHECKING:`.

    >>> load, listed = lazy_face("safecase.measure")
    >>> load("clopper_pearson").__module__
    'safecase.measure._bounds'
    >>> "gather" in listed()
    True
    """

    @cache
    def homes() -> dict[str, tuple[str, str]]:
        return {name: (module, original) for name, module, original in _listed(face)}

    def load(name: str) -> Any:
        if name not in homes():
            raise AttributeError(f"module {face!r} has no attribute {name!r}", name=name, obj=sys.modules[face])
        module, original = homes()[name]
        value = getattr(import_module(module), original)
        setattr(sys.modules[face], name, value)  # asked once: afterwards it is an attribute like any other
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[face]), *homes()})

    return load, listed


def _listed(face: str) -> Iterator[tuple[str, str, str]]:
    """Name, module and name there of every import under `if TYPE_CHECKING:`."""
    spec = sys.modules[face].__spec__
    source = spec.loader.get_source(face) if spec and spec.loader else None  # type: ignore[attr-defined]  # a source file
    for block in ast.parse(source or "").body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    yield from ((alias.asname or alias.name, line.module, alias.name) for alias in line.names)
