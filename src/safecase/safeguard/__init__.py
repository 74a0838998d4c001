"""Protect at run time: a request or an answer is allowed, changed or withheld, and why.

Takes:  a stack file, guard weights, a model spec, exchanges.
Gives:  rulings, safe completions, and `Stack.answer`, the one path to a guarded model.
Does not own: judging (a judge shares no weights or rows with a guard), deciding, serving over HTTP.
"""

from safecase.safeguard._ablation import LayerWorth, layer_worth
from safecase.safeguard._accounts import AccountLayer
from safecase.safeguard._asked import GuardModel, PrincipleJudge
from safecase.safeguard._completion import safe_completion
from safecase.safeguard._errors import GoldenFailed, SafeguardError, StackError
from safecase.safeguard._injection import InjectionLayer
from safecase.safeguard._layers import ChildAbuseScreen, HeadsLayer
from safecase.safeguard._load import GUARD_WEIGHTS, LayerConfig, StackConfig, code_digest, load_stack
from safecase.safeguard._personal import PersonalDataLayer
from safecase.safeguard._stack import REPLACED, Checked, Golden, Post, Served, Stack, Withheld, as_observed, empty_stack
from safecase.safeguard._stream import ChunkGuard, Piece, StreamGuard
from safecase.safeguard._terms import TermsLayer
from safecase.safeguard._values import Exchange, Part, Ruling, Safeguard
from safecase.safeguard._wire import exchange_of, reply_of

__all__ = [
    "GUARD_WEIGHTS",
    "REPLACED",
    "AccountLayer",
    "Checked",
    "ChildAbuseScreen",
    "ChunkGuard",
    "Exchange",
    "Golden",
    "GoldenFailed",
    "GuardModel",
    "HeadsLayer",
    "InjectionLayer",
    "LayerConfig",
    "LayerWorth",
    "Part",
    "PersonalDataLayer",
    "Piece",
    "Post",
    "PrincipleJudge",
    "Ruling",
    "Safeguard",
    "SafeguardError",
    "Served",
    "Stack",
    "StackConfig",
    "StackError",
    "StreamGuard",
    "TermsLayer",
    "Withheld",
    "as_observed",
    "code_digest",
    "empty_stack",
    "exchange_of",
    "layer_worth",
    "load_stack",
    "reply_of",
    "safe_completion",
]
