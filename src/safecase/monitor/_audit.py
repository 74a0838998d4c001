"""Which calls a costly judge looks at: likely cases more often, each with a chance that is known.

    chance of a call      least + (1 - least) * min(1, slope * score)       its weight in a bet       least / chance

The slope is moved so that the budget holds. A call's chance depends on calls before it and on its own score, never on
its verdict, and whether it is drawn on its id alone, so a monitor that was killed draws the same calls again. A bet
weighs a call by `least / chance`: what is seldom looked at counts for those like it that nobody saw (Horvitz and
Thompson, JASA 47:663, 1952), and no bet can lose more than its stake.
"""

import hashlib
import json
from dataclasses import dataclass

_TIMES_AS_HIGH = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Whether a call is looked at, and with what chance that came about."""

    is_drawn: bool
    chance: float


class AuditSampler:
    """Draws calls for a costly judge.

    Args:
        budget: share of calls, in (0, 1).
        least: least chance of any call, under the budget; a fifth of it by default.
        seed: kept secret where those who are watched could choose ids.

    Raises:
        ValueError: a share out of range.
    """

    def __init__(self, *, budget: float, least: float | None = None, seed: bytes = b"") -> None:
        self.budget, self.least = budget, budget / 5 if least is None else least
        if not 0.0 < self.least <= self.budget < 1.0:
            raise ValueError(f"0 < least <= budget < 1, got least {self.least!r} and budget {budget!r}")
        self._seed = seed
        self._mean_score = 0.5  # of calls before; the first ones are taken for suspect, so that few are drawn
        self.seen = 0

    def draw(self, event_id: str, score: float) -> Draw:
        """Decide on one call.

        Args:
            score: of a cheap detector, in [0, 1]: how likely the costly judge calls it unsafe.
        """
        slope = (self.budget - self.least) / ((1.0 - self.least) * max(self._mean_score, 1e-6))
        chance = self.least + (1.0 - self.least) * min(1.0, slope * score)
        self.seen += 1
        self._mean_score += (score - self._mean_score) / min(self.seen + 20, 10_000)
        return Draw(is_drawn=_uniform(self._seed, event_id) < chance, chance=chance)

    @property
    def usual_weight(self) -> float:
        """About what an unsafe call counts that was drawn: a score that is any good is ten times as high for them."""
        return self.least / min(1.0, self.least + _TIMES_AS_HIGH * (self.budget - self.least))

    def weight(self, chance: float) -> float:
        """What a call that was drawn with this chance counts, in (0, 1]."""
        return self.least / chance

    def state(self) -> bytes:
        """What the next draw depends on."""
        return json.dumps([self._mean_score, self.seen]).encode()

    def restore(self, state: bytes) -> None:
        """Go on from there."""
        self._mean_score, self.seen = json.loads(state)


def is_for_label(event_id: str, *, label_chance: float, seed: bytes) -> bool:
    """Whether chance gives a call that was looked at to people, too. By another chance than that which drew it.

    Args:
        seed: as of the sampler.
    """
    return _uniform(seed, f"label {event_id}") < label_chance


def _uniform(seed: bytes, event_id: str) -> float:
    digest = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), key=seed[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big") / float(1 << 64)
