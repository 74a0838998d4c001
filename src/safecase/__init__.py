"""safecase runs a frontier-AI safety framework end to end.

Each package is a room with one verb: `declare`, `compose`, `run`, `measure`, `decide`, `report`; the nouns
(`evidence`, `models`, `detect`, `safeguard`, `exchange`, `testing`) carry them. `docs/architecture.md` is the map.

`safecase.assess(...)` does all of it in one call; `await safecase.assess_async(...)` is the same inside an event loop.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safecase.assess import assess_async
    from safecase.assess import assess_now as assess

__all__ = ["__version__", "assess", "assess_async"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the rooms when the first of the calls is asked for, so that `import safecase` stays quick."""
    if name not in {"assess", "assess_async"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    room = import_module("safecase.assess")
    return room if name == "assess" else room.assess_async


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
