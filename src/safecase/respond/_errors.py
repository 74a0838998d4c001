"""What can go wrong at the desk.

RespondError
├── Refused         a sender asked for what they may not have; the server answers with its status and code
├── NotAllowed      a person may not do or read this
├── WrongStep       a record does not stand where this step begins
├── BadWord         a value that nothing of the case or the packs knows
└── CannotListen    the address is taken, or not this machine's
"""


class RespondError(Exception):
    """The desk cannot do what was asked."""


class NotAllowed(RespondError):
    """A person may not do or read this."""


class WrongStep(RespondError):
    """A record does not stand where this step begins."""


class BadWord(RespondError):
    """A value that nothing of the case or the packs knows."""


class CannotListen(RespondError):
    """The server cannot have the address it was given."""


class Refused(RespondError):
    """A sender's request that is turned down.

    Attributes:
        status: HTTP status.
        code: kebab-case, stable, for programs.
        retry_after_s: when the same request may succeed; None where waiting does not help.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
