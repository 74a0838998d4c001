"""Fit a linear head, calibrate it on rows it did not see, and measure it on groups it never met."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from safecase.detect import Counts, Features, Head, Measured, Performance, count_ngrams

Floats = NDArray[np.float64]
Numbers = NDArray[np.number[Any]]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]

_PENALTIES = (3.0, 10.0, 30.0, 100.0)
_FOLDS = 5


# --- Fitting ----------------------------------------------------------------------------------------------------------


def count_matrix(texts: Sequence[str], features: Features) -> csr_matrix:
    """One row of n-gram counts a text, float64, (texts, 2**bits)."""
    counts: list[Counts] = [count_ngrams(text, features) for text in texts]
    return csr_matrix(
        (
            np.concatenate([c.values for c in counts]).astype(np.float64),
            np.concatenate([c.buckets for c in counts]),
            np.concatenate(([0], np.cumsum([len(c.buckets) for c in counts]))),
        ),
        shape=(len(texts), 1 << features.bits),
    )


def balance(positive: Flags, sources: Sequence[str]) -> Floats:
    """Row weights: a source counts as the square root of its rows within its class, the classes count the same."""
    weights = np.zeros(len(positive))
    for label in (False, True):
        for source in sorted(set(sources)):
            rows = (positive == label) & (np.array(sources) == source)
            if rows.any():
                weights[rows] = rows.sum() ** -0.5
        weights[positive == label] /= weights[positive == label].sum()
    return weights * len(positive) / 2


def fit_logistic(x: csr_matrix, y: Flags, weights: Floats, penalty: float) -> tuple[Floats, float]:
    """Weighted logistic regression with an L2 penalty, by L-BFGS from zero: (weights, bias).

    `penalty` is C: the larger, the freer the weights. Only buckets that occur are fitted; the others stay 0.
    """
    used = np.unique(x.indices)
    part = x[:, used]
    sign = np.where(y, 1.0, -1.0)

    def loss(at: Floats) -> tuple[float, Floats]:
        margin = sign * (part @ at[:-1] + at[-1])
        pull = -sign * weights * np.exp(-np.logaddexp(0, margin))
        value = weights @ np.logaddexp(0, -margin) + at[:-1] @ at[:-1] / (2 * penalty)
        return float(value), np.concatenate((part.T @ pull + at[:-1] / penalty, [pull.sum()]))

    best = minimize(
        loss, np.zeros(len(used) + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-4, "ftol": 1e-7}
    )
    full = np.zeros(x.shape[1])
    full[used] = best.x[:-1]
    return full, float(best.x[-1])


def fold_of(group: str) -> int:
    """The fold of a group, by hash."""
    return sha256(f"safecase-fold:{group}".encode()).digest()[0] % _FOLDS


def out_of_fold(x: csr_matrix, y: Flags, weights: Floats, groups: Sequence[str], penalty: float) -> Floats:
    """Margins of every row by a head that saw nothing of its group."""
    folds = np.array([fold_of(group) for group in groups])
    margins = np.zeros(len(y))
    for fold in range(_FOLDS):
        rest, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        w, b = fit_logistic(x[rest], y[rest], weights[rest], penalty)
        margins[out] = x[out] @ w + b
    return margins


def platt(margins: Floats, y: Flags, weights: Floats) -> tuple[float, float]:
    """Slope and offset that turn margins into probabilities. Source: Platt (1999), with his smoothed targets."""
    ups, downs = y.sum(), (~y).sum()
    target = np.where(y, (ups + 1) / (ups + 2), 1 / (downs + 2))

    def loss(at: Floats) -> float:
        z = at[0] * margins + at[1]
        return float(weights @ (target * np.logaddexp(0, -z) + (1 - target) * np.logaddexp(0, z)))

    best = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
    return float(best.x[0]), float(best.x[1])


Choose = Callable[[Floats, Flags, Sequence[str]], float]
"""Picks a threshold from out-of-fold scores, labels, and the part (source, length band) each row belongs to."""


def at_false_positive_rate(most: float) -> Choose:
    """The lowest threshold at which at most `most` of the negatives fire in every part that has 30 of them.

    Every part, because a thousand coding tasks would outvote a hundred everyday questions.
    """

    def choose(scores: Floats, y: Flags, parts: Sequence[str]) -> float:
        names = np.array(parts)
        negatives = [
            scores[~y & (names == name)] for name in sorted(set(names[~y])) if (~y & (names == name)).sum() >= 30
        ]
        for at in np.linspace(0.05, 0.99, 95):
            if max((part >= at).mean() for part in negatives) <= most:
                return round(float(at), 4)
        return 0.99

    return choose


def at_best_balance(scores: Floats, y: Flags, parts: Sequence[str]) -> float:
    """The threshold with the largest sum of sensitivity and specificity (Youden)."""
    del parts
    grid = np.linspace(0.05, 0.95, 91)
    value = [(scores[y] >= at).mean() + (scores[~y] < at).mean() for at in grid]
    return round(float(grid[int(np.argmax(value))]), 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What one head is fitted on: arrays and lists run over the same rows."""

    x: csr_matrix
    y: Flags
    groups: Sequence[str]
    sources: Sequence[str]
    parts: Sequence[str]
    real: Flags  # False for rows written or derived to teach: they calibrate nothing


def train_head(name: str, data: Training, features: Features, choose: Choose) -> tuple[Head, float]:
    """Fit a head; penalty, calibration and threshold all come from out-of-fold margins. Returns it with its penalty."""
    weights = balance(data.y, data.sources)
    real = np.flatnonzero(data.real)
    y, parts = data.y[real], [data.parts[int(i)] for i in real]
    level = balance(y, [data.sources[int(i)] for i in real])
    margins = {c: out_of_fold(data.x, data.y, weights, data.groups, c)[real] for c in _PENALTIES}
    penalty = max(_PENALTIES, key=lambda c: round(auroc(margins[c], y, level), 3))
    slope, offset = platt(margins[penalty], y, level)
    scores = 1 / (1 + np.exp(-(slope * margins[penalty] + offset)))
    w, bias = fit_logistic(data.x, data.y, weights, penalty)
    head = Head(
        name=name,
        features=features,
        weights=w.astype(np.float16).astype(np.float32),  # as it will be read back
        bias=round(bias, 6),
        slope=round(slope, 6),
        offset=round(offset, 6),
        threshold=choose(scores, y, parts),
    )
    return head, penalty


# --- Measuring --------------------------------------------------------------------------------------------------------


def auroc(scores: Floats, y: Flags, weights: Floats | None = None) -> float:
    """Chance that a positive scores above a negative, ties half."""
    return float(_auroc(scores, y, np.ones((1, len(y))) if weights is None else weights[None])[0])


def measure(scores: Floats, y: Flags, groups: Sequence[str], threshold: float, *, seed: int) -> Performance:
    """All figures with 95 % percentile-bootstrap intervals over groups (500 resamples).

    A rate's interval is widened to Wilson's over its groups: a bootstrap of no events would claim certainty.
    """
    fires = scores >= threshold
    names, of = np.unique(np.array(groups), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=500)
    # How often each row counts, (1 + resamples, rows): first as it is, then as drawn.
    times: Floats = np.concatenate((np.ones((1, len(y))), draws[:, of].astype(np.float64)))

    def bounded(values: Floats) -> Measured | None:
        """`values`: the figure as it is, then as drawn; NaN where a draw lacks what the figure needs."""
        if not np.isfinite(values[0]):
            return None
        drawn = values[1:][np.isfinite(values[1:])]
        low, high = np.percentile(drawn, [2.5, 97.5]) if len(names) > 2 else (0.0, 1.0)
        # A resample repeats rows, which raises a calibration error: the figure itself may lie outside, so it is let in.
        return Measured(value=_r(values[0]), low=_r(min(low, values[0])), high=_r(max(high, values[0])))

    def rate(event: Flags, among: Flags) -> Measured | None:
        found = bounded(_divide(times @ (event & among), times @ among))
        if found is None:
            return None
        low, high = wilson(found.value, len(np.unique(of[among])))
        return Measured(value=found.value, low=_r(min(low, found.low)), high=_r(max(high, found.high)))

    has_both = bool(y.any() and (~y).any())
    return Performance(
        rows=len(y),
        positives=int(y.sum()),
        groups=len(names),
        precision=rate(y, fires) if has_both else None,
        recall=rate(fires, y),
        false_positive_rate=rate(fires, ~y),
        auroc=bounded(_auroc(scores, y, times)) if has_both else None,
        average_precision=bounded(_average_precision(scores, y, times)) if has_both else None,
        calibration_error=bounded(_calibration_error(scores, y, times)) if has_both else None,
    )


def _auroc(scores: Floats, y: Flags, times: Floats) -> Floats:
    """(draws,) from times, (draws, rows)."""
    order = np.argsort(scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.inf))  # last row of each run of ties
    ups, downs = (np.cumsum(times[:, order] * label[order], axis=1)[:, ends] for label in (y, ~y))
    below = np.concatenate((np.zeros((len(times), 1)), downs[:, :-1]), axis=1)
    here = np.diff(ups, axis=1, prepend=0)
    return _divide((here * (below + downs) / 2).sum(axis=1), ups[:, -1] * downs[:, -1])


def _average_precision(scores: Floats, y: Flags, times: Floats) -> Floats:
    order = np.argsort(-scores, kind="stable")
    counted = times[:, order]
    hits = np.cumsum(counted * y[order], axis=1)
    precision = hits / np.maximum(np.cumsum(counted, axis=1), 1)
    return _divide((precision * counted * y[order]).sum(axis=1), hits[:, -1])


def _calibration_error(scores: Floats, y: Flags, times: Floats, bins: int = 10) -> Floats:
    """Expected calibration error over bins of equal count."""
    gaps = [
        np.abs(times[:, part] @ (scores[part] - y[part]))
        for part in np.array_split(np.argsort(scores, kind="stable"), min(bins, len(y)))
    ]
    return _divide(np.sum(gaps, axis=0), times.sum(axis=1))


def _divide(above: Numbers, below: Numbers) -> Floats:
    """NaN where there is nothing to divide by."""
    result: Floats = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return result


def wilson(share: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Source: Wilson, JASA 22:209 (1927)."""
    centre = share + z * z / (2 * trials)
    spread = z * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def measure_parts(
    scores: Floats, y: Flags, groups: Sequence[str], parts: Sequence[str], threshold: float, *, seed: int
) -> Mapping[str, Performance]:
    """`measure` of each part that has at least ten rows."""
    labels = np.array(parts)
    found = {}
    for part in sorted(set(parts)):
        rows = np.flatnonzero(labels == part)
        if len(rows) >= 10:
            found[part] = measure(scores[rows], y[rows], [groups[int(i)] for i in rows], threshold, seed=seed)
    return found


def _r(value: float) -> float:
    return round(float(value), 4)
