"""Which declared error ends a command with which code.

Errors are known by room and name, so that saying what is wrong with an argument does not first load every room.
"""

from safecase.cli._common import BAD_INPUT, FAILED, NOT_SUPPORTED, NOT_VERIFIED

_CODES: dict[int, dict[str, tuple[str, ...]]] = {
    BAD_INPUT: {
        "assess": (
            "ArgumentError",
            "CaseExists",
            "LabelError",
            "NothingToRead",
            "ReviewError",
            "UnknownSuite",
            "UpliftError",
        ),
        "compose": ("ComposeError",),
        "console": ("ConsoleError",),
        "declare": ("DeclareError",),
        "evidence": ("KeyTrouble", "RosterBroken"),
        "exchange": ("ExchangeError",),
        "mark": ("MarkError",),
        "measure": ("JudgeNotIndependent",),
        "models": ("UnknownModel",),
        "monitor": ("MonitorError",),
        "redteam": ("RedteamError",),
        "registry": ("RegistryError",),
        "respond": ("RespondError",),
        "run": ("NothingPlanned", "UnheldBudget"),
        "safeguard": ("SafeguardError",),
        "serve": ("ServeError",),
        "suites": ("SuiteMissing", "UnreadableScore"),
        "web": ("WebError",),
    },
    FAILED: {
        "detect": ("CorruptWeights",),
        "evidence": ("DiskFull", "EvidenceError"),
        "models": ("ModelError",),
        "monitor": ("AlertTrouble", "SourceTrouble"),  # those that another time may mend
        "redteam": ("NotKept",),
        "registry": ("RegistryBroken", "RegistryUnavailable"),
        "report": ("ReportError",),
        "run": ("RunError",),
    },
    NOT_SUPPORTED: {"assess": ("NotSupported",), "serve": ("NotPermitted",)},
}
CODES = {(room, name): code for code, rooms in _CODES.items() for room, names in rooms.items() for name in names}
"""Exit code by room and name of an error; one that derives from it has the same unless it is listed itself."""


def classify(fault: Exception) -> int | None:
    """Exit code for an error, None for one that no room declares (a bug)."""
    for kind in type(fault).__mro__:
        package, _, rest = kind.__module__.partition(".")
        code = CODES.get((rest.partition(".")[0], kind.__name__)) if package == "safecase" else None
        if code is not None:
            return NOT_VERIFIED if getattr(fault, "is_tampering", False) else code
    return None
