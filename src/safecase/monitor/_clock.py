"""The time of a stream of calls: it never goes back, and does not stand still when the clock behind it was set back."""

from dataclasses import dataclass

_DISORDER_S = 600.0
"""Calls of several workers come out of order by less than this; what lies further back is another clock."""


@dataclass(slots=True)
class StreamClock:
    """Seconds, by the calls' own times.

    A clock that leaps forward and is set right again, or a second file of the same day, brings times that lie far
    before those seen already. From then on time goes on from where it was, by what passes between the calls: it does
    not wait until the old times are reached again, since until then nothing would be settled and nothing said.

    >>> clock = StreamClock()
    >>> [clock.at(seconds) for seconds in (100.0, 90.0, 90000.0, 160.0, 170.0)]
    [100.0, 100.0, 90000.0, 90000.0, 90010.0]
    """

    now: float = 0.0
    ahead: float = 0.0

    def at(self, seconds: float) -> float:
        """The stream's time at a call, seconds."""
        moved = seconds + self.ahead
        if moved < self.now - _DISORDER_S:
            self.ahead = self.now - seconds
        elif moved > self.now:
            self.now = moved
        return self.now
