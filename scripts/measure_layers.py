"""Measure safeguard layers on labelled texts and write their cards.

    SAFECASE_DATA=/path/to/data python scripts/measure_layers.py --date 2026-11-21          # every layer that ships
    SAFECASE_DATA=/path/to/data python scripts/measure_layers.py --layer terms --layer injection
    python scripts/measure_layers.py --stack my-stack.yaml --rows mine.jsonl --place reply --out my-cards.json

Without --rows, a layer is measured on the sets that `_layer_sets.py` names for it, and cards of other layers in the
file stay as they are. With --rows, every layer of the stack file is measured on those rows: JSON lines of `text`,
`label` (true: to be stopped), and `group` and `language` where there are any. Counts and rates only; no text leaves the
data folder. Latencies want a quiet machine; the load average stands in the card.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from pathlib import Path

from _layer_sets import SETS_OF, SPELLINGS, Sets, read_set, text_of

from safecase.declare import Document, load_model_spec
from safecase.evidence import write_atomic
from safecase.measure import LENGTHS, LabelledSet, Place, layer_tables, measure_latency, measure_set
from safecase.safeguard import (
    CARDS,
    Cards,
    LayerCard,
    LayerConfig,
    PrincipleJudge,
    Safeguard,
    StackConfig,
    layer_code_digest,
    load_cards,
    load_stack,
)

HERE = Path(__file__).parent
LAYERS = HERE / "layers.yaml"
DOCS = HERE.parent / "docs" / "layers.md"
BEGIN, END = "<!-- cards: begin -->", "<!-- cards: end -->"
CALLS, CALLS_OF_A_MODEL = 200, 5

LIMITS: dict[str, tuple[str, ...]] = {
    "heads": ("reads words, not meaning", "trained on English"),
    "child-abuse-screen": (
        "recall is not measured and cannot be here: no such material may be held",
        "reads English words; replaces neither a hash list nor a person",
    ),
    "terms": ("finds the words it was given and nothing else: synonyms, misspelling and ciphers pass",),
    "meaning": (
        "reads a share of requests: measured here at all of them",
        "English, the first 256 word pieces of a text",
    ),
    "injection": (
        "an instruction that speaks like the page it stands in passes",
        "a page that quotes an attack is stopped",
    ),
    "personal-data": ("names and postal addresses have no shape and are not found",),
    "topics": ("finds the words and patterns it was given, and no topic by its meaning",),
    "code": (
        "sees a construct, not where its data comes from: a constant in a variable counts, a helper hides it",
        "a spelling that no compiler reads is no code; respelled recall says nothing here",
        "ten languages, and of each the constructs of its rules",
    ),
    "accounts": ("counts and compares: it has no error rate on texts, only limits that its owner sets",),
    "principle-judge": (
        "its worth is its model's: the one measured here is the smallest there is and no judge",
        "an answer that is no verdict withholds, and counts here as stopped",
    ),
}


async def card_of(
    layer: Safeguard, config: LayerConfig, sets: list[LabelledSet], *, options: argparse.Namespace, command: str
) -> LayerCard:
    """Measure one layer."""
    asks_a_model = isinstance(layer, PrincipleJudge)
    place: Place = sets[0].place if sets else "request"
    load = os.getloadavg()[0]
    latency = await measure_latency(
        layer,
        place,
        text_of=text_of,
        calls=CALLS_OF_A_MODEL if asks_a_model else CALLS,
        lengths=LENGTHS[:2] if asks_a_model else LENGTHS,
    )
    figures = [await measure_set(layer, one, spellings={} if asks_a_model else SPELLINGS) for one in sets]
    return LayerCard(
        name=config.name,
        layer=config.model_dump(mode="json", exclude_unset=True),
        layer_digest=layer.digest,
        code_digest=layer_code_digest(layer),
        sets=tuple(figures),
        latency=latency,
        limits=LIMITS.get(config.kind, ()),
        date=options.date,
        machine=f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        load=round(load, 2),
        command=command,
    )


def summary(card: LayerCard) -> list[str]:
    """A line a set, for the terminal."""
    time = ", ".join(f"{one.characters}: {one.p50_ms:.3f}/{one.p95_ms:.3f}" for one in card.latency)
    lines = [f"{card.name}: ms p50/p95 by characters {time}"]
    for one in card.sets:
        rates = (("precision", one.precision), ("recall", one.recall), ("FPR", one.false_positive_rate))
        shown = ", ".join(f"{name} {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]" for name, rate in rates if rate)
        spelled = ", ".join(f"{name} {rate.value:.3f}" for name, rate in one.respelled.items())
        lines.append(
            f"  {one.name} ({one.kind}, {one.positives}+{one.negatives}): {shown}; {spelled}; failed {one.failed}"
        )
    return lines


async def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--stack", type=Path, default=LAYERS)
    parser.add_argument("--layer", action="append", help="only this one; may be given again")
    parser.add_argument("--rows", type=Path, help="JSON lines of your own")
    parser.add_argument("--place", choices=["request", "reply", "tool-result"], default="request")
    parser.add_argument("--out", type=Path, default=CARDS)
    parser.add_argument("--date", required=True, help="the day of measuring, YYYY-MM-DD")
    options = parser.parse_args()
    folder = Path(os.environ.get("SAFECASE_DATA", ""))
    if options.rows is None and not (folder / "advbench.jsonl").is_file():
        print("set SAFECASE_DATA to the folder with the public data, or give --rows", file=sys.stderr)
        return 2
    configs = {one.name: one for one in Document(options.stack).parse(StackConfig).layers}
    stack = load_stack(options.stack.name, load_model_spec("default"), beside=options.stack.parent)
    layers = [layer for layer in stack.layers if not options.layer or layer.name in options.layer]
    sets, made = Sets(folder), []
    for layer in layers:
        names = () if options.rows else SETS_OF[layer.name]
        learned = getattr(layer, "weights_digest", None) is not None
        mine = [sets.make(name, learned=learned) for name in names]
        if options.rows:
            mine = [read_set(options.rows, place=options.place)]
        command = f"python scripts/measure_layers.py --layer {layer.name} --date {options.date}"
        if options.rows:  # names of files, not paths of this machine
            command += f" --stack {options.stack.name} --rows {options.rows.name} --place {options.place}"
        else:
            command = f"SAFECASE_DATA=... {command}"
        made.append(await card_of(layer, configs[layer.name], mine, options=options, command=command))
        print("\n".join(summary(made[-1])), flush=True)
    await stack.aclose()
    fresh = {card.name for card in made}
    before = load_cards(options.out).cards if options.out.exists() and not options.rows else ()
    kept = [card for card in before if card.name not in fresh and card.name in configs]
    order = list(configs)
    cards = Cards(cards=tuple(sorted([*kept, *made], key=lambda card: order.index(card.name))))
    write_atomic(options.out, (json.dumps(cards.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode())
    print(options.out)
    if options.out == CARDS:
        write_docs(cards)
    return 0


def write_docs(cards: Cards) -> None:
    """Put the tables where the docs page has room for them."""
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_atomic(DOCS, "\n".join([before + BEGIN, "", *layer_tables(cards), "", END + after]).encode())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
