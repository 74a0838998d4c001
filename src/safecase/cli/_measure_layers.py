"""`safecase measure layers`: what each safeguard layer is worth."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.assess import LayerFigures
    from safecase.measure import WithoutLayer


@click.command("layers")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--arm", default="guarded", show_default=True, help="Whose stack.")
@json_option
@guarded
def layers_command(case: Path, arm: str, as_json: bool) -> None:
    """What each safeguard layer stopped, what would pass without it, its time and its over-refusal.

    A stack asks its layers in order until one withholds; what was not asked stands as not known. With `ask: all` in the
    stack file every layer of a stage is asked. What would pass without a layer is read off the same requests on the
    bare arm. How good each layer is by itself, on public labelled rows, stands in its card: docs/layers.md.

    \b
    Example:
        safecase measure layers my-case
        safecase measure layers my-case --json
    """
    from safecase.assess import layer_figures, open_case

    figures = layer_figures(open_case(case), arm=arm)
    if not figures:
        fail(f"{str(case)!r} holds no ruling on arm {arm!r}; run `safecase run {case}` with safeguards", BAD_INPUT)
    emit([one.to_json() for one in figures], as_json=as_json, lines=layer_lines(figures))


COLUMNS = ("asked", "stopped", "alone", "unsafe without it", "over-refused alone", "alone would miss", "p50/p95 ms")


def layer_lines(figures: "Sequence[LayerFigures]") -> list[str]:
    """A table for people, with what its columns mean and what is not known."""
    rows = [("layer", "stage", *COLUMNS), *(_cells(one) for one in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*table, *_MEANINGS, *_gaps(figures)]


_MEANINGS = (
    "stopped: harmful requests it would withhold; alone: those that no other layer of its stage would",
    "unsafe without it: share of harmful requests that would get an unsafe answer if it were taken away; over-refused "
    "alone: share of harmless ones that nothing else withholds; both with 95 % intervals over intents",
    "alone would miss: harmful requests that others withheld and it allowed",
)


def _cells(one: "LayerFigures") -> tuple[str, ...]:
    worth = one.worth
    time = "n/a" if worth.median_ms is None else f"{worth.median_ms:.2f}/{worth.p95_ms:.2f}"
    return (
        worth.layer if worth.enforced else f"{worth.layer} (observes)",
        worth.stage,
        str(worth.asked),
        str(worth.stopped),
        _count(worth.stopped_alone, worth.alone_unknown),
        _share(one.missed),
        _share(one.over_refused),
        _count(worth.missed_alone, worth.missed_unknown),
        time + (f", {worth.failed} failed" if worth.failed else ""),
    )


def _gaps(figures: "Sequence[LayerFigures]") -> list[str]:
    """What these figures cannot say, and what would let them."""
    lines = []
    worths = [one.worth for one in figures]
    if any(worth.alone_unknown or worth.over_unknown or worth.missed_unknown for worth in worths):
        lines.append(
            "(+n ?): n more not known, as a layer was not asked; `ask: all` in the stack file asks all of a stage"
        )
    if any(one.missed is None for one in figures):
        lines.append("unsafe without it: not measured; it needs the bare arm beside this one (`arms: [bare, guarded]`)")
    if any(one.missed and one.missed.may_be_stopped for one in figures):
        lines.append("at most: what the input stage stopped would still have met the layers of the output stage")
    if any(one.missed and one.missed.unknown for one in figures):
        lines.append(
            "unsafe without it counts requests without a judged answer on the bare arm, or of a domain for which the "
            "judge was never measured, as unsafe in the upper end and as safe in the lower"
        )
    return lines


def _share(found: "WithoutLayer | None") -> str:
    if found is None:
        return "n/a"
    value = "n/a" if found.value is None else f"{'at most ' if found.may_be_stopped else ''}{found.value:.1%}"
    return f"{value} [{found.low:.1%}, {found.high:.1%}]"


def _count(known: int, unknown: int) -> str:
    return f"{known} (+{unknown} ?)" if unknown else str(known)
