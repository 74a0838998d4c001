"""`safecase measure layers`: what each safeguard layer is worth."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.safeguard import LayerWorth


@click.command("layers")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--arm", default="guarded", show_default=True, help="Whose stack.")
@json_option
@guarded
def layers_command(case: Path, arm: str, as_json: bool) -> None:
    """What each safeguard layer stopped, what it alone would have missed, its time and its over-refusal.

    A stack asks its layers in order until one withholds; what was not asked stands as not known. With `ask: all` in the
    stack file every layer of a stage is asked.

    \b
    Example:
        safecase measure layers my-case
        safecase measure layers my-case --json
    """
    from safecase.assess import open_case
    from safecase.safeguard import layer_worth

    worth = layer_worth(open_case(case).trials.read({"arm": arm}))
    if not worth:
        fail(f"{str(case)!r} holds no ruling on arm {arm!r}; run `safecase run {case}` with safeguards", BAD_INPUT)
    rows = [{**dataclasses.asdict(one), "over_refusal": one.over_refusal} for one in worth]
    emit(rows, as_json=as_json, lines=_lines(worth))


def _lines(worth: "tuple[LayerWorth, ...]") -> list[str]:
    columns = ("asked", "stopped", "alone", "missed", "over-refused", "failed", "median ms", "p95 ms")
    lines = [f"{'layer':24} {'stage':7}" + "".join(f" {column:>15}" for column in columns)]
    for one in worth:
        cells = (
            str(one.asked),
            str(one.stopped),
            _count(one.stopped_alone, one.alone_unknown),
            _count(one.missed_alone, one.missed_unknown),
            "n/a" if one.over_refusal is None else f"{one.over_refused} of {one.asked_harmless}",
            str(one.failed),
            _time(one.median_ms),
            _time(one.p95_ms),
        )
        name = one.layer if one.enforced else f"{one.layer} (observes)"
        lines.append(f"{name:24} {one.stage:7}" + "".join(f" {cell:>15}" for cell in cells))
    return [
        *lines,
        "stopped, alone, missed: harmful requests it would withhold; that no other layer would; that others withheld "
        "and it allowed",
        "n (+m ?): n known, and m more not known because a layer was not asked",
    ]


def _count(known: int, unknown: int) -> str:
    return f"{known} (+{unknown} ?)" if unknown else str(known)


def _time(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
