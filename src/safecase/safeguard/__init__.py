"""Protect at run time: a request or an answer is allowed, changed or withheld, and why.

Takes:  a stack file, guard weights, a model spec, exchanges.
Gives:  rulings, safe completions, and `Stack.answer`, the one path to a guarded model.
Does not own: judging (a judge shares no weights or rows with a guard), deciding, serving over HTTP.
"""

from typing import TYPE_CHECKING

from safecase._face import lazy_face

if TYPE_CHECKING:
    from safecase.safeguard._ablation import Change, LayerWorth, Pattern, RulingTable, layer_worth
    from safecase.safeguard._access import Audience, Pass
    from safecase.safeguard._accounts import AccountLayer, Counts, LocalCounts
    from safecase.safeguard._asked import GuardModel, PrincipleJudge
    from safecase.safeguard._build import GUARD_WEIGHTS
    from safecase.safeguard._cards import (
        CARDS,
        Cards,
        Latency,
        LayerCard,
        Rate,
        SetFigures,
        is_current,
        layer_code_digest,
        load_cards,
    )
    from safecase.safeguard._code_layer import AS_SHIPPED, CodeLayer
    from safecase.safeguard._code_rules import CodeScanner, code_scanner
    from safecase.safeguard._completion import safe_completion
    from safecase.safeguard._config import LayerConfig, StackConfig, stack_schema
    from safecase.safeguard._errors import GoldenFailed, SafeguardError, StackError
    from safecase.safeguard._formats import GuardFormat, Reading
    from safecase.safeguard._injection import InjectionLayer
    from safecase.safeguard._layers import ChildAbuseScreen, HeadsLayer
    from safecase.safeguard._load import SHIPPED_STACKS, code_digest, counting_in, load_stack
    from safecase.safeguard._meaning import MEANING_WEIGHTS, MeaningLayer, load_meaning
    from safecase.safeguard._personal import PersonalDataLayer
    from safecase.safeguard._presidio import PresidioFinder, presidio_finder
    from safecase.safeguard._stack import (
        REPLACED,
        Checked,
        Golden,
        Post,
        Served,
        Stack,
        Withheld,
        as_observed,
        empty_stack,
    )
    from safecase.safeguard._stream import ChunkGuard, Piece, StreamGuard
    from safecase.safeguard._terms import TermsLayer
    from safecase.safeguard._topics import Topic, TopicsLayer
    from safecase.safeguard._values import Exchange, Ground, Part, Ruling, Safeguard
    from safecase.safeguard._wire import exchange_of, reply_of
else:
    __getattr__, __dir__ = lazy_face(__name__)

__all__ = [
    "AS_SHIPPED",
    "CARDS",
    "GUARD_WEIGHTS",
    "MEANING_WEIGHTS",
    "REPLACED",
    "SHIPPED_STACKS",
    "AccountLayer",
    "Audience",
    "Cards",
    "Change",
    "Checked",
    "ChildAbuseScreen",
    "ChunkGuard",
    "CodeLayer",
    "CodeScanner",
    "Counts",
    "Exchange",
    "Golden",
    "GoldenFailed",
    "Ground",
    "GuardFormat",
    "GuardModel",
    "HeadsLayer",
    "InjectionLayer",
    "Latency",
    "LayerCard",
    "LayerConfig",
    "LayerWorth",
    "LocalCounts",
    "MeaningLayer",
    "Part",
    "Pass",
    "Pattern",
    "PersonalDataLayer",
    "Piece",
    "Post",
    "PresidioFinder",
    "PrincipleJudge",
    "Rate",
    "Reading",
    "Ruling",
    "RulingTable",
    "Safeguard",
    "SafeguardError",
    "Served",
    "SetFigures",
    "Stack",
    "StackConfig",
    "StackError",
    "StreamGuard",
    "TermsLayer",
    "Topic",
    "TopicsLayer",
    "Withheld",
    "as_observed",
    "code_digest",
    "code_scanner",
    "counting_in",
    "empty_stack",
    "exchange_of",
    "is_current",
    "layer_code_digest",
    "layer_worth",
    "load_cards",
    "load_meaning",
    "load_stack",
    "presidio_finder",
    "reply_of",
    "safe_completion",
    "stack_schema",
]
