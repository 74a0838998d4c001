"""A stack of safeguards and the one path through it.

`Stack.answer` is what the guarded arm of an assessment calls and what a gateway calls: there is no second path. What a
layer says of an exchange (its ruling) and what is done about it are two things, and both are recorded.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import CoroutineType, coroutine
from typing import Any, Literal, Protocol, runtime_checkable

from safecase.evidence import Explanation, Message, RulingRecord, digest_value, quick_maker
from safecase.models import Answer, Model, Request
from safecase.safeguard._access import Audience, Pass, relaxing_tier
from safecase.safeguard._completion import safe_completion
from safecase.safeguard._errors import GoldenFailed
from safecase.safeguard._layers import ChildAbuseScreen
from safecase.safeguard._values import Exchange, Ruling, Safeguard, Stage, rule_of
from safecase.safeguard._wire import exchange_of, reply_of

REPLACED = "[removed]"
"""What stands in place of a stretch that a layer replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """How a layer stands in its stack.

    Attributes:
        enforced: False only observes: the ruling is recorded and nothing is done about it.
        required: whether an error or a timeout of this layer withholds.
        above: ask it only where an earlier layer of its stage scored at least so much, or failed; (layer, score).
        relaxable: whether a trusted-access tier may pass it. The child-abuse screen never is, whatever stands here.
        audiences: ask it only for accounts of all of these.
    """

    enforced: bool = True
    required: bool = True
    above: tuple[str, float] | None = None
    relaxable: bool = True
    audiences: tuple[Audience, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """An exchange with the ruling that it is known to get.

    Attributes:
        layer: the layer that has to withhold it; None for one that every layer allows.
    """

    exchange: Exchange
    layer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a user gets, and how it came about.

    Attributes:
        answer: the model's own answer, None when the input was withheld before the model was asked.
        withheld_by: the layer that withheld; `text` is then a safe completion.
        explanations: of the layers that reason.
    """

    text: str
    answer: Answer | None
    withheld_by: str | None
    rulings: tuple[RulingRecord, ...]
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of putting one exchange to a stack.

    Attributes:
        withheld: the ruling that was enforced, None where the exchange may pass.
        spans: stretches of the reply to be replaced, in order, not overlapping.
        hold: place in the reply from which nothing may go out yet; None where all may.
        explanations: of the layers that reason.
    """

    rulings: tuple[RulingRecord, ...]
    withheld: RulingRecord | None
    spans: tuple[tuple[int, int], ...] = ()
    hold: int | None = None
    explanations: tuple[Explanation, ...] = ()

    def text(self, reply: str) -> str:
        """The reply with its stretches replaced; itself where there are none."""
        for start, end in reversed(self.spans):
            reply = reply[:start] + REPLACED + reply[end:]
        return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A check that stopped an exchange, and the ruling that did."""

    rulings: tuple[RulingRecord, ...]
    withheld: RulingRecord


@runtime_checkable
class Noting(Protocol):
    """A safeguard that learns what became of an exchange it ruled on, and by which ruling."""

    def note(self, exchange: Exchange, *, withheld: bool, by: RulingRecord | None = None) -> None: ...


@runtime_checkable
class Closing(Protocol):
    """A safeguard that holds sockets or threads."""

    async def aclose(self) -> None: ...


class _Seat:
    """A layer in its stack, with what of asking it is the same every time.

    Attributes:
        rule: of a layer that never waits; None of any other.
        allowed: makes the record of a ruling that allows and says nothing else, from its score and how long it took.
    """

    __slots__ = ("allowed", "is_conditional", "layer", "post", "rule")

    def __init__(self, layer: Safeguard, post: Post) -> None:
        self.layer, self.post = layer, post
        self.rule: Callable[[Any, Exchange], Ruling] | None = rule_of(layer)
        self.is_conditional = bool(post.audiences) or post.above is not None
        self.allowed: Callable[..., RulingRecord] = quick_maker(
            RulingRecord, layer=layer.name, stage=layer.stage, action="allow", principle=None, enforced=post.enforced
        )

    def __reduce__(self) -> tuple[Any, ...]:  # stacks travel to other processes, and functions do not
        return _Seat, (self.layer, self.post)


@dataclass(slots=True)
class _Start:
    is_tested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Safeguards in order, with the system prompt they stand on. An empty stack is the bare arm.

    Attributes:
        digest: configuration, weights, system prompt, streaming mode and code; what a permit binds.
        disabled: heads that a stack file names but whose card disables them (AUROC under 0.85).
        posts: how a layer stands here, where it is not the plain way (enforced, required, always asked).
        ask: in order until one withholds, or all of a stage at once, which a comparison of layers needs.
        windows: layers that need no more than their `reach` of lookback while a reply streams; the others are asked on
            the whole prefix.
        every: characters between two looks at a streaming reply.
        golden: exchanges that `self_test` replays before the first answer.
        passes: what trusted-access tiers are not held to.
        hold_back: letters and digits that a streaming reply is kept back by: the longest lookback of a layer of
            windows.
        completions: safe completions of the stack's own, by "layer/rule", by layer or by principle; the first that
            there is, in this order, and else the shipped one.
    """

    id: str
    layers: tuple[Safeguard, ...]
    system_prompt: str | None
    timeout_s: float
    digest: str
    disabled: tuple[str, ...] = ()
    posts: Mapping[str, Post] = field(default_factory=dict)  # a plain one: stacks travel to other processes
    ask: Literal["until-withheld", "all"] = "until-withheld"
    windows: frozenset[str] = frozenset()
    every: int = 32
    golden: tuple[Golden, ...] = ()
    passes: tuple[Pass, ...] = ()
    completions: Mapping[str, str] = field(default_factory=dict)
    start: _Start = field(default_factory=_Start, compare=False, repr=False)
    posted: Mapping[Stage, tuple[tuple[Safeguard, Post], ...]] = field(init=False, compare=False, repr=False)
    noting: tuple[Noting, ...] = field(init=False, compare=False, repr=False)
    seats: Mapping[Stage, tuple[_Seat, ...]] = field(init=False, compare=False, repr=False)
    hold_back: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        stages: tuple[Stage, Stage] = ("input", "output")
        posted = {
            stage: tuple((layer, self._post(layer)) for layer in self.layers if layer.stage == stage)
            for stage in stages
        }
        object.__setattr__(self, "posted", posted)
        seats = {stage: tuple(_Seat(layer, post) for layer, post in here) for stage, here in posted.items()}
        object.__setattr__(self, "seats", seats)
        held = (at.reach for at in self.layers if at.stage == "output" and at.name in self.windows)
        object.__setattr__(self, "hold_back", max(held, default=0))
        # Asked once: whether an object has a protocol's methods takes longer to find out than a layer takes to rule.
        object.__setattr__(self, "noting", tuple(layer for layer in self.layers if isinstance(layer, Noting)))

    @property
    def is_tested(self) -> bool:
        """Whether the golden exchanges came out as they should, so that `ready` has nothing to ask."""
        return self.start.is_tested

    @property
    def reach(self) -> int:
        """The longest lookback of any layer."""
        return max((layer.reach for layer in self.layers), default=0)

    async def check(self, exchange: Exchange) -> tuple[RulingRecord, ...]:
        """Ask the layers of the exchange's stage. An error or a timeout of a required layer withholds.

        A second stack checks without effect (a shadow): its rulings are then `as_observed`.
        """
        return (await self.rule(exchange)).rulings

    async def rule(self, exchange: Exchange) -> Checked:
        """The same, with what is to be done about it."""
        if self.ask == "all":
            return await self._all(exchange)
        records: list[RulingRecord] = []
        notable: list[_Said] = []
        for seat in self.seats[exchange.stage]:
            if seat.is_conditional and not _is_due(seat.post, exchange, records):
                continue
            if seat.rule is None:
                said = await self._ask(seat, exchange)
            elif exchange.is_long:
                said = await asyncio.to_thread(self._ask_now, seat, seat.rule, exchange)
            else:
                said = self._ask_now(seat, seat.rule, exchange)
            records.append(said[0])
            if said[1] is not None:
                notable.append(said)
                if said[0].action == "withhold" and said[0].enforced:
                    break
        return _checked(records, notable) if notable else _check_of(rulings=tuple(records), withheld=None)

    def completion(self, ruling: RulingRecord) -> str:
        """What a user reads in place of what this ruling withheld. It never quotes the exchange."""
        if ruling.error is None:
            for name in (f"{ruling.layer}/{ruling.rule}", ruling.layer, ruling.principle or ""):
                if name in self.completions:
                    return self.completions[name]
        return safe_completion(ruling.principle, failed=ruling.error is not None)

    async def answer(self, model: Model, request: Request) -> Served:
        """Put a request to a model behind this stack.

        Raises:
            GoldenFailed: an exchange with a known ruling got another one; no request is answered.
            whatever the model raises: a failed attempt is the caller's to record.
        """
        if not self.layers:  # the bare arm: nothing rules, so nothing is read
            answer = await model.generate(self.with_system_prompt(request))
            return Served(text=answer.text, answer=answer, withheld_by=None, rulings=())
        if failed := await self.ready():
            return self._withheld(failed.withheld, None, failed.rulings)
        said = [{"role": turn.role, "content": turn.content} for turn in request.messages]
        asked = exchange_of({"messages": said})  # as off the wire, so that a gateway rules as an assessment did
        before = await self.rule(asked)
        if before.withheld:
            self.note(asked, withheld=True, by=before.withheld)
            return self._withheld(before.withheld, None, before.rulings, before.explanations)
        answer = await model.generate(self.with_system_prompt(request))
        message = {"content": answer.text, "reasoning": answer.reasoning}
        (replied,) = reply_of({"choices": [{"message": message}]}, asked=asked)
        after = await self.rule(replied)
        rulings = before.rulings + after.rulings
        explanations = before.explanations + after.explanations
        self.note(asked, withheld=after.withheld is not None, by=after.withheld)
        if after.withheld:
            return self._withheld(after.withheld, answer, rulings, explanations)
        text = after.text(answer.text)
        return Served(text=text, answer=answer, withheld_by=None, rulings=rulings, explanations=explanations)

    async def ready(self) -> "Withheld | None":
        """Replay the golden exchanges, once they all came out; whoever serves by another way than `answer` asks first.

        Returns:
            None when the stack may serve; else the check in which a layer failed, as what every request gets. The next
            call tries again.

        Raises:
            GoldenFailed: an exchange was ruled on otherwise than is known.
        """
        if self.start.is_tested:
            return None
        failed = await self._replay()
        self.start.is_tested = failed is None
        return failed

    async def self_test(self) -> None:
        """Replay the golden exchanges.

        Raises:
            GoldenFailed: a layer failed, or one of them was ruled on otherwise; the message gives its number and never
                its text.
        """
        if failed := await self._replay():
            raise GoldenFailed(
                f"stack {self.id!r}: layer {failed.withheld.layer!r} gave no ruling on a golden exchange "
                f"({failed.withheld.error}); mend the layer"
            )

    async def _replay(self) -> "Withheld | None":
        for number, golden in enumerate(self.golden, start=1):
            checked = await self.rule(golden.exchange)
            if checked.withheld and checked.withheld.error:
                return Withheld(rulings=checked.rulings, withheld=checked.withheld)
            got = checked.withheld.layer if checked.withheld else None
            if got != golden.layer:
                raise GoldenFailed(
                    f"stack {self.id!r}: golden exchange {number} should be {_word(golden.layer)} and was "
                    f"{_word(got)}; nothing is served until they agree: mend the layer, or the stack file"
                )
        return None

    def note(self, exchange: Exchange, *, withheld: bool, by: RulingRecord | None = None) -> None:
        """Tell the layers that count attempts what became of one, once per call.

        Args:
            by: the ruling that withheld. Who was turned away for asking too often, or because a layer failed, did not
                try to get something withheld; without the ruling that cannot be told.
        """
        for layer in self.noting:
            layer.note(exchange, withheld=withheld, by=by)

    def with_system_prompt(self, request: Request) -> Request:
        """The request as the model is to get it."""
        if self.system_prompt is None:
            return request
        return replace(request, messages=(Message(role="system", content=self.system_prompt), *request.messages))

    async def aclose(self) -> None:
        """Let go of what layers hold."""
        for layer in self.layers:
            if isinstance(layer, Closing):
                await layer.aclose()

    async def _all(self, exchange: Exchange) -> Checked:
        """Those without a condition at once, then those whose condition holds."""
        asked = self.seats[exchange.stage]
        first = [seat for seat in asked if seat.post.above is None and _is_for(seat.post, exchange)]
        said = list(await asyncio.gather(*(self._ask(seat, exchange) for seat in first)))
        records = [record for record, _ in said]
        for seat in asked:
            if seat.post.above is not None and _is_due(seat.post, exchange, records):
                said.append(await self._ask(seat, exchange))
                records.append(said[-1][0])
        return _checked(records, said)

    def _post(self, layer: Safeguard) -> Post:
        post = self.posts.get(layer.name, _PLAIN)
        return replace(post, relaxable=False) if isinstance(layer, ChildAbuseScreen) else post

    def _ask_now(self, seat: _Seat, rule: Callable[[Any, Exchange], Ruling], exchange: Exchange) -> "_Said":
        """Ask a layer that never waits, and cannot be interrupted either."""
        started = time.perf_counter()
        try:
            ruling = rule(seat.layer, exchange)
            if _is_plain(ruling):
                return seat.allowed(score=ruling.score, latency_ms=(time.perf_counter() - started) * 1_000), None
            ruling = _sound(ruling, exchange)
        except Exception as fault:  # noqa: BLE001 - a safeguard that breaks withholds, and the record says so
            ruling = self._failed(fault)
        return self._recorded(seat, exchange, ruling, started)

    async def _ask(self, seat: _Seat, exchange: Exchange) -> "_Said":
        started = time.perf_counter()
        try:
            check = seat.layer.check(exchange)
            if isinstance(check, CoroutineType):
                # Run to its end on the spot, one that does not wait needs no timer, which costs more than it does. At
                # the first wait the clock starts.
                try:
                    waits_for = check.send(None)
                except StopIteration as done:
                    ruling = done.value
                else:
                    async with asyncio.timeout(self.timeout_s):
                        ruling = await _rest(check, waits_for)
            else:
                async with asyncio.timeout(self.timeout_s):
                    ruling = await check
            if _is_plain(ruling):
                return seat.allowed(score=ruling.score, latency_ms=(time.perf_counter() - started) * 1_000), None
            ruling = _sound(ruling, exchange)
        except Exception as fault:  # noqa: BLE001 - as above
            ruling = self._failed(fault)
        return self._recorded(seat, exchange, ruling, started)

    def _failed(self, fault: Exception) -> Ruling:
        is_late = isinstance(fault, TimeoutError)
        return Ruling(
            action="withhold", error=f"no ruling within {self.timeout_s:g} s" if is_late else type(fault).__name__
        )

    def _recorded(self, seat: _Seat, exchange: Exchange, ruling: Ruling, started: float) -> "_Said":
        """A ruling that says more than to allow, as it is recorded, and itself."""
        layer, post, relaxed_by = seat.layer, seat.post, None
        if exchange.tiers and self.passes and post.relaxable and ruling.action != "allow" and not ruling.error:
            relaxed_by = relaxing_tier(self.passes, exchange.tiers, layer.name, ruling)
        record = _record(
            layer=layer.name,
            stage=layer.stage,
            action="withhold" if ruling.error else ruling.action,
            score=ruling.score,
            principle=ruling.principle,
            latency_ms=(time.perf_counter() - started) * 1_000,
            error=ruling.error,
            enforced=post.enforced and (post.required or ruling.error is None) and relaxed_by is None,
            rule=_rule(ruling) if ruling.grounds else None,
            relaxed_by=relaxed_by,
        )
        return record, ruling

    def _withheld(
        self,
        ruling: RulingRecord,
        answer: Answer | None,
        rulings: tuple[RulingRecord, ...],
        explanations: tuple[Explanation, ...] = (),
    ) -> Served:
        text = self.completion(ruling)
        return Served(text=text, answer=answer, withheld_by=ruling.layer, rulings=rulings, explanations=explanations)


_PLAIN = Post()
_record, _check_of = quick_maker(RulingRecord), quick_maker(Checked)
_Said = tuple[RulingRecord, Ruling | None]
"""What is recorded, and the ruling where it says more than to allow."""


@coroutine
def _rest(check: Coroutine[Any, Any, Ruling], waits_for: Any) -> Generator[Any, Any, Ruling]:
    """A coroutine that has come to its first wait, carried on. `Any`: what a loop passes to and fro is its own."""
    try:
        while True:
            try:
                got = yield waits_for
            except GeneratorExit:
                check.close()
                raise
            except BaseException as fault:  # noqa: BLE001 - a cancellation or an error is the coroutine's to handle
                waits_for = check.throw(fault)
            else:
                waits_for = check.send(got)
    except StopIteration as done:
        ruling: Ruling = done.value
        return ruling


def _is_for(post: Post, exchange: Exchange) -> bool:
    return not post.audiences or all(one.holds(exchange.attributes) for one in post.audiences)


def _is_due(post: Post, exchange: Exchange, said: Sequence[RulingRecord]) -> bool:
    """Whether the layer's conditions hold. A layer that failed tells nothing, so what waits for it is asked."""
    if not _is_for(post, exchange):
        return False
    if post.above is None:
        return True
    name, least = post.above
    return any(one.layer == name and (one.score is None or one.score >= least) for one in said)


def _rule(ruling: Ruling) -> str | None:
    return " ".join(dict.fromkeys(ground.rule for ground in ruling.grounds if ground.rule)) or None


def as_observed(rulings: tuple[RulingRecord, ...], *, stack: str) -> tuple[RulingRecord, ...]:
    """The rulings of a shadow stack, named after it and marked as without effect, to be kept beside the real ones."""
    return tuple(replace(ruling, layer=f"{stack}/{ruling.layer}", enforced=False) for ruling in rulings)


def empty_stack() -> Stack:
    """The stack of the bare arm: nothing between the request and the model."""
    return Stack(id="none", layers=(), system_prompt=None, timeout_s=1.0, digest=digest_value("no safeguards"))


def _is_plain(ruling: Ruling) -> bool:
    """Whether a ruling allows and says nothing else, as nearly all do: there is then nothing to look into."""
    if type(ruling) is not Ruling or ruling.action != "allow" or ruling.error is not None:
        return False
    score = ruling.score
    return (
        (score is None or 0 <= score <= 1)
        and not ruling.spans
        and not ruling.grounds
        and ruling.hold is None
        and ruling.principle is None
        and ruling.reason is None
    )


def _sound(ruling: Ruling, exchange: Exchange) -> Ruling:
    """The ruling, or why it cannot be acted on: a layer may be anyone's code, and what is not understood withholds."""
    if not isinstance(ruling, Ruling) or ruling.action not in ("allow", "replace", "withhold"):
        return Ruling(action="withhold", error="gave no ruling")
    if ruling.score is not None and not 0 <= ruling.score <= 1:
        return Ruling(action="withhold", error="gave a score outside 0 to 1")
    if ruling.action == "replace" and (exchange.stage == "input" or not ruling.spans):
        return Ruling(action="withhold", error="would replace what has no place in a reply")
    if ruling.spans and not all(0 <= start < end <= len(exchange.reply) for start, end in ruling.spans):
        return Ruling(action="withhold", error="would replace what is not there")
    return ruling


def _checked(records: Sequence[RulingRecord], notable: Sequence[_Said]) -> Checked:
    """What comes of the rulings, of which those that say more than to allow count for it."""
    withheld, hold = None, None
    spans: list[tuple[int, int]] = []
    explanations: list[Explanation] = []
    for record, ruling in notable:
        if ruling is None:
            continue
        if ruling.reason is not None and ruling.error is None:
            explanations.append(Explanation(layer=record.layer, principle=record.principle, reason=ruling.reason))
        if not record.enforced:
            continue
        if record.action == "withhold" and withheld is None:
            withheld = record
        elif record.action == "replace":
            spans += ruling.spans
        if ruling.hold is not None:
            hold = ruling.hold if hold is None else min(hold, ruling.hold)
    merged = _merged(spans) if spans else ()
    return _check_of(
        rulings=tuple(records), withheld=withheld, spans=merged, hold=hold, explanations=tuple(explanations)
    )


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _word(layer: str | None) -> str:
    return "allowed" if layer is None else f"withheld by {layer!r}"
