"""A stack of safeguards and the one path through it.

`Stack.answer` is what the guarded arm of an assessment calls and what a gateway calls: there is no second path. What a
layer says of an exchange (its ruling) and what is done about it are two things, and both are recorded.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from safecase.evidence import Message, RulingRecord, digest_value
from safecase.models import Answer, Model, Request
from safecase.safeguard._completion import safe_completion
from safecase.safeguard._errors import GoldenFailed
from safecase.safeguard._values import Exchange, Ruling, Safeguard
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
    """

    enforced: bool = True
    required: bool = True
    above: tuple[str, float] | None = None


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
    """

    text: str
    answer: Answer | None
    withheld_by: str | None
    rulings: tuple[RulingRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of putting one exchange to a stack.

    Attributes:
        withheld: the ruling that was enforced, None where the exchange may pass.
        spans: stretches of the reply to be replaced, in order, not overlapping.
    """

    rulings: tuple[RulingRecord, ...]
    withheld: RulingRecord | None
    spans: tuple[tuple[int, int], ...] = ()

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
    """A safeguard that learns what became of an exchange it ruled on."""

    def note(self, exchange: Exchange, *, withheld: bool) -> None: ...


@runtime_checkable
class Closing(Protocol):
    """A safeguard that holds sockets or threads."""

    async def aclose(self) -> None: ...


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
    start: _Start = field(default_factory=_Start, compare=False, repr=False)

    @property
    def reach(self) -> int:
        """The longest lookback of any layer."""
        return max((layer.reach for layer in self.layers), default=0)

    @property
    def hold_back(self) -> int:
        """Letters and digits that a streaming reply is kept back by: the longest lookback of a layer of windows."""
        return max((at.reach for at in self.layers if at.stage == "output" and at.name in self.windows), default=0)

    async def check(self, exchange: Exchange) -> tuple[RulingRecord, ...]:
        """Ask the layers of the exchange's stage. An error or a timeout of a required layer withholds.

        A second stack checks without effect (a shadow): its rulings are then `as_observed`.
        """
        return (await self.rule(exchange)).rulings

    async def rule(self, exchange: Exchange) -> Checked:
        """The same, with what is to be done about it."""
        asked = [layer for layer in self.layers if layer.stage == exchange.stage]
        if self.ask == "all":
            return await self._all(asked, exchange)
        records: list[RulingRecord] = []
        spans: list[tuple[int, int]] = []
        for layer in asked:
            if not self._is_due(layer, records):
                continue
            record, found = await self._ask(layer, exchange)
            records.append(record)
            spans += found
            if record.action == "withhold" and record.enforced:
                break
        return _checked(records, spans)

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
            return _withheld(failed.withheld, None, failed.rulings)
        said = [{"role": turn.role, "content": turn.content} for turn in request.messages]
        asked = exchange_of({"messages": said})  # as off the wire, so that a gateway rules as an assessment did
        before = await self.rule(asked)
        if before.withheld:
            self.note(asked, withheld=True)
            return _withheld(before.withheld, None, before.rulings)
        answer = await model.generate(self.with_system_prompt(request))
        message = {"content": answer.text, "reasoning": answer.reasoning}
        (replied,) = reply_of({"choices": [{"message": message}]}, asked=asked)
        after = await self.rule(replied)
        rulings = before.rulings + after.rulings
        self.note(asked, withheld=after.withheld is not None)
        if after.withheld:
            return _withheld(after.withheld, answer, rulings)
        return Served(text=after.text(answer.text), answer=answer, withheld_by=None, rulings=rulings)

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

    def note(self, exchange: Exchange, *, withheld: bool) -> None:
        """Tell the layers that count attempts what became of one."""
        for layer in self.layers:
            if isinstance(layer, Noting):
                layer.note(exchange, withheld=withheld)

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

    async def _all(self, layers: list[Safeguard], exchange: Exchange) -> Checked:
        """Those without a condition at once, then those whose condition holds."""
        first = [layer for layer in layers if self._post(layer).above is None]
        waiting: list[Awaitable[tuple[RulingRecord, tuple[tuple[int, int], ...]]]]
        waiting = [self._ask(layer, exchange) for layer in first]
        got = list(await asyncio.gather(*waiting))
        for layer in layers:
            if layer not in first and self._is_due(layer, [record for record, _ in got]):
                got.append(await self._ask(layer, exchange))
        return _checked([record for record, _ in got], [span for _, spans in got for span in spans])

    def _post(self, layer: Safeguard) -> Post:
        return self.posts.get(layer.name, Post())

    def _is_due(self, layer: Safeguard, records: list[RulingRecord]) -> bool:
        """Whether the layer's condition holds. A layer that failed tells nothing, so what waits for it is asked."""
        above = self._post(layer).above
        if above is None:
            return True
        return any(one.layer == above[0] and (one.score is None or one.score >= above[1]) for one in records)

    async def _ask(self, layer: Safeguard, exchange: Exchange) -> tuple[RulingRecord, tuple[tuple[int, int], ...]]:
        post, started = self._post(layer), time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout_s):
                ruling = _sound(await layer.check(exchange), exchange)
        except TimeoutError:
            ruling = Ruling(action="withhold", error=f"no ruling within {self.timeout_s:g} s")
        except Exception as fault:  # noqa: BLE001 - a safeguard that breaks withholds, and the record says so
            ruling = Ruling(action="withhold", error=type(fault).__name__)
        record = RulingRecord(
            layer=layer.name,
            stage=layer.stage,
            action="withhold" if ruling.error else ruling.action,
            score=ruling.score,
            principle=ruling.principle,
            latency_ms=(time.perf_counter() - started) * 1_000,
            error=ruling.error,
            enforced=post.enforced and (post.required or ruling.error is None),
        )
        return record, ruling.spans if record.enforced and record.action == "replace" else ()


def as_observed(rulings: tuple[RulingRecord, ...], *, stack: str) -> tuple[RulingRecord, ...]:
    """The rulings of a shadow stack, named after it and marked as without effect, to be kept beside the real ones."""
    return tuple(replace(ruling, layer=f"{stack}/{ruling.layer}", enforced=False) for ruling in rulings)


def empty_stack() -> Stack:
    """The stack of the bare arm: nothing between the request and the model."""
    return Stack(id="none", layers=(), system_prompt=None, timeout_s=1.0, digest=digest_value("no safeguards"))


def _sound(ruling: Ruling, exchange: Exchange) -> Ruling:
    """The ruling, or why it cannot be acted on: a layer may be anyone's code, and what is not understood withholds."""
    if not isinstance(ruling, Ruling) or ruling.action not in ("allow", "replace", "withhold"):
        return Ruling(action="withhold", error="gave no ruling")
    if ruling.score is not None and not 0 <= ruling.score <= 1:
        return Ruling(action="withhold", error="gave a score outside 0 to 1")
    if ruling.action == "replace" and (exchange.stage == "input" or not ruling.spans):
        return Ruling(action="withhold", error="would replace what has no place in a reply")
    return ruling


def _checked(records: list[RulingRecord], spans: list[tuple[int, int]]) -> Checked:
    withheld = next((one for one in records if one.action == "withhold" and one.enforced), None)
    return Checked(rulings=tuple(records), withheld=withheld, spans=_merged(spans))


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _withheld(ruling: RulingRecord, answer: Answer | None, rulings: tuple[RulingRecord, ...]) -> Served:
    text = safe_completion(ruling.principle)
    return Served(text=text, answer=answer, withheld_by=ruling.layer, rulings=rulings)


def _word(layer: str | None) -> str:
    return "allowed" if layer is None else f"withheld by {layer!r}"
