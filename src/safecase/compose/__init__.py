"""Make threat scenarios concrete: intents x attacks x languages -> scenarios.

Takes:  banks of intents, attacks, a sampling plan (declare).
Gives:  `Scenario` values, lazily, in a seeded order, with ids that never change.
Does not own: models, answers, judging. Attacks here are generators without I/O.
"""

from typing import TYPE_CHECKING

from safecase._face import lazy_face

if TYPE_CHECKING:
    from safecase.compose._attacks import ATTACKS, FAMILIES, TRANSLATED, Attack, learned_attacks
    from safecase.compose._bank import LEARNED, Intent, bank_digest, intents_from_rows, load_bank, load_shipped_bank
    from safecase.compose._catalogue import attacks_named, known_attacks
    from safecase.compose._compose import compose, matching, planned_attacks, sample, scenario_of, scope_holds, select
    from safecase.compose._errors import BankError, ComposeError, NoAttacker, UnknownAttack
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
    from safecase.compose._play import Consult, Goal, Play, Start, Turn
    from safecase.compose._plays import PLAYS
else:
    __getattr__, __dir__ = lazy_face(__name__)

__all__ = [
    "ATTACKS",
    "FAMILIES",
    "LEANING",
    "LEARNED",
    "LEFT_RIGHT",
    "PAIRS",
    "PLAYS",
    "POLITICAL",
    "TRANSLATED",
    "Attack",
    "BankError",
    "ComposeError",
    "Consult",
    "Goal",
    "Intent",
    "NoAttacker",
    "Pair",
    "Place",
    "Play",
    "Start",
    "Statement",
    "Turn",
    "UnknownAttack",
    "attacks_named",
    "balance_intents",
    "bank_digest",
    "compose",
    "intents_from_rows",
    "known_attacks",
    "learned_attacks",
    "load_bank",
    "load_pairs",
    "load_shipped_bank",
    "load_statements",
    "matching",
    "place_of",
    "planned_attacks",
    "sample",
    "scenario_of",
    "scope_holds",
    "select",
]
