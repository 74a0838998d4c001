"""What can go wrong in a campaign.

RedteamError
├── NotDeclared    there is no `redteam.yaml`, or it names what the case does not have
├── KeysRefused    keys cannot be issued, written or revoked as asked
├── NoSuchFinding  a finding is named that the campaign does not hold, or that was reviewed already
├── AlreadyOpen    another server holds this campaign
├── CannotListen   the address is taken, or not this machine's
└── Refused        a participant asked for what they may not have; the server answers with its status and code
"""


class RedteamError(Exception):
    """A campaign cannot go on as asked."""


class NotDeclared(RedteamError):
    """There is no campaign to run; the message says what to declare."""


class KeysRefused(RedteamError):
    """Keys cannot be issued, written or revoked as asked."""


class NoSuchFinding(RedteamError):
    """No finding of that id waits for a review."""


class AlreadyOpen(RedteamError):
    """Another server holds this campaign; two would give every participant twice the limits."""


class CannotListen(RedteamError):
    """The server cannot have the address it was given."""


class Refused(RedteamError):
    """A participant's request that is turned down.

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
