"""One run of a case at a time: two would ask everything twice, and each would stop at the other's answers."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from safecase.assess._case import Case
from safecase.run import RunError


class CaseBusy(RunError):
    """Another process runs this very case."""


@asynccontextmanager
async def only_one(case: Case) -> AsyncIterator[None]:
    """Hold a case while it is run; the lock goes with the process, however it ends.

    Raises:
        CaseBusy: it is held.
    """
    # The folder itself is locked: a file of its own would be one more for `verify` to account for.
    descriptor = os.open(case.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = str(case.path)
            raise CaseBusy(f"case {where!r} is being run already; wait for that run, or stop it first") from None
        yield
    finally:
        os.close(descriptor)
