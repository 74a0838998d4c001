"""The time of day that what ends is held against: it goes on when the machine's clock is set back.

A permit that has expired, a key that has, and the next look at a file of keys are moments on that clock. Were it
believed when it jumps back, what was over would be served again.
"""

import time
from collections.abc import Callable


def never_back(clock: Callable[[], float], *, ticks: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """A clock that is never behind what it said before and the time that has passed since.

    Args:
        clock: seconds since the epoch.
        ticks: seconds since any moment, never going back.

    >>> wall, passed = iter([100.0, 160.0, 40.0]), iter([0.0, 60.0, 70.0])
    >>> clock = never_back(lambda: next(wall), ticks=lambda: next(passed))
    >>> clock(), clock(), clock()
    (100.0, 160.0, 170.0)
    """
    ahead = float("-inf")  # of the ticks

    def now() -> float:
        nonlocal ahead
        said, passed = clock(), ticks()
        if said - passed > ahead:
            ahead = said - passed
            return said
        return ahead + passed

    return now
