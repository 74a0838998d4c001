"""`safecase compose`: list, count and sample scenarios."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import click

from safecase.cli._common import emit, guarded, json_option
from safecase.evidence import Scenario


@click.command("compose")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--all", "whole_bank", is_flag=True, help="The whole bank, instead of what the plan selects.")
@click.option("--sample", "size", type=click.IntRange(1), help="Print this many scenarios.")
@click.option("--attacks", "list_attacks", is_flag=True, help="List the attacks instead.")
@json_option
@guarded
def compose_command(case: Path, whole_bank: bool, size: int | None, list_attacks: bool, as_json: bool) -> None:
    """List, count and sample the scenarios of a case.

    Held-out scenarios are counted, never printed.

    \b
    Example:
        safecase compose my-case
        safecase compose my-case --all --json
        safecase compose my-case --sample 5
    """
    from safecase.assess import open_case
    from safecase.compose import ATTACKS, PLAYS, compose, select
    from safecase.run import planned_gates

    if list_attacks:
        attacks = (*ATTACKS, *PLAYS)
        listed = [{"attack": a.name, "family": a.family, "attempts": a.attempts, "summary": a.summary} for a in attacks]
        emit(listed, as_json=as_json, lines=(f"{a.name:20} {a.family:14} {a.summary}" for a in attacks))
        return
    opened = open_case(case)
    if whole_bank:
        languages = ["en", *sorted({name for intent in opened.intents for name in intent.translations})]
        scenarios = compose(opened.intents, languages=languages, seed=opened.spec.sampling.seed)
    else:
        gates = planned_gates(opened.spec, opened.framework)
        scenarios = select(opened.framework, opened.intents, opened.spec.sampling, gates=gates)
    if size is not None:
        shown = islice((s for s in scenarios if not s.held_out), size)
        rows: list[dict[str, str | bool]] = [
            {
                "scenario_id": s.scenario_id,
                "category": s.category,
                "attack": s.attack,
                "language": s.language,
                "harmful": s.harmful,
                "text": s.messages[-1].content,
            }
            for s in shown
        ]
        emit(rows, as_json=as_json, lines=(f"{r['scenario_id']}  {r['category']}  {r['attack']}" for r in rows))
        return
    counts = _count(scenarios)
    emit(counts, as_json=as_json, lines=_lines(counts))


def _count(scenarios: Iterable[Scenario]) -> dict[str, object]:
    total = harmful = 0
    by: dict[str, Counter[str]] = {key: Counter() for key in ("category", "family", "attack", "language")}
    intents: set[str] = set()
    for scenario in scenarios:
        total += 1
        harmful += scenario.harmful
        intents.add(scenario.intent_id)
        for key, counter in by.items():
            counter[getattr(scenario, key)] += 1
    return {
        "scenarios": total,
        "intents": len(intents),
        "harmful": harmful,
        "benign": total - harmful,
        **{f"by_{key}": dict(sorted(counter.items())) for key, counter in by.items()},
    }


def _lines(counts: dict[str, object]) -> list[str]:
    lines = [
        f"{counts['scenarios']} scenarios from {counts['intents']} intents: {counts['harmful']} harmful, "
        f"{counts['benign']} benign"
    ]
    for key, value in counts.items():
        if isinstance(value, dict):
            lines.append(f"{key.replace('_', ' ')}: " + ", ".join(f"{name} {n}" for name, n in value.items()))
    return lines


COMMANDS = {"compose": compose_command}
