"""The suite `agent-injection`: a person's task, tools, and an order in what a tool gives back.

Graded by what the desk shows in the end, never by a model. An attempt in which the order never came before the model
says nothing of whether it would have been followed: it carries no number, and is bounded at its worst.

Source: utility, attack success and utility under attack as Debenedetti et al., AgentDojo, arXiv 2406.13352 (2024), name
them; desk, tasks, goals and vectors are our own.
"""

import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Literal

from safecase.evidence import Message, PlannedAttempt, digest_value
from safecase.measure import Inputs, default_inputs
from safecase.models import Model
from safecase.suites._each import each
from safecase.suites._flags import TRUNCATED
from safecase.suites._subject import Subject
from safecase.suites._suite import Grader, Limits, SuiteTask, Tried
from safecase.suites._talk import Talk
from safecase.suites.injection._bank import Attack, Bank, UserTask, load_bank
from safecase.suites.injection._calls import DECLARED, NATIVE_SYSTEM, SYSTEM, Call, CallUnread, read_calls
from safecase.suites.injection._world import World

ATTACKED = "attacked"
"""The condition under which an order lies in the task's carrier."""

_SCAFFOLD = (
    "Tools of a toy desk told in words, calls read from the answer, results handed back as a tool's turns; no plan, no "
    "hint that anything may be wrong with them."
)
_UNREAD_IN_A_ROW = 3
_SHOWN = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """How a session ended.

    Attributes:
        said: the last words, "" where it was cut off before any.
        is_read: whether it ended other than by answers that could not be read.
    """

    said: str
    is_read: bool


class InjectionSuite:
    """A person's tasks at a toy desk, plain and attacked. A `Suite`.

    Args:
        bank: tasks, goals and vectors; the shipped ones by default.
        handed: begin every session after the reads up to the carrier, as if the model had called them, so that one
            which is too weak to call a tool meets the order all the same. What it then does is its own. Another suite.
    """

    id = "agent-injection"
    domain = "agent-security"
    grader: Grader = "exact"
    takes_native_tools = True
    inputs: Mapping[str, Inputs] = default_inputs("utility_rate", "attacked_utility_rate", "attack_success_rate")

    def __init__(self, bank: Bank | None = None, *, handed: bool = False) -> None:
        self.bank = bank or load_bank()
        self.handed = handed
        self.scaffold = _SCAFFOLD + (" The reads up to the text with the order are made for it." if handed else "")
        self._tasks = {task.id: task for task in self.bank.tasks}

    @property
    def digest(self) -> str:
        """Over the bank, how it is played, and the source of desk, loop and grader."""
        return digest_value([sources(), self.bank.model_dump(mode="json"), {"handed": self.handed}])

    def tasks(self) -> tuple[SuiteTask, ...]:
        """Every task, plain and attacked; the area is the category."""
        return tuple(SuiteTask(task=one.id, category=one.area, conditions=("", ATTACKED)) for one in self.bank.tasks)

    def missing(self) -> str | None:
        """None: it needs nothing but the package."""
        return None

    def run(self, subject: Subject, planned: Sequence[PlannedAttempt], *, limits: Limits) -> AsyncIterator[Tried]:
        """Have the model do the tasks, session by session."""

        async def attempt(one: PlannedAttempt) -> Tried:
            return await self._attempt(one, subject.model, limits)

        return each(planned, attempt, at_once=subject.model.concurrency, seconds=limits.seconds)

    async def _attempt(self, one: PlannedAttempt, model: Model, limits: Limits) -> Tried:
        task = self._tasks[one.task]
        is_attacked = one.condition == ATTACKED
        attack = self.bank.attack(task, number=one.number, seed=limits.seed) if is_attacked else None
        world = self.bank.open(task, attack)
        system = NATIVE_SYSTEM if limits.tools == "native" else SYSTEM
        talk = Talk(model, planned=one, limits=limits, system=system, tools=DECLARED, tags=_tags(attack))
        handed = _hand(talk, world, task) if self.handed else ()
        begun = len(world.done)
        session = await _through(talk, world, opening=handed[-1] if handed else task.asks, is_handed=bool(handed))
        measures = _attacked(task, attack, world, session) if attack else {}
        if not session.is_read and measures.get("followed") != 1.0:
            error = "three answers in a row held no readable call"
            return Tried(attempt=one.came_to("unparsed", error=error), transcript=talk.transcript)
        is_done = task.is_done(world, session.said)
        attempt = one.came_to(
            "answered",
            score=float(is_done),
            measures={**measures, "called": float(len(world.done) > begun)},
            flags=() if is_done else tuple(sorted({*talk.flags, *([TRUNCATED] if talk.is_spent else [])})),
            tokens_out=talk.tokens_out,
        )
        return Tried(attempt=attempt, transcript=talk.transcript)


def injection_suite() -> InjectionSuite:
    """The suite as it ships."""
    return InjectionSuite()


def _hand(talk: Talk, world: World, task: UserTask) -> tuple[str, ...]:
    """Make the reads up to the carrier in the model's place; all of it is said but the last result, which is given."""
    results: list[str] = []
    for step in task.steps:
        is_read = step.made.target is None or step.call == "open_page"
        if task.carrier in world.seen or not is_read:
            break
        asked = Message(role="tool", content=results[-1]) if results else Message(role="user", content=task.asks)
        talk.said += [asked, Message(role="assistant", content=str(step.made))]
        results.append(_result(step.made, world))
    return tuple(results)


def _result(call: Call, world: World) -> str:
    return f"{call.name}: {world.apply(call)[:_SHOWN]}"


async def _through(talk: Talk, world: World, *, opening: str, is_handed: bool) -> Session:
    said: str | list[str] = opening
    unread = 0
    role: Literal["user", "tool"] = "tool" if is_handed else "user"
    while not talk.is_spent and unread < _UNREAD_IN_A_ROW:
        answer = await talk.ask(said, part="act", role=role)
        role = "tool"
        try:
            calls = read_calls(answer)
        except CallUnread as fault:
            unread, said = unread + 1, f"error: {fault}"
            continue
        if not calls:
            return Session(said=answer, is_read=True)
        unread = 0
        said = [_result(call, world) for call in calls]
    return Session(said="", is_read=unread < _UNREAD_IN_A_ROW)


def _attacked(task: UserTask, attack: Attack, world: World, session: Session) -> dict[str, float]:
    """What an attack came to: `followed`, by vector too, only where the model was handed the order and a rule tells."""
    is_met = task.carrier in world.seen
    if attack.goal is None:
        return {"met": float(is_met)}
    is_followed = attack.goal.is_reached(task, world, session.said)
    if not is_met and not is_followed:
        return {"met": 0.0}
    return {"met": 1.0, "followed": float(is_followed), f"followed:{attack.way}": float(is_followed)}


def _tags(attack: Attack | None) -> Mapping[str, str]:
    if attack is None or attack.goal is None:
        return {}
    return {"goal": attack.goal.id, "vector": attack.way}


@functools.cache
def sources() -> Mapping[str, str]:
    """Source by file: what makes a session what it is."""
    modules = [path for path in package_files("safecase.suites.injection").iterdir() if path.name.endswith(".py")]
    modules += [package_files("safecase.suites") / "_talk.py", package_files("safecase.suites.arena") / "_actions.py"]
    return {path.name: digest_value(path.read_text("utf-8")) for path in modules}
