"""`safecase monitor`: watch live traffic, show how its rates stand, set baselines."""

import asyncio
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import DEFAULT, FAILED, NOT_SUPPORTED, DefaultGroup, emit, fail, guarded, json_option, note
from safecase.cli._monitor_audit import COMMANDS as AUDIT_COMMANDS
from safecase.cli._monitor_content import COMMANDS as CONTENT_COMMANDS
from safecase.cli._monitor_misuse import COMMANDS as MISUSE_COMMANDS
from safecase.cli._monitor_misuse import aside_folder, state_file
from safecase.cli._monitor_unexpected import COMMANDS as UNEXPECTED_COMMANDS
from safecase.cli._monitor_unexpected import (
    lines_of,
    looking_of,
    looking_options,
    opened_unexpected,
    standing,
    usual_file,
)
from safecase.cli._monitor_validate import COMMANDS as VALIDATE_COMMANDS

if TYPE_CHECKING:
    from safecase.assess import Case
    from safecase.monitor import AlertSink, MonitorStore, Opener, Rates, Source
    from safecase.respond import Desk

_EVENTS = "nats://host:4222/STREAM, spans:PATH, log:PATH, or a folder of a gateway's events."


@click.group("monitor", cls=DefaultGroup)
def monitor_group() -> None:
    """Watch live traffic and hold its rates against what the case promised.

    \b
    Example:
        safecase monitor my-case --events run/events --follow
        safecase monitor status my-case
        safecase monitor baseline my-case --events run/events --by ana --why "controlled phase, April"
        safecase monitor look my-case --events run/events --event 0196 --by ana --why "alert 5c1f"
        safecase monitor forget my-case --account acme --by ana
        safecase monitor proposals my-case
        safecase monitor unexpected my-case
        safecase monitor validate score my-case spring --key ~/spring.key --by ana
    """


_state = click.option(
    "--state", type=click.Path(path_type=Path), help="The monitor's file; by default beside the keys."
)
_case = click.argument("case", type=click.Path(path_type=Path))
_least_p = click.option(
    "--least-p",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Chance of the audit sample where events keep content of a sample only; 1 where all content is there.",
)
_stack = click.option(
    "--stack", default="", help="Stack digest of events that name none; `assessed` for the case's own."
)
_unit = [
    click.option("--cap", type=click.IntRange(1), default=5, show_default=True, help="Calls of an account that count."),
    click.option(
        "--settle", "settle_s", type=click.FloatRange(0), default=600.0, show_default=True, help="Seconds they come in."
    ),
]


@monitor_group.command(DEFAULT)
@_case
@click.option("--events", "targets", multiple=True, required=True, help=_EVENTS)
@click.option("--once", is_flag=True, help="Stop when nothing new is there; this is the default.")
@click.option("--follow", is_flag=True, help="Go on until stopped.")
@click.option("--sink", "sinks", multiple=True, default=["console"], show_default=True, help="Where alerts go; repeat.")
@click.option("--secret-file", type=click.Path(path_type=Path), help="Shared secret of webhooks.")
@click.option("--group", default="monitor", show_default=True, help="Consumer group of a stream.")
@click.option("--shards", default="", help="Take these of a stream's subjects 0..15 only, such as 0-7.")
@click.option(
    "--open-sealed", is_flag=True, help="Open sealed content for the detectors; the ledger names --by and --why."
)
@click.option("--by", default="", help="Who answers for it.")
@click.option("--why", default="", help="What for.")
@_least_p
@_stack
@_unit[0]
@_unit[1]
@looking_options
@_state
@json_option
@guarded
def case_command(
    case: Path,
    targets: tuple[str, ...],
    once: bool,
    follow: bool,
    sinks: tuple[str, ...],
    secret_file: Path | None,
    group: str,
    shards: str,
    open_sealed: bool,
    by: str,
    why: str,
    least_p: float,
    stack: str,
    cap: int,
    settle_s: float,
    embedder: str,
    share: float,
    min_accounts: int,
    state: Path | None,
    as_json: bool,
) -> None:
    """Watch traffic. Exit code 3 when a promise is broken, 1 when a sink has not taken every alert.

    \b
    Example:
        safecase monitor my-case --events run/events
        safecase monitor my-case --events nats://127.0.0.1:4222/safecase-events --follow --sink webhook:http://127.0.0.1:9/x --secret-file s
        safecase monitor my-case --events log:calls.jsonl --stack assessed --json
    """  # noqa: E501 - one command is one line
    from safecase.assess import open_case
    from safecase.monitor import LedgerSink, Misuse, Monitor, MonitorStore, Unit, open_sink, open_source

    if once and follow:
        fail("--once and --follow exclude each other; give one", 2)
    opened = open_case(case)
    file = state or state_file(opened)
    unit = Unit(cap=cap, settle_s=settle_s)
    detectors, rates = _rates(opened, least_p=least_p, stack=stack, unit=unit, aside=aside_folder(file))
    looking = looking_of(rates, embedder=embedder, share=share, min_accounts=min_accounts)
    watch = opened_unexpected(opened, detectors, looking)
    sources = [open_source(target, group=group, shards=_shards(shards)) for target in targets]
    write = (lambda line: click.echo(line, err=True)) if as_json and not follow else click.echo
    made = [open_sink(name, write=write, as_json=as_json, secret_file=secret_file) for name in sinks if name != "desk"]
    logging.basicConfig(level=logging.WARNING, format="safecase: %(message)s")
    desk = _desk(opened) if "desk" in sinks else None
    store = MonitorStore(file)
    monitor = Monitor(
        store,
        sources,
        detectors=watch.places,
        watchers=[rates, Misuse(), *watch.watchers],
        sinks=[*made, *([_desk_sink(desk)] if desk else []), LedgerSink(opened.ledger)],
        opener=_opener(opened, open_sealed, by, why),
    )
    try:
        tally = asyncio.run(_until_stopped(monitor, once=not follow))
        value = {**_standing(rates), **dataclasses.asdict(tally), "missing": _missing(sources)}
        value["unexpected"] = standing(watch)
    finally:
        store.close()
        if desk is not None:
            desk.registry.close()
    lines = [
        f"{tally.calls} calls, {tally.repeats} repeats, {_or_unknown(value['missing'])} missing, {tally.alerts} alerts",
        *(f"not every alert went to {name}; the next run tries again" for name in tally.undelivered),
        *_lines(rates),
        *lines_of(watch),
    ]
    emit(value, as_json=as_json, lines=lines)
    _end(rates)
    if tally.undelivered:
        raise click.exceptions.Exit(FAILED)


@monitor_group.command("status")
@_case
@click.option("--labels", type=click.Path(path_type=Path, exists=True), help="People's labels, to correct the judge.")
@_state
@json_option
@guarded
def status_command(case: Path, labels: Path | None, state: Path | None, as_json: bool) -> None:
    """How every rate stands, at the last commit. Exit code 3 when a promise is broken.

    \b
    Example:
        safecase monitor status my-case
        safecase monitor status my-case --labels labels.jsonl --json
    """
    from safecase.assess import open_case
    from safecase.monitor import MonitorStore, Unit, correct_rates, read_event_labels

    opened = open_case(case)
    _, rates = _rates(opened, least_p=1.0, stack="", unit=Unit())
    path = state or state_file(opened)
    if not path.exists():
        fail(f"{path}: no monitor has watched this case; run `safecase monitor {case} --events ...`", 2)
    store = MonitorStore(path, is_reading=True)
    try:
        if (kept := store.state(rates.name)) is not None:
            rates.restore(kept)
        corrected = correct_rates(_in_earnest(store, path), read_event_labels(labels)) if labels else ()
        alerts = store.alerts(last=20)
        value: dict[str, Any] = {
            **_standing(rates),
            "counts": store.counts(),
            "alerts": [dataclasses.asdict(alert) for alert in alerts],
            "corrected": [dataclasses.asdict(one) for one in corrected],
        }
    finally:
        store.close()
    lines = [*_lines(rates), *(f"{alert.at} {alert.severity}: {alert.what}" for alert in alerts)]
    emit(value, as_json=as_json, lines=[*lines, *map(_corrected_line, corrected)])
    _end(rates)


@monitor_group.command("baseline")
@_case
@click.option("--events", "targets", multiple=True, required=True, help=_EVENTS)
@click.option("--unsafe", is_flag=True, help="Also the rates of unsafe answers, which loosens what was assessed.")
@click.option("--by", required=True, help="Who answers for it; the ledger names them.")
@click.option("--why", required=True, help="In your words.")
@_least_p
@_stack
@_unit[0]
@_unit[1]
@looking_options
@json_option
@guarded
def baseline_command(
    case: Path,
    targets: tuple[str, ...],
    unsafe: bool,
    by: str,
    why: str,
    least_p: float,
    stack: str,
    cap: int,
    settle_s: float,
    embedder: str,
    share: float,
    min_accounts: int,
    as_json: bool,
) -> None:
    """Promise the flag rates that the controlled phase showed, with bounds of their own, and keep what was usual.

    \b
    Example:
        safecase monitor baseline my-case --events run/events --by ana --why "controlled phase, April"
    """
    import tempfile

    from safecase.assess import open_case, write_baselines
    from safecase.monitor import Acquaintance, Monitor, MonitorStore, Unit, baselines, open_source, record_usual

    opened = open_case(case)
    unit = Unit(cap=cap, settle_s=settle_s)
    aside = aside_folder(state_file(opened))
    detectors, rates = _rates(opened, least_p=least_p, stack=stack, unit=unit, aside=aside, is_collecting=True)
    looking = looking_of(rates, embedder=embedder, share=share, min_accounts=min_accounts)
    seen = Acquaintance(opened, detectors, looking=looking)
    for line in seen.notes:
        note(line)
    with tempfile.TemporaryDirectory() as folder:
        store = MonitorStore(Path(folder) / "baseline.sqlite")
        try:
            sources = [open_source(one) for one in targets]
            watch = Monitor(store, sources, detectors=seen.places, watchers=[rates, seen])
            asyncio.run(watch.run(once=True))
            if broken := next((one for one in store.alerts() if one.kind == "watcher-failed"), None):
                fail(f"no baseline: {broken.what}", FAILED)
        finally:
            store.close()
    usual = seen.usual()
    record_usual(opened, usual_file(opened), usual, actor=by, why=why)
    made = write_baselines(opened, baselines(rates, unsafe=unsafe), actor=by, why=why)
    value = {
        "promises": [dataclasses.asdict(one) for one in made.promises],
        "absent": [dataclasses.asdict(one) for one in made.absent],
        "usual": {
            "clusters": len(usual.middles),
            "rates": {stack: [dataclasses.asdict(one) for one in some] for stack, some in usual.rates.items()},
        },
    }
    lines = [f"{one.id}: at most {one.p0:.3%} ({one.rate:.3%} of {one.units} accounts)" for one in made.promises]
    lines += [f"{gap.id}: nothing is promised, {gap.why}" for gap in made.absent]
    watched = sum(not one.why_not for some in usual.rates.values() for one in some)
    lines.append(f"usual: {len(usual.middles)} clusters, {watched} rates of layers and requests")
    emit(value, as_json=as_json, lines=lines)


async def _until_stopped(monitor: Any, *, once: bool) -> Any:
    """Run until there is nothing new, or somebody says stop."""
    from safecase.models import told_to_stop

    with told_to_stop() as stop:
        return await monitor.run(once=once, stop=stop)


def _rates(
    case: "Case", *, least_p: float, stack: str, unit: Any, aside: Path | None = None, is_collecting: bool = False
) -> "tuple[Any, Rates]":
    from safecase.assess import RequestReader, read_promises
    from safecase.monitor import Aside, Detectors, Rates

    promises = read_promises(case)
    detectors = Detectors(RequestReader(case.intents))
    if stack == "assessed":
        stacks = {one.stack_digest for one in promises.promises} | {gap.stack_digest for gap in promises.absent}
        if len(stacks) != 1:
            fail(f"--stack is 'assessed', and the case has {len(stacks)} stacks; give the digest of one", 2)
        (stack,) = stacks
    digests = (detectors.judge.digest, detectors.reader.digest)
    made = Rates(
        promises,
        digests,
        unit=unit,
        least_p=least_p,
        stack=stack,
        is_collecting=is_collecting,
        aside=None if aside is None else Aside(aside),
    )
    return detectors, made


def _missing(sources: "Sequence[Source]") -> int | None:
    """Calls that did not come, over all sources; None where one of them cannot know."""
    counts = [one.missing() for one in sources]
    return sum(count for count in counts if count is not None) if None not in counts else None


def _or_unknown(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)


def _desk(case: "Case") -> "Desk":
    from safecase.respond import open_desk

    return open_desk(case)


def _desk_sink(desk: "Desk") -> "AlertSink":
    from safecase.respond import DeskSink

    return DeskSink(desk)


def _in_earnest(store: "MonitorStore", file: Path) -> "Iterator[tuple[str, str, str, str, bool]]":
    """Verdicts on calls that somebody made in earnest."""
    from safecase.monitor import Aside

    aside = Aside(aside_folder(file))
    return (row for row in store.judged() if not aside(row[3], 0.0))


def _opener(case: "Case", wanted: bool, by: str, why: str) -> "Opener | None":
    from safecase.monitor import ContentOpener

    if not wanted:
        return None
    if not by or not why:
        fail("--open-sealed goes with --by and --why: the ledger says who opened what for", 2)
    return ContentOpener(case, actor=by, purpose=why)


def _shards(text: str) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        first, _, last = text.partition("-")
        found = tuple(range(int(first), int(last or first) + 1))
    except ValueError:
        found = ()
    if not found or not 0 <= found[0] <= found[-1] <= 15:
        fail(f"--shards is {text!r}; give a range within 0..15, such as 0-7", 2)
    return found


def _standing(rates: "Rates") -> dict[str, Any]:
    from safecase.monitor import panel_json

    return {
        "panels": [panel_json(panel) for panel in rates.panels()],
        "unread": rates.unread,
        "crowding": rates.crowding,
    }


def _lines(rates: "Rates") -> list[str]:
    lines = [panel.sentence for panel in rates.panels()]
    if rates.unread:
        lines.append(f"{rates.unread} calls could not be judged: their content was not kept, or by no known chance")
    return lines


def _corrected_line(one: Any) -> str:
    if one.estimate is None:
        return f"corrected by {one.labelled} labels: not yet ({one.why})"
    low, high = one.estimate.bounds.low, one.estimate.bounds.high
    return (
        f"corrected by {one.labelled} labels ({one.agreed} agree): {one.estimate.value:.3%} ({low:.3%} to {high:.3%})"
    )


def _end(rates: "Rates") -> None:
    if any(panel.broken_at for panel in rates.panels()):
        raise click.exceptions.Exit(NOT_SUPPORTED)


for _name, _command in (
    AUDIT_COMMANDS | CONTENT_COMMANDS | MISUSE_COMMANDS | UNEXPECTED_COMMANDS | VALIDATE_COMMANDS
).items():
    monitor_group.add_command(_command, _name)

COMMANDS = {"monitor": monitor_group}
