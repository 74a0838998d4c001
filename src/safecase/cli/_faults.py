"""Which declared error ends a command with which code."""

import sys

from safecase.assess import (
    ArgumentError,
    CaseExists,
    LabelError,
    NothingToRead,
    NotSupported,
    ReviewError,
    UnknownSuite,
    UpliftError,
)
from safecase.cli._common import BAD_INPUT, FAILED, NOT_SUPPORTED, NOT_VERIFIED
from safecase.compose import ComposeError
from safecase.declare import DeclareError
from safecase.detect import CorruptWeights
from safecase.evidence import DiskFull, EvidenceError, KeyTrouble, RosterBroken
from safecase.exchange import ExchangeError
from safecase.mark import MarkError
from safecase.measure import JudgeNotIndependent
from safecase.models import ModelError, UnknownModel
from safecase.monitor import AlertTrouble, MonitorError, SourceTrouble
from safecase.redteam import NotKept, RedteamError
from safecase.report import ReportError
from safecase.run import NothingPlanned, RunError, UnheldBudget
from safecase.safeguard import SafeguardError
from safecase.serve import NotPermitted, ServeError
from safecase.suites import SuiteMissing, UnreadableScore
from safecase.web import WebError

_INPUT = (
    ArgumentError,
    JudgeNotIndependent,
    CaseExists,
    ComposeError,
    DeclareError,
    ExchangeError,
    KeyTrouble,
    LabelError,
    MarkError,
    MonitorError,
    NothingPlanned,
    NothingToRead,
    RedteamError,
    ReviewError,
    RosterBroken,
    SafeguardError,
    SuiteMissing,
    ServeError,
    UnheldBudget,
    UnknownModel,
    UnknownSuite,
    UnreadableScore,
    UpliftError,
    WebError,
)
_PLATFORM = (CorruptWeights, DiskFull, EvidenceError, ModelError, NotKept, ReportError, RunError)


def classify(fault: Exception) -> int | None:
    """Exit code for an error, None for one that no room declares (a bug)."""
    if isinstance(fault, NotSupported):
        return NOT_SUPPORTED
    if isinstance(fault, (AlertTrouble, SourceTrouble)):  # of the errors of a monitor, those that another time may mend
        return FAILED
    if isinstance(fault, NotPermitted):
        return NOT_VERIFIED if fault.is_tampering else NOT_SUPPORTED
    if isinstance(fault, _INPUT):
        return BAD_INPUT
    if isinstance(fault, _PLATFORM):
        return FAILED
    return _of_the_desk(fault)


def _of_the_desk(fault: Exception) -> int | None:
    """The same for rooms that an extra brings: a fault of theirs can only come from a room that is loaded."""
    registry, respond = sys.modules.get("safecase.registry"), sys.modules.get("safecase.respond")
    if registry is not None and isinstance(fault, registry.RegistryUnavailable | registry.RegistryBroken):
        return FAILED
    if registry is not None and isinstance(fault, registry.RegistryError):
        return BAD_INPUT
    if respond is not None and isinstance(fault, respond.RespondError):
        return BAD_INPUT
    console = sys.modules.get("safecase.console")
    return BAD_INPUT if console is not None and isinstance(fault, console.ConsoleError) else None
