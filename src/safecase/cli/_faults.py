"""Which declared error ends a command with which code."""

from safecase.assess import CaseExists, LabelError, NothingToRead, NotSupported
from safecase.cli._common import BAD_INPUT, FAILED, NOT_SUPPORTED
from safecase.compose import ComposeError
from safecase.declare import DeclareError
from safecase.evidence import DiskFull, EvidenceError, KeyTrouble, RosterBroken
from safecase.exchange import ExchangeError
from safecase.mark import MarkError
from safecase.measure import JudgeNotIndependent
from safecase.models import ModelError, UnknownModel
from safecase.redteam import NotKept, RedteamError
from safecase.report import ReportError
from safecase.run import NothingPlanned, RunError, UnheldBudget
from safecase.safeguard import SafeguardError

_INPUT = (
    JudgeNotIndependent,
    CaseExists,
    ComposeError,
    DeclareError,
    ExchangeError,
    KeyTrouble,
    LabelError,
    MarkError,
    NothingPlanned,
    NothingToRead,
    RedteamError,
    RosterBroken,
    SafeguardError,
    UnheldBudget,
    UnknownModel,
)
_PLATFORM = (DiskFull, EvidenceError, ModelError, NotKept, ReportError, RunError)


def classify(fault: Exception) -> int | None:
    """Exit code for an error, None for one that no room declares (a bug)."""
    if isinstance(fault, NotSupported):
        return NOT_SUPPORTED
    if isinstance(fault, _INPUT):
        return BAD_INPUT
    if isinstance(fault, _PLATFORM):
        return FAILED
    return None
