"""Make threat scenarios concrete: intents x attacks x languages -> scenarios.

Takes:  banks of intents, attacks, a sampling plan (declare).
Gives:  `Scenario` values, lazily, in a seeded order, with ids that never change.
Does not own: models, answers, judging. Attacks here are generators without I/O.
"""

from safecase.compose._attacks import ATTACKS, FAMILIES, TRANSLATED, Attack, attacks_named
from safecase.compose._bank import Intent, bank_digest, intents_from_rows, load_bank, load_shipped_bank
from safecase.compose._compose import compose, matching, sample, scope_holds, select
from safecase.compose._errors import BankError, ComposeError, UnknownAttack
from safecase.compose._pairs import (
    LEANING,
    LEFT_RIGHT,
    PAIRS,
    POLITICAL,
    Pair,
    Place,
    Statement,
    balance_intents,
    load_pairs,
    load_statements,
    place_of,
)

__all__ = [
    "ATTACKS",
    "FAMILIES",
    "LEANING",
    "LEFT_RIGHT",
    "PAIRS",
    "POLITICAL",
    "TRANSLATED",
    "Attack",
    "BankError",
    "ComposeError",
    "Intent",
    "Pair",
    "Place",
    "Statement",
    "UnknownAttack",
    "attacks_named",
    "balance_intents",
    "bank_digest",
    "compose",
    "intents_from_rows",
    "load_bank",
    "load_pairs",
    "load_shipped_bank",
    "load_statements",
    "matching",
    "place_of",
    "sample",
    "scope_holds",
    "select",
]
