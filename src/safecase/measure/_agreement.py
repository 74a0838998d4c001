"""How far two readers of the same answers agree beyond chance, with an interval that perfect agreement does not close.

Both coefficients are one minus a ratio, disagreement seen over disagreement by chance. The part that was seen is a mean
over answers and is bounded (exactly where it is a count); the part by chance is held at its estimate, as Cohen's own
standard error holds it. So an agreement without a miss among twenty answers does not come out as certain.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

from safecase.measure._bounds import clopper_pearson
from safecase.measure._sequence import mean_bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """A coefficient of agreement: 1 is perfect, 0 is what chance gives, below 0 is worse than chance.

    Attributes:
        value: None where nothing was read by both, or where chance alone agrees always (one label for everything).
        low, high: two-sided interval; None exactly where `value` is.
        n: answers behind it.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def cohen_kappa(pairs: Iterable[tuple[Hashable, Hashable]], *, alpha: float = 0.05) -> Coefficient:
    """Agreement of two readers on labels without order.

    Args:
        pairs: (one reader's label, the other's), one per answer; answers must be independent of each other.
        alpha: error of the interval.

    Source: Cohen, Educational and Psychological Measurement 20:37 (1960); the share of agreement inside is bounded by
    Clopper and Pearson (1934) instead of by its normal approximation.

    >>> found = cohen_kappa([("a", "a")] * 10 + [("b", "b")] * 10)
    >>> found.value, found.low < 0.7
    (1.0, True)
    """
    seen = list(pairs)
    n = len(seen)
    chance = _chance([one for one, _ in seen], [other for _, other in seen]) if n else 1.0
    if chance >= 1.0:
        return Coefficient(value=None, low=None, high=None, n=n)
    agreed = sum(one == other for one, other in seen)
    bounds = clopper_pearson(agreed, n, alpha=alpha)
    value, low, high = ((share - chance) / (1 - chance) for share in (agreed / n, bounds.low, bounds.high))
    return Coefficient(value=value, low=max(-1.0, low), high=high, n=n)


def krippendorff_alpha(units: Iterable[Sequence[Hashable]], *, alpha: float = 0.05) -> Coefficient:
    """Agreement of any number of readers on labels without order; a reader may have left answers out.

    Args:
        units: the labels of each answer; one with fewer than two labels says nothing and is passed over.
        alpha: error of the interval, which bounds the mean disagreement of an answer.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), nominal data.

    >>> round(krippendorff_alpha([("a", "a", "a"), ("b", "b", "b"), ("a", "a", "b")]).value, 3)
    0.6
    """
    read = [unit for unit in units if len(unit) > 1]
    total = Counter(label for unit in read for label in unit)
    labels = total.total()
    by_chance = sum(count * (labels - count) for count in total.values())
    if not by_chance:
        return Coefficient(value=None, low=None, high=None, n=len(read))
    expected = by_chance / (labels * (labels - 1))
    weights = [len(unit) * len(read) / labels for unit in read]
    shares = [_disagreement(unit) for unit in read]
    seen = sum(weight * share for weight, share in zip(weights, shares, strict=True)) / len(read)
    # An answer's weighted disagreement lies in [0, widest]; the bet needs [0, 1].
    widest = max(weights)
    unit_means = [weight * share / widest for weight, share in zip(weights, shares, strict=True)]
    bounds = mean_bounds(unit_means, alpha_lower=alpha / 2, alpha_upper=alpha / 2, planned=len(read))
    return Coefficient(
        value=1 - seen / expected,
        low=max(-1.0, 1 - bounds.high * widest / expected),
        high=min(1.0, 1 - bounds.low * widest / expected),
        n=len(read),
    )


def _chance(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Share of agreement of two independent readers with these habits."""
    first, second = Counter(one), Counter(other)
    return sum(first[label] * second[label] for label in first) / len(one) ** 2


def _disagreement(unit: Sequence[Hashable]) -> float:
    """Share of ordered pairs of an answer's labels that differ."""
    pairs = list(permutations(unit, 2))
    return sum(one != other for one, other in pairs) / len(pairs)
