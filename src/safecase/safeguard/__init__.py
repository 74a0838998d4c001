"""Protect at run time: a request or an answer is allowed, changed or withheld, and why.

Takes:  a stack file, guard weights, a model spec, exchanges.
Gives:  rulings, safe completions, and `Stack.answer`, the one path to a guarded model.
Does not own: judging (a judge shares no weights or rows with a guard), deciding, serving over HTTP.
"""

from safecase.safeguard._completion import safe_completion
from safecase.safeguard._errors import SafeguardError, StackError
from safecase.safeguard._layers import ChildAbuseScreen, HeadsLayer
from safecase.safeguard._stack import (
    GUARD_WEIGHTS,
    LayerConfig,
    Served,
    Stack,
    StackConfig,
    code_digest,
    empty_stack,
    load_stack,
)
from safecase.safeguard._values import Exchange, Ruling, Safeguard

__all__ = [
    "GUARD_WEIGHTS",
    "ChildAbuseScreen",
    "Exchange",
    "HeadsLayer",
    "LayerConfig",
    "Ruling",
    "Safeguard",
    "SafeguardError",
    "Served",
    "Stack",
    "StackConfig",
    "StackError",
    "code_digest",
    "empty_stack",
    "load_stack",
    "safe_completion",
]
