"""A circuit breaker: an upstream that keeps failing is left alone for a while."""

from collections.abc import Callable

_LONGEST_S = 60.0


class Breaker:
    """Closed while calls succeed, open after so many failures in a row, half open when one may try again.

    Args:
        failures: in a row, that open it.
        cooldown_s: until one call may try; doubled each time that one fails, up to a minute.
        clock: seconds, never going back.
    """

    def __init__(self, *, failures: int, cooldown_s: float, clock: Callable[[], float]) -> None:
        self._most = failures
        self._cooldown_s = self._first_s = cooldown_s
        self._clock = clock
        self._failed = 0
        self._until: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away, but for the one that tries."""
        return self._until is not None

    def wait_s(self) -> float | None:
        """None where a call may go: `succeeded`, `failed` or `undecided` must then be told. Else seconds to wait."""
        if self._until is None:
            return None
        left = self._until - self._clock()
        if left > 0:
            return left
        if self._is_probing:
            return self._cooldown_s
        self._is_probing = True
        return None

    def succeeded(self) -> None:
        """The upstream answered."""
        self._failed = 0
        if self._until is not None:
            self._until, self._is_probing, self._cooldown_s = None, False, self._first_s

    def failed(self) -> None:
        """The upstream failed."""
        self._failed += 1
        if self._is_probing:
            self._cooldown_s = min(_LONGEST_S, self._cooldown_s * 2)
            self._open()
        elif self._until is None and self._failed >= self._most:
            self._open()

    def undecided(self) -> None:
        """The call ended before the upstream could show anything."""
        self._is_probing = False

    def _open(self) -> None:
        self._until = self._clock() + self._cooldown_s
        self._is_probing = False
