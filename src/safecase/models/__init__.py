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
from safecase.models._fingerprint import PROBES, fingerprint
from safecase.models._level import Level, Paced
from safecase.models._open import open_model
from safecase.models._options import EndpointOptions, LocalOptions, Options
from safecase.models._values import Answer, Delta, Model, Request, Settings

__all__ = [
    "PROBES",
    "Answer",
    "AttemptFailed",
    "BadKey",
    "Delta",
    "EndpointError",
    "EndpointOptions",
    "EndpointTimeout",
    "Level",
    "LocalOptions",
    "MissingPackage",
    "Model",
    "ModelError",
    "Options",
    "Paced",
    "PlatformFailed",
    "Request",
    "Settings",
    "UnknownModel",
    "UnparsedAnswer",
    "Unreachable",
    "fingerprint",
    "open_model",
]
