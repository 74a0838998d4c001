"""The one door to a model.

Takes:  a target's name, requests.
Gives:  answers, or one of a few named failures; the identity a target can prove.
Does not own: safeguards, retries of a whole run, what an answer means.
"""

from safecase.models._errors import (
    AttemptFailed,
    BadKey,
    EndpointError,
    EndpointTimeout,
    MissingPackage,
    ModelError,
    PlatformFailed,
    UnknownModel,
    UnparsedAnswer,
    Unreachable,
)
from safecase.models._open import open_model
from safecase.models._values import Answer, Delta, Model, Request, Settings

__all__ = [
    "Answer",
    "AttemptFailed",
    "BadKey",
    "Delta",
    "EndpointError",
    "EndpointTimeout",
    "MissingPackage",
    "Model",
    "ModelError",
    "PlatformFailed",
    "Request",
    "Settings",
    "UnknownModel",
    "UnparsedAnswer",
    "Unreachable",
    "open_model",
]
