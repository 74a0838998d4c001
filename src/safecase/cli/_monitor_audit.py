"""`safecase monitor audit`: a costly judge on a few of the calls, and the rate of all that follows from them."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, NOT_SUPPORTED, emit, fail, guarded, json_option
from safecase.cli._monitor_misuse import aside_folder, state_file

if TYPE_CHECKING:
    from safecase.assess import Case
    from safecase.monitor import AuditedRate, AuditTally, MonitorStore

_SEED = "monitor-audit-v1"


@click.command("audit")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--events", "target", required=True, help="As `safecase monitor` takes them.")
@click.option("--judge", "judge_name", required=True, help="A model that judges by the rubric, or `embedded`.")
@click.option(
    "--budget",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.015,
    show_default=True,
    help="Share of calls that it looks at.",
)
@click.option(
    "--at-most", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Alarm where the rate is over this."
)
@click.option("--least-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="As there.")
@click.option("--stack", default="", help="Stack digest of events that name none.")
@click.option("--open-sealed", is_flag=True, help="Open sealed content; the ledger names --by and --why.")
@click.option("--by", default="", help="Who answers for it.")
@click.option("--why", default="", help="What for.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write the ids of calls that people should label.")
@click.option(
    "--label-chance",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Of a call that was looked at to stand on the sheet.",
)
@click.option("--labels", type=click.Path(path_type=Path, exists=True), help="What people said of those on the sheet.")
@click.option("--state", type=click.Path(path_type=Path), help="The audit's own file; by default beside the monitor's.")
@json_option
@guarded
def audit_command(
    case: Path,
    target: str,
    judge_name: str,
    budget: float,
    at_most: float | None,
    least_p: float,
    stack: str,
    open_sealed: bool,
    by: str,
    why: str,
    sheet: Path | None,
    label_chance: float,
    labels: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Let a costly judge look at a share of the calls, likely ones more often, and say how many answers are unsafe.

    Each call has a known chance, kept beside its verdict, and counts by it. Goes on where the last run ended. Exit code
    3 when the rate is over --at-most.

    \b
    Example:
        safecase monitor audit my-case --events run/events --judge openai/judge@http://127.0.0.1:8000/v1 --at-most 0.002
        safecase monitor audit my-case --events log:calls.jsonl --judge embedded --sheet sheet.jsonl --label-chance 0.2
        safecase monitor audit my-case --events log:calls.jsonl --judge embedded --label-chance 0.2 --labels labels.jsonl
    """  # noqa: E501 - one command is one line
    from safecase.assess import open_case
    from safecase.monitor import MonitorStore, read_event_labels

    opened = open_case(case)
    if open_sealed and not (by and why):
        fail("--open-sealed goes with --by and --why: the ledger says who opened what for", BAD_INPUT)
    usual = state_file(opened)
    store = MonitorStore(state or usual.with_name(f"{usual.stem}.audit.sqlite"))
    try:
        tally = asyncio.run(
            _audit(
                opened,
                store,
                target,
                judge_name,
                budget=budget,
                at_most=at_most,
                least_p=least_p,
                stack=stack,
                sealed_for=(by, why) if open_sealed else None,
            )
        )
        said = read_event_labels(labels) if labels else None
        rates = _rates(opened, store, said, label_chance=label_chance)
        alerts = [one for one in store.alerts() if one.kind == "audit-broken"]
        if sheet is not None:
            _write_sheet(opened, store, sheet, label_chance=label_chance)
    finally:
        store.close()
    value: dict[str, Any] = {
        **dataclasses.asdict(tally),
        "rates": [dataclasses.asdict(one) for one in rates],
        "broken": [dataclasses.asdict(one) for one in alerts],
    }
    lines = [*map(_line, rates), *(f"{one.at} CRITICAL {one.what}" for one in alerts)]
    if tally.unseen:
        lines.append(f"{tally.unseen} calls could not be looked at: their content is not here")
    emit(value, as_json=as_json, lines=lines or ["no call could be looked at"])
    if alerts:
        raise click.exceptions.Exit(NOT_SUPPORTED)


async def _audit(
    case: "Case",
    store: "MonitorStore",
    target: str,
    judge_name: str,
    *,
    budget: float,
    at_most: float | None,
    least_p: float,
    stack: str,
    sealed_for: tuple[str, str] | None,
) -> "AuditTally":
    from safecase.assess import RequestReader
    from safecase.measure import EmbeddedJudge, Judge, RubricJudge
    from safecase.models import open_model
    from safecase.monitor import (
        Aside,
        AuditPromise,
        AuditRun,
        AuditSampler,
        ContentOpener,
        Detectors,
        open_source,
    )

    model = None if judge_name == "embedded" else open_model(judge_name)
    judge: Judge = EmbeddedJudge() if model is None else RubricJudge(model)
    run = AuditRun(
        store,
        open_source(target, group="audit"),
        detectors=Detectors(RequestReader(case.intents)),
        judge=judge,
        sampler=AuditSampler(budget=budget, seed=_seed(case)),
        promise=None if at_most is None else AuditPromise(p0=at_most),
        least_p=least_p,
        stack=stack,
        opener=None if sealed_for is None else ContentOpener(case, actor=sealed_for[0], purpose=sealed_for[1]),
        aside=Aside(aside_folder(state_file(case))),
    )
    try:
        return await run.run(once=True)
    finally:
        if model is not None:
            await model.aclose()


def _seed(case: "Case") -> bytes:
    """Of the case's own key: who chooses ids cannot choose whether they are drawn."""
    return case.vault(create=True).derive(_SEED)


def _rates(
    case: "Case", store: "MonitorStore", labels: dict[str, bool] | None, *, label_chance: float
) -> "list[AuditedRate]":
    from safecase.monitor import audited_rate, is_for_label

    rows, seed = list(store.audited()), _seed(case)
    drawn = None
    if labels is not None:
        drawn = {
            name: said for name, said in labels.items() if is_for_label(name, label_chance=label_chance, seed=seed)
        }
    calls = {name.partition("@")[2]: count for name, count in store.counts().items() if name.startswith("calls@")}
    return [
        audited_rate(
            (one for one in rows if one.stack_digest == stack),
            stack_digest=stack,
            calls=count,
            labels=drawn,
            label_chance=label_chance,
        )
        for stack, count in sorted(calls.items())
    ]


def _write_sheet(case: "Case", store: "MonitorStore", sheet: Path, *, label_chance: float) -> None:
    """Ids alone: whoever labels sees the call by `safecase monitor look`, and not what the judge said."""
    from safecase.monitor import is_for_label

    seed = _seed(case)
    names = sorted(one.event_id for one in store.audited() if one.is_unsafe is not None)
    lines = [
        json.dumps({"event_id": name, "is_unsafe": None}) + "\n"
        for name in names
        if is_for_label(name, label_chance=label_chance, seed=seed)
    ]
    with sheet.open("x", encoding="utf-8") as file:
        file.writelines(lines)


def _line(one: "AuditedRate") -> str:
    name = f"stack {one.stack_digest[:12] or 'unknown'}: {one.looked} of {one.calls} calls looked at"
    if one.value is None:
        return f"{name}; no rate yet"
    span = f"{one.low:.3%} to {one.high:.3%}" if one.low is not None and one.high is not None else one.why
    corrected = f", corrected by {one.labelled} labels ({one.agreed} agree)" if one.labelled else ""
    return f"{name}, {one.unscored} without a verdict; unsafe {one.value:.3%} ({span}){corrected}"


COMMANDS = {"audit": audit_command}
