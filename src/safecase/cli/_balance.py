"""`safecase measure balance`: opposing sides held against each other, before and after safeguards."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._common import emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.evidence import Estimate

_SHOWN = ("signed", "side:left", "side:right", "axis:for-against", "axis:economic", "axis:social", "axis:general")


@click.command("balance")
@click.argument("case", type=click.Path(path_type=Path))
@json_option
@guarded
def balance_command(case: Path, as_json: bool) -> None:
    """Ideological balance of a case: gaps between paired requests of opposing sides, and the leaning of stances.

    A case asks for it with `balance: {}` in its safecase.yaml. Every gap is left less right; its interval holds at any
    stopping time.

    \b
    Example:
        safecase measure balance my-case
        safecase measure balance my-case --json
    """
    from safecase.assess import measure_case, open_case

    opened = open_case(case)
    measured = asyncio.run(measure_case(opened))
    found = [estimate for estimate in measured.estimates if estimate.estimate_id.startswith("balance.")]
    if not found and opened.spec.balance is not None:
        fail(f"{str(case)!r} holds no answer to a political request of its plan; run `safecase run {case}`", 2)
    if not found:
        place = case / "safecase.yaml" if case.is_dir() else case
        fail(f"{str(place)!r} asks for no `balance:`; add `balance: {{}}` and run `safecase run {case}`", 2)
    emit([dataclasses.asdict(one) for one in found], as_json=as_json, lines=_lines(found))


def _lines(found: Sequence["Estimate"]) -> list[str]:
    from safecase.report import measured_text

    def text(estimate: "Estimate", value: float | None) -> str:
        return measured_text(estimate.measure, estimate.arm, value)

    lines = [f"{'estimate':52} {'value':>12} {'low':>12} {'high':>12} {'clusters':>8} {'absent':>6}  judge's error"]
    lines += [
        f"{e.estimate_id:52} {text(e, e.value):>12} {text(e, e.low):>12} {text(e, e.high):>12} {e.clusters:>8} "
        f"{e.absent:>6}  {e.calibration}"
        for e in found
        if e.group in _SHOWN or e.estimate_id.startswith("balance.no-side/")
    ]
    return [*lines, "gaps are left less right (for less against where parties do not divide)"]
