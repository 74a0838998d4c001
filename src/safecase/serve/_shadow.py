"""A second stack that only observes: what it would have done is told in the event of the call, and done to nobody.

    call is over -> event and exchanges wait here -> the shadow rules, in a thread and a loop of its own
                                                  -> the event is recorded, with what it said or why it said nothing

A shadow is there to be tried, so nothing is expected of it. It has a thread of its own: a layer that errs, hangs or
computes for minutes holds up no call. What waits for it is bounded in number and in time; beyond either the event is
recorded without it, and says which. When the gateway stops, what waits is recorded as it is.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from safecase.evidence import CallEvent, RulingRecord, ShadowRecord
from safecase.safeguard import Exchange, Stack, as_observed

_LOG = logging.getLogger("safecase.serve")
_PERIOD_S = 0.25
_MOST_CHARACTERS = 32 << 20  # of what waits, all together
Keep = Callable[[CallEvent], None]


_Task = tuple[str, int, tuple[Exchange, ...]]  # event id, characters, what to rule on


@dataclass(slots=True)
class _Waiting:
    event: CallEvent
    keep: Keep
    due_s: float


class Shadow:
    """Puts calls that are over to a second stack. To be started and stopped in the loop of the calls.

    Args:
        stack: rules in another thread, so it is to be this shadow's alone.
        most: calls that may wait for it.
        wait_s: the longest that an event waits.
    """

    def __init__(self, stack: Stack, *, most: int = 256, wait_s: float = 2.0) -> None:
        self._stack, self._most, self._wait_s = stack, most, wait_s
        self._waiting: dict[str, _Waiting] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # of the calls
        self._own: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Queue[_Task] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._handed, self._characters = 0, 0  # calls handed over and not ruled on yet, timed out or not; their text

    def start(self) -> None:
        """Begin to rule."""
        self._loop = asyncio.get_running_loop()
        is_up = threading.Event()
        threading.Thread(target=self._run, args=(is_up,), name="shadow", daemon=True).start()
        is_up.wait()

    def take(self, event: CallEvent, exchanges: Sequence[Exchange], keep: Keep) -> None:
        """Take a call that is over. `keep` is called once, soon, in this loop; at once where no ruling is to come.

        Args:
            exchanges: the request, and every choice of the reply so far as there is one; empty where a call did not
                come so far, which is nothing to rule on.
        """
        if not exchanges:
            keep(event)
        elif self._loop is None or self._own is None or self._work is None:
            keep(self._missed(event, "stopped"))
        elif self._handed >= self._most or self._characters > _MOST_CHARACTERS:
            keep(self._missed(event, "queue-full"))
        else:
            self._handed += 1
            self._characters += (size := event.characters_in + event.characters_out)
            self._waiting[event.event_id] = _Waiting(event, keep, self._loop.time() + self._wait_s)
            self._own.call_soon_threadsafe(self._work.put_nowait, (event.event_id, size, tuple(exchanges)))
            if self._sweeping is None:
                self._sweeping = self._loop.call_later(_PERIOD_S, self._sweep)

    def stop(self) -> None:
        """Record what waits, as it is, and let go of the thread. A layer that hangs ends with the process."""
        own, self._own = self._own, None
        if self._sweeping is not None:
            self._sweeping.cancel()
        for name in list(self._waiting):
            self._give_up(name, "stopped")
        if own is not None:
            own.call_soon_threadsafe(own.stop)

    # -- in the loop of the calls

    def _done(self, name: str, size: int, told: ShadowRecord) -> None:
        self._handed, self._characters = self._handed - 1, self._characters - size
        waiting = self._waiting.pop(name, None)
        if waiting is not None:
            waiting.keep(replace(waiting.event, shadow=told))

    def _sweep(self) -> None:
        assert self._loop is not None  # noqa: S101 - it was started
        now = self._loop.time()
        for name in [name for name, one in self._waiting.items() if one.due_s <= now]:
            self._give_up(name, "timeout")
        self._sweeping = self._loop.call_later(_PERIOD_S, self._sweep) if self._waiting else None

    def _give_up(self, name: str, why: str) -> None:
        waiting = self._waiting.pop(name)
        waiting.keep(self._missed(waiting.event, why))

    def _missed(self, event: CallEvent, why: str) -> CallEvent:
        return replace(event, shadow=ShadowRecord(stack=self._stack.id, digest=self._stack.digest, missed=why))

    # -- in its own thread

    def _run(self, is_up: threading.Event) -> None:
        own = asyncio.new_event_loop()
        try:
            self._work = asyncio.Queue()
            self._own = own
            ruling = own.create_task(self._rule_all(self._work))
            is_up.set()
            own.run_forever()
            ruling.cancel()
            own.run_until_complete(asyncio.gather(ruling, self._stack.aclose(), return_exceptions=True))
        except Exception as error:  # noqa: BLE001 - what only observes breaks nothing
            _LOG.error("%s: the shadow stack %s ended badly", type(error).__name__, self._stack.id)
        finally:
            is_up.set()
            own.close()

    async def _rule_all(self, work: "asyncio.Queue[_Task]") -> None:
        while True:
            name, size, exchanges = await work.get()
            try:
                told = await self._ruled(exchanges)
            except Exception as error:  # noqa: BLE001 - as above; without its words, which may be a client's
                told = ShadowRecord(stack=self._stack.id, digest=self._stack.digest, missed=type(error).__name__)
            assert self._loop is not None  # noqa: S101 - it was started
            try:
                self._loop.call_soon_threadsafe(self._done, name, size, told)
            except RuntimeError:  # the gateway's loop is closed
                return

    async def _ruled(self, exchanges: Sequence[Exchange]) -> ShadowRecord:
        """What the stack would have done: it asks no layer of the reply where it withholds the request."""
        stack, withheld = self._stack, None
        rulings: tuple[RulingRecord, ...] = ()
        if failed := await stack.ready():
            return ShadowRecord(stack=stack.id, digest=stack.digest, missed=f"unready: {failed.withheld.layer}")
        for exchange in exchanges:
            checked = await stack.rule(exchange)
            rulings += checked.rulings
            if (withheld := checked.withheld) is not None:
                break
        stack.note(exchanges[0], withheld=withheld is not None, by=withheld)
        return ShadowRecord(
            stack=stack.id,
            digest=stack.digest,
            withheld_by=withheld.layer if withheld else None,
            rulings=as_observed(rulings, stack=stack.id),
        )
