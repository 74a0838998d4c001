"""A gateway put together from a case, a file of keys and an upstream, in whichever process runs it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from safecase.assess import Case, Clock, arm_of, open_case, permit_name, utc_now
from safecase.declare import resolve_context
from safecase.evidence import CallEvent, EvidenceError, read_envelope
from safecase.safeguard import GoldenFailed, Stack, load_stack
from safecase.serve._app import App, create_app
from safecase.serve._authority import CaseAuthority, Rhythm
from safecase.serve._config import Commands, ExtraRoute, Gateway, Images, Limits, TextMarks, Upstream
from safecase.serve._counts import counting_together
from safecase.serve._errors import NotPermitted
from safecase.serve._keys import FileKeyBook, read_pepper
from safecase.serve._limits import SharedLimiter
from safecase.serve._metrics import Metrics
from safecase.serve._metrics_page import MetricsPage
from safecase.serve._permit import Permit, Place
from safecase.serve._recorder import EventRecorder
from safecase.serve._retention import Retention
from safecase.serve._sinks import open_sink
from safecase.serve._traces import Traces
from safecase.serve._worker import WorkerSlot
from safecase.serve._workers import Running

CLOCK = "clock"
"""File in the folder of the state: when the permit was last looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySetup:
    """What a gateway is made of, by name: files are read, and read anew, by whoever opens it.

    Attributes:
        place: what is served where; its `stack_digest` is set from the stack that is really loaded.
        upstream: the server that answers.
        keys: the file of API keys. pepper: the secret outside it that its hashes rest on, where there is one.
        state: folder that the workers of one gateway share: limits, metrics, events not delivered yet.
        events: where events go, as `open_sink` names it.
        now: the clock that permits expire by.
        most_workers: worker numbers; replacements that start while others leave need some of their own.
        retention: makes the policy on content; what is kept of it by default is what a safeguard flagged, redacted.
        durable: each event is on disk before its call is answered.
        on_command: answers chat commands (`Gateway`). Like everything here it travels to worker processes.
        embeddings: a server of vectors. images: makes the model of pictures and its marks, in each worker. None: those
            routes are not served.
        traces: an OTLP/HTTP endpoint for spans; None for none. traces_share: of the calls, that are traced; what a
            caller's `traceparent` asks for is not followed, or anyone could have every call traced.
        shadow: a second stack that only observes, as a case file names its safeguards; None for none.
    """

    place: Place
    upstream: Upstream
    keys: Path
    state: Path
    events: str
    pepper: Path | None = None
    retention: Callable[[], Retention] = Retention
    limits: Limits = field(default_factory=Limits)
    marks: TextMarks = field(default_factory=TextMarks)
    rhythm: Rhythm = field(default_factory=Rhythm)
    now: Clock = utc_now
    most_workers: int = 16
    durable: bool = False
    on_command: Commands | None = None
    embeddings: Upstream | None = None
    images: Callable[[], Images] | None = None
    traces: str | None = None
    traces_share: float = 0.01
    shadow: str | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Running]:
        """Build the app from the files as they are now; let go of everything afterwards."""
        async with contextlib.AsyncExitStack() as opened:
            stack = case_stack(open_case(self.place.case), self.place.context)
            opened.push_async_callback(stack.aclose)
            slot = WorkerSlot.claim(self.state, most=self.most_workers)
            opened.callback(slot.release)
            stack = counting_together(stack, slot)
            recorder = EventRecorder(open_sink(self.events), slot, retention=self.retention(), durable=self.durable)
            await recorder.start()
            opened.push_async_callback(recorder.close)
            authority = CaseAuthority(
                replace(self.place, stack_digest=stack.digest),
                rhythm=self.rhythm,
                now=self.now,
                kept=self.state / CLOCK,
            )
            await asyncio.to_thread(authority.start)
            opened.push_async_callback(asyncio.to_thread, authority.stop)
            golden = await _golden_fault(stack)
            metrics = Metrics.open(slot)
            gauges = _Gauges(metrics=metrics, authority=authority, recorder=recorder)
            gateway = self._gateway(stack, gauges, slot)
            traces = Traces.open(self.traces, sample=self.traces_share, honour=False, models=gateway.models)
            if traces is not None:
                opened.push_async_callback(asyncio.to_thread, traces.close)
                gateway = replace(gateway, observers=(*gateway.observers, traces.observe))
            gauges.app = create_app(replace(gateway, shadow=self._shadow(slot)))
            opened.enter_context(_running(gauges.keep()))
            yield Running(app=gauges.app, fault=lambda: str(authority.fault) if authority.fault else golden)

    def _shadow(self, slot: WorkerSlot) -> Stack | None:
        """It counts in a file of its own: what it would have withheld was nobody's attempt."""
        if self.shadow is None:
            return None
        stack = shadow_stack(open_case(self.place.case), self.shadow)
        return counting_together(stack, slot, name="shadow-counts.bin")

    def _gateway(self, stack: Stack, gauges: "_Gauges", slot: WorkerSlot) -> Gateway:
        keys = FileKeyBook(self.keys, pepper=read_pepper(self.pepper))

        def count(event: CallEvent, _: bytes) -> None:
            gauges.metrics.count(event)

        # It asks for a key by itself: the counts are to be read while nothing is served, above all then.
        page = MetricsPage(gauges.metrics, keys=keys, refresh=gauges.note)
        return Gateway(
            stack=stack,
            upstream=self.upstream,
            embeddings=self.embeddings,
            images=self.images() if self.images is not None else None,
            authority=gauges.authority,
            keys=keys,
            limiter=SharedLimiter.open(slot),
            recorder=gauges.recorder,
            limits=self.limits,
            marks=self.marks,
            extra_routes={"/metrics": ExtraRoute(app=page, scope=None)},
            on_command=self.on_command,
            begins=gauges.metrics.begin,
            observers=(count,),
        )


@dataclass(slots=True, kw_only=True)
class _Gauges:
    """What this worker's gauges are set from."""

    metrics: Metrics
    authority: CaseAuthority
    recorder: EventRecorder
    app: App | None = None

    def note(self) -> None:
        """Set them."""
        is_down = self.app is not None and self.app.is_upstream_down
        is_serving = self.authority.standing().refusal is None
        self.metrics.note(recorder=self.recorder.stats(), is_serving=is_serving, is_breaker_open=is_down)

    async def keep(self) -> None:
        """Set them once a second: another worker may be asked for them."""
        while True:
            self.note()
            await asyncio.sleep(1.0)


@contextlib.contextmanager
def _running(job: Coroutine[None, None, None]) -> Iterator[None]:
    task = asyncio.create_task(job)
    try:
        yield
    finally:
        task.cancel()


def permitted_stack(place: Place) -> str:
    """Digest of the safeguards that the permit on disk names, unchecked: when to build workers anew, not whether they
    may serve. "" where it cannot be read."""
    try:
        return str(read_envelope(place.case / permit_name(place.context)).statement().predicate["stack_digest"])
    except (OSError, EvidenceError, KeyError):
        return ""


def case_stack(case: Case, context_id: str) -> Stack:
    """The stack that a context is served with: of the arm whose layers count there.

    Raises:
        NotPermitted: the case has no safeguards, and the context counts on some.
        UnknownName: the framework has no such context.
    """
    arm = arm_of(case, resolve_context(case.framework, context_id))
    if arm not in case.arms:
        line = f"{case.path}: `safeguards: none`, and {context_id!r} rests on arm {arm!r}"
        raise NotPermitted("not-supported", "the case has no safeguards for this context", line)
    return case.arms[arm]


def shadow_stack(case: Case, name: str) -> Stack:
    """A stack that is to be tried beside the one that is served: one that ships, or a file, as from the case's folder.

    Raises:
        PackError, StackError, CorruptWeights, UnknownModel: as `load_stack`.
    """
    return load_stack(name, case.model_spec, beside=case.path)


async def _golden_fault(stack: Stack) -> str | None:
    """Why the stack does not rule as it is known to, None where it does."""
    try:
        failed = await stack.ready()
    except GoldenFailed as fault:
        return str(fault)
    return None if failed is None else f"layer {failed.withheld.layer!r} gave no ruling ({failed.withheld.error})"


def describe(permit: Permit) -> dict[str, object]:
    """A permit that holds, as JSON for programs and for the banner."""
    return {
        "case": permit.case,
        "context": permit.context,
        "admits": permit.admits,
        "share": permit.share,
        "model": permit.model,
        "identity": permit.identity.kind,
        "permit": permit.sha256,
        "stack_digest": permit.stack_digest,
        "expires": permit.expires.isoformat(),
        "signers": list(permit.signers),
        "signatures": permit.standing_word,
        "demo": permit.is_demo,
        "narrowings": [narrowing.sentence for narrowing in permit.narrowings],
        "ledger_head": permit.head,
    }
