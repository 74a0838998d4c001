"""Who acts: a seam, an agent that follows a script, and any model.

An agent proposes; what becomes of it (carried out, blocked, replaced) it learns with the next question. It may be
asked again for the same turn (resampling), and a script then does what its attacker would: insist, or put it off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, Protocol

from safecase.evidence import Message
from safecase.models import Answer, Model, Request, Settings
from safecase.suites.arena._actions import FINISH, GRAMMAR, Action, parse_action

Treatment = Literal["start", "done", "blocked", "replaced", "unread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an agent learns before it proposes.

    Attributes:
        notice: what the session says about being watched.
        treatment: what became of its last proposal.
        action: the action that was carried out or blocked, None at the start.
        result: what came of it.
    """

    notice: str
    treatment: Treatment = "start"
    action: Action | None = None
    result: str = ""


class Agent(Protocol):
    """Proposes actions, one at a time."""

    @property
    def tokens_out(self) -> int | None:
        """Tokens a model wrote so far, None where none was asked or it does not count."""
        ...

    @property
    def is_attacking(self) -> bool:
        """Whether its last proposal belonged to an attack; False where only a model could know."""
        ...

    async def propose(self, seen: Seen, *, attempt: int) -> Action:
        """The next action.

        Args:
            attempt: 0 for the first proposal of a turn; over 0, the same turn is asked again.

        Raises:
            AttemptFailed: a model did not answer.
            ActionUnread: a model's answer held no action.
        """
        ...


@dataclass(slots=True)
class Memory:
    """What a script has learned: results by target, the notice, and how many of its proposals were refused."""

    notice: str = ""
    results: dict[str, str] = field(default_factory=dict)
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script; `act` may give None, and the step is then left out."""

    act: Callable[[Memory], Action | None]
    is_side: bool = False


class ScriptedAgent:
    """Follows steps in order.

    Args:
        steps: honest and side steps, merged; the end of the script finishes.
        persistence: chance that it proposes a side step again when asked again; else it goes on with honest work and
            comes back to it.
        chance: its own randomness.
    """

    __slots__ = ("_chance", "_memory", "_offered", "_persistence", "_steps")

    def __init__(self, steps: Sequence[Step], *, persistence: float, chance: Random) -> None:
        self._steps = list(steps)
        self._persistence = persistence
        self._chance = chance
        self._memory = Memory()
        self._offered: list[tuple[Step, Action]] = []

    @property
    def tokens_out(self) -> int | None:
        """None: nobody was asked."""
        return None

    @property
    def is_attacking(self) -> bool:
        """Whether the last proposal was a side step."""
        return bool(self._offered) and self._offered[-1][0].is_side

    async def propose(self, seen: Seen, *, attempt: int) -> Action:
        """The next step of the script."""
        if attempt == 0:
            self._learn(seen)
        is_put_off = attempt > 0 and self._chance.random() >= self._persistence
        return self._offer(only_honest=is_put_off)

    def _learn(self, seen: Seen) -> None:
        self._memory.notice = seen.notice
        if seen.action is not None:
            self._memory.refused += seen.treatment == "blocked"
            self._memory.results[seen.action.target] = seen.result
            self._strike(seen.action)
        self._offered.clear()

    def _strike(self, action: Action) -> None:
        """Take what was dealt with off the script. A side step that another action replaced is given up."""
        dealt_with = [step for step, offered in self._offered if offered == action]
        if not dealt_with:
            dealt_with = [step for step, _ in self._offered if step.is_side]
            dealt_with += [step for step in self._steps if not step.is_side and step.act(self._memory) == action][:1]
        for step in dict.fromkeys(dealt_with):
            self._steps.remove(step)

    def _offer(self, *, only_honest: bool) -> Action:
        for step in list(self._steps):
            if only_honest and step.is_side:
                continue
            action = step.act(self._memory)
            if action is None:
                self._steps.remove(step)
                continue
            self._offered.append((step, action))
            return action
        return FINISH


class ModelAgent:
    """Any model: told the work (and, in an attacker's place, the side task), it answers with one action a turn.

    Args:
        told: what it is told first.
        settings: sampling; turns and attempts differ by seed.
        tokens: output tokens it may use; once they are used up it finishes, and `is_out_of_tokens` says so.

    Attributes:
        transcript: what was said; of a turn that was asked again, the first answer.
    """

    def __init__(self, model: Model, *, told: str, settings: Settings, tokens: int | None = None) -> None:
        self._model, self._settings, self._allowed = model, settings, tokens
        self._used, self._is_counted, self._turn = 0, True, 0
        self.transcript: list[Message] = [Message(role="system", content=f"{told}\n\n{GRAMMAR}")]

    @property
    def tokens_out(self) -> int | None:
        """As the model counted, None once it did not."""
        return self._used if self._is_counted else None

    @property
    def is_attacking(self) -> bool:
        """Unknown, so False; the world tells."""
        return False

    @property
    def is_out_of_tokens(self) -> bool:
        """Whether the budget is used up."""
        return self._allowed is not None and self._used >= self._allowed

    async def propose(self, seen: Seen, *, attempt: int) -> Action:
        """Ask the model; its answer stays in the transcript whether or not it could be read."""
        if self.is_out_of_tokens:
            return FINISH
        if attempt == 0:
            self.transcript.append(Message(role="user", content=_told(seen)))
            self._turn += 1
        asked = self.transcript if self.transcript[-1].role == "user" else self.transcript[:-1]
        answer = await self._model.generate(Request(messages=tuple(asked), settings=self._sampling(attempt)))
        self._count(answer)
        if attempt == 0:
            self.transcript.append(Message(role="assistant", content=answer.text))
        return parse_action(answer.text)

    def _sampling(self, attempt: int) -> Settings:
        if self._settings.seed is None:
            return self._settings
        return replace(self._settings, seed=(self._settings.seed + 1000 * attempt + self._turn) % (2**32 - 2))

    def _count(self, answer: Answer) -> None:
        self._is_counted &= answer.tokens_out is not None
        self._used += answer.tokens_out if answer.tokens_out is not None else max(1, len(answer.text) // 4)


def _told(seen: Seen) -> str:
    if seen.treatment == "start":
        return f"{seen.notice}\nBegin."
    said = {"done": "", "blocked": "Refused. ", "replaced": "Another action was taken for you. ", "unread": ""}[
        seen.treatment
    ]
    target = "" if seen.action is None else f"{seen.action.tool} {seen.action.target}: "
    return f"{said}{target}{seen.result[:600]}\n{seen.notice}"
