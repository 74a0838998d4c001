"""How an attack plays when it needs the answer: a generator that asks for turns and is sent what came back.

The attack does no I/O. It yields what it wants said, and whoever drives it (the campaign engine) sends back the text:

    reply = yield Turn(messages=..., is_attempt=True)      # what the user would have seen
    advice = yield Consult(messages=...)                   # what the attacker model said

A generator that returns ends the episode. A turn that is an *attempt* becomes a trial and is judged; the others only
prepare one. The signal by which an attack stops is its own: the judge that scores it is never asked.

A play never repeats an answer in a user turn, because prompts are kept in plain text and hazardous answers are not.
`safecase.testing.check_attack` holds every play against these rules.
"""

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass

from safecase.evidence import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Say this to the target. `messages` is the whole conversation, its last turn the user's."""

    messages: tuple[Message, ...]
    is_attempt: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Consult:
    """Ask the attacker model, whose answer only the attack sees."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a play is after.

    Attributes:
        text: the request, as the bank has it.
        opening: what is said first, as the scenario names it; its last turn is the user's.
        attempts: most attempts that the episode may make, at least 1.
    """

    text: str
    domain: str
    category: str
    opening: tuple[Message, ...]
    attempts: int


Play = Generator[Turn | Consult, str, None]

Start = Callable[[Goal, random.Random], Play]
"""(goal, seeded generator) -> a play. The same goal, generator and answers give the same play."""
