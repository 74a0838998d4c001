"""What can go wrong at the one door to a model.

ModelError
├── AttemptFailed      this attempt failed; a run records it and goes on
│   ├── EndpointError    the endpoint answered with an error, after every retry
│   ├── EndpointTimeout  no whole answer in time
│   └── UnparsedAnswer   something came back that is not an answer, or an empty one
└── PlatformFailed     no attempt can succeed; a run stops with this one line
    ├── BadKey           the endpoint does not accept the key
    ├── Unreachable      nothing answers at the address
    ├── MissingPackage   the extra that this kind of target needs is not installed
    └── UnknownModel     the name is of no known kind, or its file is not there

Names say the condition, as STYLE.md's do; hence `noqa: N818` (no Error suffix).
"""


class ModelError(Exception):
    """A model cannot be used."""


class AttemptFailed(ModelError):
    """One attempt failed."""


class EndpointError(AttemptFailed):
    """The endpoint answered with an error.

    Attributes:
        status: its HTTP status, None where it has none.
        lost: attempts, of all that were made, whose answer was lost on its way and may have been charged.
        ours: the message without the endpoint's own words, which may quote what the model said.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        ours: str | None = None,
        lost: int = 0,
    ) -> None:
        super().__init__(message)
        self.lost = lost
        self.ours = message if ours is None else ours
        self.status = status
        self.retryable = retryable


class EndpointTimeout(AttemptFailed):
    """No whole answer in time."""


class UnparsedAnswer(AttemptFailed):
    """What came back is not an answer, or an empty one."""


class PlatformFailed(ModelError):
    """No attempt can succeed."""


class BadKey(PlatformFailed):
    """The endpoint does not accept the key, or its owner's credit is spent, or the key may not be sent there."""


class Unreachable(PlatformFailed):
    """Nothing answers at the address."""


class MissingPackage(PlatformFailed):
    """The extra that this kind of target needs is not installed."""


class UnknownModel(PlatformFailed):
    """The name is of no known kind, or its file is not there."""
