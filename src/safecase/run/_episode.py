"""One episode: an adaptive attack driven through a stack, attempt by attempt, into trials.

Every turn passes through `Stack.answer` with the whole conversation, and the attack sees what a user would have seen.

What ends an episode: the attack (its own signal, or its last attempt), or something that did not come. The latter
leaves a trial with its status and no answer, so that an attempt which never happened counts as missing, never as held.
"""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from safecase.compose import Attack, Consult, Goal, NoAttacker, Play, Start, Turn, known_attacks
from safecase.detect import apparent_child_abuse
from safecase.evidence import HAZARDOUS_DOMAINS, Message, Status, digest_bytes, why_unruled
from safecase.models import Answer, AttemptFailed, Model, Request, Settings
from safecase.run._plan import PlannedTrial
from safecase.run._ports import Sealer
from safecase.run._trial import Attempted, Try, error_of, make_trial, status_of, tags_of
from safecase.safeguard import Served, Stack

_ADVICE_TOKENS = 160
_BROKE = "the attack broke: it"
_STEPS_PER_ATTEMPT = 8
"""Turns and consultations an attack may take for each attempt, before it counts as broken."""


async def run_episode(
    planned: PlannedTrial,
    *,
    model: Model,
    attacker: Model | None,
    stack: Stack,
    settings: Settings,
    vault: Sealer | None,
    attacks: Mapping[str, Attack] | None = None,
    on_attacker_tokens: Callable[[int], None] = lambda _: None,
) -> tuple[Attempted, ...]:
    """Play an adaptive attack against one arm.

    Args:
        attacker: the model that an attack may consult; None where none of the plan's attacks does.
        attacks: by name; those that ship by default.
        on_attacker_tokens: told the tokens of each consultation, which no trial carries.

    Returns:
        At least one, attempts 0, 1, ... in order. Only the last can lack an answer. They are kept together or not at
        all: the answer of attempt 0 says that the episode was run.

    Raises:
        NoAttacker: the attack needs an attacker model and there is none.
        PlatformFailed: no attempt can succeed, at the target or at the attacker.
    """
    attack = (known_attacks() if attacks is None else attacks)[planned.scenario.attack]
    if attack.needs_attacker and attacker is None:
        raise NoAttacker(attack.name)
    episode = _Episode(
        planned=planned,
        model=model,
        attacker=attacker,
        stack=stack,
        settings=settings,
        vault=vault,
        on_attacker_tokens=on_attacker_tokens,
    )
    await episode.run(attack)
    return tuple(episode.attempts)


@dataclass
class _Episode:
    """An episode as it goes.

    Attributes:
        answers: the model's, since the last attempt that was kept.
        consulted: how often the attacker model was asked.
        last: the conversation said last.
    """

    planned: PlannedTrial
    model: Model
    attacker: Model | None
    stack: Stack
    settings: Settings
    vault: Sealer | None
    on_attacker_tokens: Callable[[int], None]
    attempts: list[Attempted] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    consulted: int = 0
    last: tuple[Message, ...] = ()

    async def run(self, attack: Attack) -> None:
        scenario = self.planned.scenario
        assert attack.play is not None, f"{attack.name} is not adaptive"  # noqa: S101 - the engine asked
        goal = Goal(
            text=scenario.intent_text,
            domain=scenario.domain,
            category=scenario.category,
            opening=scenario.messages,
            attempts=scenario.attempts,
        )
        self.last = scenario.messages
        if (play := self.begin(attack.play, goal)) is None:
            return
        reply: str | None = None
        try:
            for _ in range(_STEPS_PER_ATTEMPT * (scenario.attempts + 1)):
                if (step := self.step(play, reply)) is None:
                    return
                reply = await (self.say(step) if isinstance(step, Turn) else self.consult(step))
                if reply is None or len(self.attempts) == scenario.attempts:
                    return
            self.fail("error", f"{_BROKE} takes too many turns for its attempts")
        finally:
            with suppress(Exception):  # what an attack does at its end changes nothing any more
                play.close()

    def begin(self, start: Start, goal: Goal) -> Play | None:
        """The play; None when the attack breaks at once."""
        try:
            return start(goal, random.Random(self.planned.scenario.scenario_id))  # noqa: S311 - wordings only
        except Exception as fault:  # noqa: BLE001 - an attack that breaks is a failed attempt, not a failed run
            self.fail("error", f"{_BROKE} raises {type(fault).__name__}")
        return None

    def step(self, play: Play, reply: str | None) -> Turn | Consult | None:
        """What the attack wants next; None when it is at its end."""
        try:
            step = next(play) if reply is None else play.send(reply)
        except StopIteration:
            if not self.attempts:
                self.fail("error", f"{_BROKE} ended without an attempt")
            return None
        except Exception as fault:  # noqa: BLE001 - as above
            self.fail("error", f"{_BROKE} raises {type(fault).__name__}")
            return None
        if not isinstance(step, Turn | Consult) or not step.messages or step.messages[-1].role != "user":
            self.fail("error", f"{_BROKE} asks for something that is no turn of a user")
            return None
        return step

    async def say(self, turn: Turn) -> str | None:
        """What the user would have seen; None when nothing came, or nothing that may go on."""
        self.last = turn.messages
        started = time.perf_counter()
        try:
            served = await self.stack.answer(
                self.model,
                Request(messages=turn.messages, settings=self.settings, trace=self.planned.trial_id, tags=self.tags()),
            )
        except AttemptFailed as fault:
            seconds = time.perf_counter() - started
            said = error_of(fault, domain=self.planned.scenario.domain)
            self.fail(status_of(fault), said, seconds=seconds)
            return None
        seconds = time.perf_counter() - started
        if served.answer is not None:
            seconds -= served.answer.queued_s
            self.answers.append(served.answer)
        is_over = why_unruled(served.rulings) is not None or apparent_child_abuse(served.text)
        if turn.is_attempt or is_over:
            self.add(served, status="answered", error=None, seconds=seconds)
        return None if is_over else served.text

    async def consult(self, step: Consult) -> str | None:
        """What the attacker model advises; None when it failed."""
        if self.attacker is None:
            self.fail("error", f"{_BROKE} asks an attacker model and does not say that it needs one")
            return None
        self.consulted += 1
        seed = int(digest_bytes(f"{self.planned.trial_id}/{self.consulted}".encode())[:7], 16)
        request = Request(
            messages=step.messages,
            settings=Settings(max_tokens=_ADVICE_TOKENS, temperature=0.8, seed=seed),
            trace=self.planned.trial_id,
            tags={**self.tags(), "role": "attacker"},
        )
        started = time.perf_counter()
        try:
            advice = await self.attacker.generate(request)
        except AttemptFailed as fault:
            said = error_of(fault, domain=self.planned.scenario.domain)
            self.fail(status_of(fault), f"attacker model: {said}", seconds=time.perf_counter() - started)
            return None
        self.on_attacker_tokens((advice.tokens_in or 0) + (advice.tokens_out or 0))
        return "" if apparent_child_abuse(advice.text) else advice.text

    def fail(self, status: Status, error: str, *, seconds: float = 0.0) -> None:
        """Keep a trial that says what did not come."""
        self.add(None, status=status, error=error, seconds=seconds)

    def add(self, served: Served | None, *, status: Status, error: str | None, seconds: float) -> None:
        """Keep the next trial; it answers for the tokens since the last one."""
        answers, self.answers = self.answers, []
        tried = Try(
            number=len(self.attempts),
            messages=self.keepable(),
            tokens_in=_sum([answer.tokens_in for answer in answers]),
            tokens_out=_sum([answer.tokens_out for answer in answers]),
            cached=bool(answers) and all(answer.cached for answer in answers),
        )
        self.attempts.append(
            make_trial(self.planned, served, status=status, error=error, seconds=seconds, vault=self.vault, tried=tried)
        )

    def keepable(self) -> tuple[Message, ...]:
        """What was said last. In hazardous domains, of wordings that are not ours: the request, and a digest.

        An attacker model's are not, nor those of a plug-in, which may quote an answer.
        """
        scenario = self.planned.scenario
        if scenario.domain not in HAZARDOUS_DOMAINS or (not self.consulted and scenario.attack in known_attacks()):
            return self.last
        return tuple(
            replace(said, content=f"{scenario.intent_text}\n[wording not kept, sha256 {_digest(said)}]")
            if said.role != "assistant" and said not in scenario.messages
            else said
            for said in self.last
        )

    def tags(self) -> dict[str, str]:
        return {**tags_of(self.planned), "attempt": str(len(self.attempts))}


def _digest(said: Message) -> str:
    return digest_bytes(said.content.encode("utf-8", "surrogatepass"))


def _sum(counts: list[int | None]) -> int | None:
    """Tokens of several calls; None when no call was made or one of them was not counted."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
