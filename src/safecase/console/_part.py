"""A part of a page: what it shows, or why it cannot be shown. A half-written case still has its other parts."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from safecase.assess import ArgumentError, LabelError, NothingToRead, NotSupported
from safecase.console._errors import ConsoleError
from safecase.declare import DeclareError
from safecase.evidence import EvidenceError
from safecase.monitor import MonitorError
from safecase.registry import RegistryError
from safecase.respond import RespondError

_LOG = logging.getLogger("safecase.console")
_SAID = (
    ArgumentError,
    ConsoleError,
    DeclareError,
    EvidenceError,
    LabelError,
    MonitorError,
    NothingToRead,
    NotSupported,
    RegistryError,
    RespondError,
)
"""Errors whose message tells people what to do."""

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[ValueT]):
    """A value to show, or the trouble in its place; exactly one of them."""

    value: ValueT | None = None
    trouble: str = ""


def attempt(make: Callable[[], ValueT]) -> Part[ValueT]:
    """Make a part. Whatever goes wrong is shown where the part would stand, and never passed over."""
    try:
        return Part(value=make())
    except _SAID as fault:
        return Part(trouble=str(fault))
    except OSError as fault:
        return Part(trouble=f"{fault.filename or 'a file'}: {fault.strerror or fault}")
    except Exception as fault:  # noqa: BLE001 - the part becomes a record of it; the other parts stand
        _LOG.exception("a part of a page could not be made")
        return Part(trouble=f"a file of the case cannot be read ({type(fault).__name__}); the server's log says where")
