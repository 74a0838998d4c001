"""`safecase measure plan`: how much evidence every gate needs, before it is gathered."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import emit, guarded, json_option, note

if TYPE_CHECKING:
    from safecase.declare import Gate
    from safecase.measure import GateNeed, JudgeCard

_GUESS = (0.9, 0.9)
_RATE = click.FloatRange(0, 1)


@click.command("plan")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--truth", type=_RATE, help="Supposed rate of what goes wrong. Default: half of what each line allows.")
@click.option(
    "--power", default=0.9, show_default=True, type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Wanted."
)
@click.option("--judge-se", type=_RATE, help="Supposed share of what goes wrong that the judge finds.")
@click.option("--judge-sp", type=_RATE, help="Supposed share of what goes well that the judge leaves.")
@click.option("--by-people", is_flag=True, help="People label every answer; no judge is supposed.")
@json_option
@guarded
def plan_command(
    case: Path,
    truth: float | None,
    power: float,
    judge_se: float | None,
    judge_sp: float | None,
    by_people: bool,
    as_json: bool,
) -> None:
    """Intents, trials and people's labels that every gate of a case needs, and whether the bank holds them.

    Without --judge-se and --judge-sp the judge's card is supposed, and 0.9 for both where the card is silent. Nothing
    is run and nothing is written.

    \b
    Example:
        safecase measure plan my-case
        safecase measure plan my-case --truth 0.05 --power 0.8 --json
    """
    from safecase.assess import open_case
    from safecase.measure import EMBEDDED_CARD, Supposed, load_card, plan_gate
    from safecase.run import planned_gates

    opened = open_case(case)
    card = load_card(EMBEDDED_CARD) if opened.spec.judge == "embedded" else None
    rows: list[dict[str, Any]] = []
    columns = f"{'intents':>7} {'trials':>7} {'labels':>6} {'bank':>5} {'planned':>7} {'chance':>6}"
    lines = [f"{'gate':36} {'verdict':15} {columns}"]
    for gate in planned_gates(opened.spec, opened.framework):
        judge, source = (None, "people") if by_people else _supposed_judge(gate, card, judge_se, judge_sp)
        supposed = Supposed(truth=truth, power=power, judge=judge)
        need = plan_gate(gate, opened.framework, opened.intents, opened.spec.sampling, supposed)
        arms = len(opened.arms)
        rows.append({**dataclasses.asdict(need), "arms": arms, "judge": judge, "judge_source": source, "power": power})
        lines += _lines(need, arms=arms)
        note(f"{gate.id}: judge supposed {_pair(judge)} ({source})")
    emit(rows, as_json=as_json, lines=lines)


def _supposed_judge(
    gate: "Gate", card: "JudgeCard | None", se: float | None, sp: float | None
) -> tuple[tuple[float, float], str]:
    """(sensitivity, specificity) for what goes wrong at this gate, and where the figures come from."""
    known = _from_card(gate, card)
    found = known or _GUESS
    judge = (found[0] if se is None else se, found[1] if sp is None else sp)
    if se is not None and sp is not None:
        return judge, "as given"
    rest = "the judge's card" if known else "a guess, the card is silent"
    return judge, rest if se is None and sp is None else f"as given, else {rest}"


def _from_card(gate: "Gate", card: "JudgeCard | None") -> tuple[float, float] | None:
    from safecase.measure import EVENT_OF, LEAST_OWN_LABELS

    if card is None:
        return None
    event, _ = EVENT_OF[gate.measure]
    domain = gate.scope.domains[0] if gate.scope.domains else "content-policy"
    counts = card.transferred(event, domain=domain, language="en")
    if min(counts.hits + counts.misses, counts.rejections + counts.false_alarms) < LEAST_OWN_LABELS:
        return None
    se, sp = counts.sensitivity or 0.0, counts.specificity or 0.0
    return (se, sp) if gate.thresholds[0].passes.is_ceiling else (sp, se)


def _lines(need: "GateNeed", *, arms: int) -> list[str]:
    trials = None if need.trials is None else need.trials * arms
    labels = None if need.labels is None else need.labels * arms
    head = (
        f"{need.gate:36} {need.verdict:15} {_count(need.intents):>7} {_count(trials):>7} {_count(labels):>6} "
        f"{need.bank:>5} {need.planned:>7} {need.chance:>6.0%}"
    )
    rows = [
        f"    {line.over}: {_count(line.intents)} intents"
        + ("" if line.over == "all" else f" in each of {line.groups} groups")
        + f", {line.truth:g} supposed against {line.allowed:g} allowed"
        + ("" if line.power is None else f"; simulated power {line.power:.0%}")
        for line in need.lines
    ]
    people = "" if need.by_people is None else f" (were every answer read by people: {need.by_people} intents)"
    return [head, f"    {need.reason}{people}", *rows]


def _count(value: int | None) -> str:
    return "none" if value is None else str(value)


def _pair(judge: tuple[float, float] | None) -> str:
    return "none" if judge is None else f"{judge[0]:.2f}/{judge[1]:.2f}"
