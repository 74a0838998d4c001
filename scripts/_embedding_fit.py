"""Fit linear heads on embeddings as the n-gram heads are fitted: all of it from out-of-fold margins."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import _heads_fit as fit
import numpy as np
import train_heads
from _heads_data import Item
from scipy.sparse import csr_matrix

from safecase.detect import EmbeddingHead, Performance

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
Features = Mapping[str, fit.Floats]
"""Text -> its features."""


def fit_head(
    name: str,
    parts: train_heads.Sorted,
    features: Features,
    choose: fit.Choose,
    *,
    seed: int,
) -> tuple[EmbeddingHead, float]:
    """The head and its penalty; one below the least AUROC on held-out groups ships disabled.

    Args:
        choose: picks the threshold from out-of-fold scores of the training rows.
        seed: of the bootstrap.
    """
    items = parts.train
    x = csr_matrix(np.array([features[item.text] for item in items]))
    y, groups = train_heads.positives(items), [item.group for item in items]
    weights = fit.balance(y, [item.source for item in items])
    margins = {c: fit.out_of_fold(x, y, weights, groups, c) for c in PENALTIES}
    penalty = max(PENALTIES, key=lambda c: round(fit.auroc(margins[c], y, weights), 3))
    slope, offset = fit.platt(margins[penalty], y, weights)
    scores = 1 / (1 + np.exp(-(slope * margins[penalty] + offset)))
    w, bias = fit.fit_logistic(x, y, weights, penalty)
    head = EmbeddingHead(
        name=name,
        weights=w.astype(np.float32),
        bias=round(bias, 6),
        slope=round(slope, 6),
        offset=round(offset, 6),
        threshold=choose(scores, y, [f"{item.source} {train_heads.band(item.text)}" for item in items]),
    )
    auroc = performance(head, parts.held_out, features, seed=seed).auroc
    return replace(head, enabled=auroc is not None and auroc.value >= train_heads.LEAST_AUROC), penalty


def scores_of(head: EmbeddingHead, items: Sequence[Item], features: Features) -> fit.Floats:
    """Probabilities, (item,)."""
    return np.array(head.scores(np.array([features[item.text] for item in items], np.float32)))


def performance(head: EmbeddingHead, items: Sequence[Item], features: Features, *, seed: int) -> Performance:
    """How the head does on rows that it never met."""
    y, groups = train_heads.positives(items), [item.group for item in items]
    return fit.measure(scores_of(head, items, features), y, groups, head.threshold, seed=seed)
