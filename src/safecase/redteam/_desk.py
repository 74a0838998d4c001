"""The campaign while it is open: conversations, messages, findings. No HTTP here.

A participant picks a category and a way in, talks, and files what they found. Behind each conversation stands an arm
drawn by seed; nothing that a participant is told depends on which. Every answer, and every comment on one, is sealed
whatever the category, because a category is what somebody *says* they try: the chat shows what the arm answered, the
evidence keeps it under the hazard key.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from safecase.assess import Clock
from safecase.declare import Generation
from safecase.detect import apparent_child_abuse
from safecase.evidence import Message, Status, Trial, Vault, digest_bytes, digest_value, format_utc
from safecase.models import EndpointTimeout, Model, ModelError, Request, Settings, UnparsedAnswer
from safecase.redteam._allowance import Allowance
from safecase.redteam._campaign import Arm, Category, Declared, Limits, Vector
from safecase.redteam._events import AnyEvent, Consent, Filed, Opened, Referred, Said
from safecase.redteam._keys import KeyRecord
from safecase.redteam._recorder import NotKept, Recorder
from safecase.safeguard import Served, Stack
from safecase.web import Refused

_COMMENT_CHARACTERS = 4_000
_GOING_ON = 10
"""Conversations of one participant that can go on at once; beginning another ends the oldest."""
_CHARACTERS_PER_TOKEN = 4
NOT_SHOWN = "This answer is not shown and not kept: it appears to sexualise a minor. A person will be told."
_NEVER = (
    "this appears to sexualise a minor, which is never part of a campaign; it was not sent and not kept, "
    "and a person will be told"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a participant gets back. `index` counts the conversation's messages from 0."""

    index: int
    text: str


@dataclass(slots=True, kw_only=True)
class Talk:
    """A conversation. `shown` holds its turns in plain while it can go on; None once it has ended."""

    id: str
    participant: str
    team: str
    arm: Arm
    category: Category
    vector: Vector
    language: str
    shown: list[Message] | None = field(default_factory=list)
    trials: dict[int, str] = field(default_factory=dict)
    taken: int = 0
    is_busy: bool = False


class Busy(Refused):
    """More is asked at once than can wait; it does not count."""


class Gate:
    """Lets so many model calls through at once and so many wait, so long; whoever comes on top is turned away."""

    def __init__(self, *, at_once: int, waiting: int, patience_s: float = 30.0) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self._patience_s = patience_s
        self.inside = 0

    async def __aenter__(self) -> None:
        if self.inside >= self._most:
            raise _busy()
        self.inside += 1
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            self.inside -= 1
            raise _busy() from None
        except BaseException:
            self.inside -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self.inside -= 1
        self._free.release()


class Desk:
    """Where participants are served.

    Args:
        arms: stack by arm.
        vault: seals every answer.
        recorder: started by whoever starts the desk.
        history: events of the campaign so far; limits go on from there.
        now: the clock of evidence. monotonic: the clock of the pace, seconds.
    """

    def __init__(
        self,
        declared: Declared,
        *,
        model: Model,
        arms: Mapping[str, Stack],
        generation: Generation,
        vault: Vault,
        recorder: Recorder,
        gate: Gate,
        now: Clock,
        history: list[AnyEvent] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.declared = declared
        self._campaign = declared.campaign
        self._model, self._arms, self._vault = model, arms, vault
        self._settings = Settings(
            max_tokens=generation.max_tokens,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=generation.seed,
        )
        self._recorder, self._gate, self._now, self._monotonic = recorder, gate, now, monotonic
        self._use: dict[str, Allowance] = {}
        self._talks: dict[str, Talk] = {}
        self._going: dict[str, deque[Talk]] = {}
        self._consented: set[tuple[str, str]] = set()
        for event in history or []:
            self._recall(event)

    def me(self, who: KeyRecord) -> dict[str, Any]:
        """What a participant is told about themselves."""
        return {
            "participant": who.participant,
            "team": who.team,
            "left": self._allowance(who.participant).left(),
            "has_consented": (who.participant, self._campaign.consent_digest) in self._consented,
            "is_open": self._campaign.is_open(self._now()),
        }

    def scope(self, who: KeyRecord) -> dict[str, Any]:
        """The campaign as this participant may see it."""
        campaign = self._campaign
        return {
            "campaign": campaign.id,
            "title": campaign.title,
            "rules": campaign.scope.rules,
            "consent": campaign.consent,
            "consent_digest": campaign.consent_digest,
            "categories": [{"id": one.id, "domain": one.domain} for one in self._visible(who).values()],
            "vectors": [{"id": one.id, "title": one.title} for one in campaign.vectors],
            "languages": list(campaign.languages),
            "limits": campaign.limits.model_dump(),
            "opens": format_utc(campaign.opens),
            "closes": format_utc(campaign.closes),
        }

    def start(self, who: KeyRecord, *, category: str, vector: str, language: str, consent: str) -> Talk:
        """Begin a conversation.

        Raises:
            Refused: closed, no consent to these very texts, out of scope, or none left.
        """
        self._must_be_open()
        if consent != self._campaign.consent_digest:
            text = "agree to the consent text first: send `consent_digest` of /v1/scope as `consent`"
            raise Refused(403, "no-consent", text)
        found = self._visible(who).get(category)
        if found is None:
            raise Refused(403, "out-of-scope", f"category {category!r:.80} is not in your scope; see /v1/scope")
        way = self._vector(vector)
        if language not in self._campaign.languages:
            known = ", ".join(self._campaign.languages)
            raise Refused(422, "unknown-language", f"language {language!r:.80} is not offered; use one of {known}")
        team = self._campaign.team(who.team)
        if team is None:
            raise Refused(403, "no-team", "your team is no longer part of this campaign")
        allowance = self._allowance(who.participant)
        allowance.take_conversation()
        ordinal = allowance.conversations - 1
        talk = Talk(
            id=secrets.token_hex(12),
            participant=who.participant,
            team=who.team,
            arm=self._campaign.draw_arm(team, who.participant, ordinal),
            category=found,
            vector=way,
            language=language,
        )
        self._talks[talk.id] = talk
        self._end_oldest(talk)
        said = self._said(who.participant)
        if (who.participant, consent) not in self._consented:
            self._consented.add((who.participant, consent))
            self._recorder.add(Consent(**said, consent_digest=consent))
        opened = Opened(
            **said,
            conversation=talk.id,
            team=talk.team,
            arm=talk.arm,
            ordinal=ordinal,
            category=found.id,
            domain=found.domain,
            vector=way.id,
            language=language,
            stack_digest=self._arms[talk.arm].digest,
        )
        self._recorder.add(opened)
        return talk

    async def send(self, who: KeyRecord, conversation: str, text: str) -> Reply:
        """Put a message to the arm behind a conversation; the trial is on disk within seconds.

        Raises:
            Refused: closed, not theirs, ended, busy, too long, too fast, nothing left, no answer, or nothing can be
                kept at the moment.
        """
        self._must_be_open()
        talk = self._talk(who, conversation)
        self._must_be_sendable(talk, text)
        reserve = len(text) // _CHARACTERS_PER_TOKEN + self._settings.max_tokens
        allowance = self._allowance(who.participant)
        # Before the gate: what waits there counts, or one participant could take every line.
        allowance.take_message(reserve=reserve, monotonic_s=self._monotonic())
        used = 0
        talk.is_busy = True
        try:
            self._must_be_allowed(talk, text)
            async with self._gate:
                reply, used = await self._asked(talk, text)
        except Busy:
            allowance.give_back()
            raise
        finally:
            allowance.settle(reserved=reserve, tokens=used)
            talk.is_busy = False
        if reply is None:
            raise Refused(502, "no-answer", "no answer came; the message counts, try another", retry_after_s=5.0)
        return reply

    async def file(
        self, who: KeyRecord, conversation: str, *, index: int | None, category: str, severity: int, vector: str,
        comment: str
    ) -> str:  # fmt: skip
        """Take a finding. It is on disk, with the whole conversation before it, when this returns its id.

        Args:
            index: the message whose answer shows it; the last one by default.

        Raises:
            Refused: not theirs, nothing said yet, out of scope, too long, none left, or it could not be kept.
        """
        talk = self._talk(who, conversation)
        place = max(talk.trials, default=None) if index is None else index
        trial = talk.trials.get(-1 if place is None else place)
        if place is None or trial is None:
            raise Refused(422, "no-such-message", "the conversation has no such answered message to point at")
        found = self._visible(who).get(category)
        if found is None:
            raise Refused(403, "out-of-scope", f"category {category!r:.80} is not in your scope; see /v1/scope")
        _must_be_text(comment, most=_COMMENT_CHARACTERS, what="comment", may_be_empty=True)
        way = self._vector(vector)
        self._must_be_keeping()
        self._allowance(who.participant).take_finding()
        finding = f"f-{secrets.token_hex(6)}"
        said, digest = self._said(who.participant), digest_bytes(comment.encode())
        is_abuse = apparent_child_abuse(comment)
        if is_abuse:
            self._recorder.add(Referred(**said, conversation=talk.id, where="comment", text_digest=digest))
        filed = Filed(
            **said,
            finding=finding,
            conversation=talk.id,
            index=place,
            trial=trial,
            category=found.id,
            domain=found.domain,
            severity=severity,
            vector=way.id,
            sealed=None if is_abuse else self._vault.seal(comment, finding).hex(),
            comment_digest=digest,
        )
        self._recorder.add(filed)
        try:
            await self._recorder.kept()
        except NotKept:
            self._allowance(who.participant).findings -= 1
            text = "the finding could not be kept and is not acknowledged; file it again soon"
            raise Refused(503, "not-keeping", text, retry_after_s=10.0) from None
        return finding

    async def _asked(self, talk: Talk, text: str) -> tuple[Reply | None, int]:
        """Ask the arm and record what came of it; the reply, None without one, and the tokens it is charged."""
        index, history = talk.taken, tuple(talk.shown or ())
        talk.taken += 1
        messages = (*history, Message(role="user", content=text))
        trial_id = digest_value([self._campaign.id, talk.id, index])[:24]
        request = Request(messages=messages, settings=self._settings, trace=trial_id)
        served: Served | None = None
        status: Status = "answered"
        fault: Exception | None = None
        started = time.perf_counter()
        try:
            served = await self._arms[talk.arm].answer(self._model, request)
        except EndpointTimeout as error:
            status, fault = "timeout", error
        except UnparsedAnswer as error:
            status, fault = "unparsed", error
        except ModelError as error:
            status, fault = "error", error
        except Exception as error:  # noqa: BLE001 - whatever breaks on this path withholds, and the record says so
            status, fault = "error", error
        seconds = time.perf_counter() - started
        is_abuse = served is not None and apparent_child_abuse(served.text)
        if is_abuse:
            status = "not-stored"
        turns = _turns(history, talk.trials)
        trial = self._trial(talk, index, trial_id, text, turns, served, status=status, fault=fault, seconds=seconds)
        said = self._said(talk.participant)
        shown = NOT_SHOWN if is_abuse else served.text if served is not None else None
        tokens = _charged(messages, shown)
        if is_abuse and served is not None:
            digest = digest_bytes(served.text.encode("utf-8", "surrogatepass"))
            self._recorder.add(Referred(**said, conversation=talk.id, where="answer", text_digest=digest))
        message = Said(**said, conversation=talk.id, index=index, trial=trial_id, status=status, tokens=tokens)
        self._recorder.add(message, trial=trial)
        if shown is None:
            return None, tokens
        if talk.shown is not None:  # it may have ended meanwhile
            talk.shown = [*messages, Message(role="assistant", content=shown)]
        talk.trials[index] = trial_id
        return Reply(index=index, text=shown), tokens

    def _trial(
        self,
        talk: Talk,
        index: int,
        trial_id: str,
        text: str,
        turns: tuple[Message, ...],
        served: Served | None,
        *,
        status: Status,
        fault: Exception | None,
        seconds: float,
    ) -> Trial:
        answer = served.answer if served else None
        plain = served.text if served else None
        return Trial(
            trial_id=trial_id,
            scenario_id=talk.id,
            intent_id=talk.participant,
            harmful=True,
            domain=talk.category.domain,
            category=talk.category.id,
            subcategory=talk.team,
            severity=talk.category.severity,
            bears_on=(talk.category.id,),
            language=talk.language,
            attack=talk.vector.id,
            family=talk.vector.family,
            arm=talk.arm,
            model=f"redteam/{self._campaign.id}/{self._model.name}",
            repetition=0,
            prompt=text,
            status=status,
            response=None,
            sealed=self._vault.seal(plain, trial_id) if plain is not None and status == "answered" else None,
            response_digest=digest_bytes(plain.encode("utf-8", "surrogatepass")) if plain is not None else None,
            withheld_by=served.withheld_by if served else None,
            rulings=served.rulings if served else (),
            finish_reason=answer.finish_reason if answer else None,
            tokens_in=answer.tokens_in if answer else None,
            tokens_out=answer.tokens_out if answer else None,
            latency_s=round(seconds, 6),
            error=_printable(fault) if fault else None,
            attempt=index,
            turns=turns,
            explanations=tuple(replace(one, reason=None) for one in served.explanations) if served else (),
        )

    def _end_oldest(self, latest: Talk) -> None:
        """Forget the turns of conversations that a participant left behind, or memory would grow with every one."""
        going = self._going.setdefault(latest.participant, deque())
        going.append(latest)
        if len(going) > _GOING_ON:
            going.popleft().shown = None

    def _must_be_open(self) -> None:
        at, campaign = self._now(), self._campaign
        if at < campaign.opens:
            wait = (campaign.opens - at).total_seconds()
            raise Refused(403, "not-open", f"the campaign opens at {format_utc(campaign.opens)}", retry_after_s=wait)
        if at >= campaign.closes:
            raise Refused(403, "closed", f"the campaign closed at {format_utc(campaign.closes)}")
        self._must_be_keeping()

    def _must_be_keeping(self) -> None:
        if self._recorder.fault is not None:
            text = "nothing can be kept at the moment, so nothing is asked; try again soon"
            raise Refused(503, "not-keeping", text, retry_after_s=10.0)

    def _must_be_sendable(self, talk: Talk, text: str) -> None:
        limits: Limits = self._campaign.limits
        if talk.shown is None:
            text = "this conversation has ended; begin another (its answers can still be reported)"
            raise Refused(410, "ended", text)
        if talk.is_busy:
            raise Refused(409, "still-answering", "the last message is still being answered", retry_after_s=1.0)
        if talk.taken >= limits.messages_per_conversation:
            most = f"{limits.messages_per_conversation} messages are the most; begin another conversation"
            raise Refused(403, "conversation-full", most)
        _must_be_text(text, most=limits.characters_per_message, what="message", may_be_empty=False)

    def _must_be_allowed(self, talk: Talk, text: str) -> None:
        if apparent_child_abuse(text):
            digest = digest_bytes(text.encode())
            said = self._said(talk.participant)
            self._recorder.add(Referred(**said, conversation=talk.id, where="message", text_digest=digest))
            raise Refused(422, "never-allowed", _NEVER)

    def _talk(self, who: KeyRecord, conversation: str) -> Talk:
        talk = self._talks.get(conversation)
        if talk is None or talk.participant != who.participant:  # whose it is, nobody else is told
            raise Refused(404, "no-such-conversation", "you have no conversation of that id")
        return talk

    def _vector(self, name: str) -> Vector:
        found = self._campaign.vector(name)
        if found is None:
            raise Refused(422, "unknown-vector", f"vector {name!r:.80} is not declared; see /v1/scope")
        return found

    def _visible(self, who: KeyRecord) -> dict[str, Category]:
        """The categories in a participant's scope: hazardous ones only where they were cleared."""
        return {
            name: one
            for name, one in self.declared.categories.items()
            if not one.is_hazardous or one.domain in who.cleared
        }

    def _allowance(self, participant: str) -> Allowance:
        return self._use.setdefault(participant, Allowance(limits=self._campaign.limits))

    def _said(self, participant: str) -> dict[str, str]:
        return {"campaign": self._campaign.id, "at": format_utc(self._now()), "participant": participant}

    def _recall(self, event: AnyEvent) -> None:
        """Go on from what an earlier server kept: limits, consents, and conversations that findings may point at."""
        use = self._allowance(event.participant)
        match event:
            case Consent():
                self._consented.add((event.participant, event.consent_digest))
            case Opened():
                use.conversations += 1
                category, vector = self.declared.categories.get(event.category), self._campaign.vector(event.vector)
                if category is not None and vector is not None:
                    self._talks[event.conversation] = Talk(
                        id=event.conversation,
                        participant=event.participant,
                        team=event.team,
                        arm="bare" if event.arm == "bare" else "guarded",
                        category=category,
                        vector=vector,
                        language=event.language,
                        shown=None,
                    )
            case Said():
                use.messages += 1
                use.tokens += event.tokens
                talk = self._talks.get(event.conversation)
                if talk is not None and event.status in {"answered", "not-stored"}:
                    talk.trials[event.index] = event.trial
            case Filed():
                use.findings += 1
            case Referred():
                pass


def _busy() -> Busy:
    return Busy(503, "busy", "every line is taken; try again in a few seconds", retry_after_s=3.0)


def _turns(history: tuple[Message, ...], trials: Mapping[int, str]) -> tuple[Message, ...]:
    """The turns before, as kept: the participant's own, and for each answer the trial that holds it sealed."""
    answers = iter(trials.values())
    return tuple(
        turn if turn.role == "user" else Message(role="assistant", content=f"[sealed with trial {next(answers)}]")
        for turn in history
    )


def _charged(messages: tuple[Message, ...], shown: str | None) -> int:
    """Tokens as participants are charged: four characters each of what they can see.

    Not as the endpoint counts: a system prompt, or an input withheld before the model, would tell the arms apart.
    """
    seen = sum(len(message.content) for message in messages) + len(shown or "")
    return seen // _CHARACTERS_PER_TOKEN + 1


def _must_be_text(text: str, *, most: int, what: str, may_be_empty: bool) -> None:
    if not text.strip() and not may_be_empty:
        raise Refused(422, "empty", f"the {what} is empty; write something")
    if len(text) > most:
        raise Refused(413, "too-long", f"the {what} has {len(text)} characters; {most} are the most")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(422, "not-text", f"the {what} holds half a character (a lone surrogate); send UTF-8") from None


def _printable(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}".encode("utf-8", "replace").decode()[:500]
