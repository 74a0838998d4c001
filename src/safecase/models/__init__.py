"""The one door to a model.

Takes:  a target's name, requests.
Gives:  answers, or one of a few named failures; the identity a target can prove.
Does not own: safeguards, retries of a whole run, what an answer means.
"""

from typing import TYPE_CHECKING

from safecase._face import lazy_face

if TYPE_CHECKING:
    from safecase.models._calls import Tool, call_text, wire_turns
    from safecase.models._endpoint import Endpoint, find_endpoint
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
    from safecase.models._inspect import InspectModel
    from safecase.models._keys import must_be_reachable
    from safecase.models._level import Level, Paced
    from safecase.models._llama_server import ask_server, find_weights, load_server, sampling_fields, token_bias
    from safecase.models._loop import is_loop_running, run_to_end, told_to_stop
    from safecase.models._open import open_model
    from safecase.models._options import EndpointOptions, LocalOptions, Options
    from safecase.models._values import Answer, Delta, LeavesOut, Model, Request, Settings
else:
    __getattr__, __dir__ = lazy_face(__name__)

__all__ = [
    "PROBES",
    "Answer",
    "AttemptFailed",
    "BadKey",
    "Delta",
    "Endpoint",
    "EndpointError",
    "EndpointOptions",
    "EndpointTimeout",
    "InspectModel",
    "LeavesOut",
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
    "Tool",
    "UnknownModel",
    "UnparsedAnswer",
    "Unreachable",
    "ask_server",
    "call_text",
    "find_endpoint",
    "find_weights",
    "fingerprint",
    "is_loop_running",
    "load_server",
    "must_be_reachable",
    "open_model",
    "run_to_end",
    "sampling_fields",
    "token_bias",
    "told_to_stop",
    "wire_turns",
]
