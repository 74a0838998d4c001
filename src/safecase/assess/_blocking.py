"""An async function as one that waits, also where an event loop runs already, as it does in a notebook."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from safecase.models import is_loop_running, run_to_end

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


def blocking(function: Callable[P, Coroutine[Any, Any, ResultT]]) -> Callable[P, ResultT]:
    """Make a function that waits for the result.

    Inside a running loop the work goes to a loop of its own in a thread. An object that is bound to the running loop
    (an open connection) does not survive that: await the async function there instead.

    >>> async def double(number: int) -> int:
    ...     return 2 * number
    >>> blocking(double)(21)
    42
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> ResultT:
        work = function(*args, **kwargs)
        return _in_thread(work) if is_loop_running() else run_to_end(work)

    return call


def _in_thread(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run in a fresh loop in a thread; an interrupt of the waiting thread cancels the work and waits for its end."""
    done: Future[ResultT] = Future()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[ResultT]]] = Future()

    async def main() -> ResultT:
        task = asyncio.ensure_future(work)
        started.set_result((asyncio.get_running_loop(), task))
        return await task

    def target() -> None:
        try:
            done.set_result(run_to_end(main()))
        except BaseException as fault:  # noqa: BLE001  # it is raised again in the thread that waits
            done.set_exception(fault)

    thread = threading.Thread(target=target, name="safecase-assess")
    thread.start()
    try:
        return done.result()
    except KeyboardInterrupt:
        loop, task = started.result()
        loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()
