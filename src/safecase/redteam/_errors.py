"""What can go wrong in a campaign.

RedteamError
├── NotDeclared    there is no `redteam.yaml`, or it names what the case does not have
├── KeysRefused    keys cannot be issued, written or revoked as asked
├── NoSuchFinding  a finding is named that the campaign does not hold, or that was reviewed already
└── AlreadyOpen    another server holds this campaign

What the server turns down, and an address it cannot have, are `web`'s `Refused` and `CannotListen`.
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
