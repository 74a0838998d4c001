"""`safecase monitor validate`: sow attacks in live traffic, and see how much of it was noticed and reached people."""

import asyncio
import dataclasses
import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option
from safecase.cli._monitor_misuse import aside_folder, state_file

if TYPE_CHECKING:
    from safecase.assess import Case, SeedPlan
    from safecase.measure import Detection, Interval
    from safecase.monitor import BeforePeople, MonitorStore, Seed, Way

_case = click.argument("case", type=click.Path(path_type=Path))
_name = click.argument("validation")
_key = click.option(
    "--key", "key_file", type=click.Path(path_type=Path), required=True, help="Opens the list; lies with who validates."
)
_state = click.option("--state", type=click.Path(path_type=Path), help="The monitor's file, where it is not the usual.")
_dry = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group("validate")
def validate_group() -> None:
    """Sow attacks of the case's own scenarios in live traffic, and see what was noticed, what reached people, how late.

    \b
    Example:
        safecase monitor validate plan my-case spring --context closed --per-day privacy=4 --days 7 \\
            --accounts accounts.txt --key ~/spring.key --by ana
        safecase monitor validate send my-case spring --key ~/spring.key --to http://127.0.0.1:8321/v1 \\
            --model my-model --api-keys keys.txt --follow
        safecase monitor validate score my-case spring --key ~/spring.key --by ana
    """


@validate_group.command("plan")
@_case
@_name
@click.option("--context", required=True, help="The deployment whose traffic is sown.")
@click.option("--per-day", "per_day", multiple=True, required=True, help="CATEGORY=SEEDS a day; repeat.")
@click.option("--days", type=click.IntRange(1, 366), default=1, show_default=True)
@click.option("--begins", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]), help="UTC; in a minute by default.")
@click.option(
    "--accounts", type=click.Path(path_type=Path, exists=True), required=True, help="A pseudonym a line, of nobody."
)
@click.option(
    "--patience", type=click.FloatRange(1), default=3600.0, show_default=True, help="Seconds until it counts as missed."
)
@_key
@click.option("--by", required=True, help="Who declares it; the ledger names them.")
@_state
@_dry
@json_option
@guarded
def plan_command(
    case: Path,
    validation: str,
    context: str,
    per_day: tuple[str, ...],
    days: int,
    begins: dt.datetime | None,
    accounts: Path,
    patience: float,
    key_file: Path,
    by: str,
    state: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Draw seeds, seal their list and declare the plan. The rates of the monitor leave these accounts out.

    \b
    Example:
        safecase monitor validate plan my-case spring --context closed --per-day privacy=4 --per-day violence=2 \\
            --days 7 --accounts accounts.txt --key ~/spring.key --by ana --dry-run
    """
    from safecase.assess import open_case, utc_now
    from safecase.monitor import Sowing, plan_validation, sowable

    opened = open_case(case)
    first = begins.replace(tzinfo=dt.UTC) if begins else utc_now() + dt.timedelta(minutes=1)
    sowing = Sowing(
        id=validation,
        context=context,
        begins=first,
        days=days,
        per_day=_per_day(per_day),
        accounts=tuple(line.strip() for line in accounts.read_text(encoding="utf-8").splitlines() if line.strip()),
        patience_s=patience,
    )
    if dry_run:
        there = {name: sum(one.category == name for one in sowable(opened)) for name in sowing.per_day}
        value = {"seeds": days * sum(sowing.per_day.values()), "accounts": len(sowing.accounts), "scenarios": there}
        line = f"{value['seeds']} seeds from {value['accounts']} accounts; scenarios to draw from: {there}"
        emit(value, as_json=as_json, lines=[line])
        return
    file = state or state_file(opened)
    with _store(file) as store:
        plan = plan_validation(opened, sowing, key_file=key_file, aside=aside_folder(file), store=store, by=by)
    line = f"{plan.id}: {plan.seeds} seeds from {plan.begins:%Y-%m-%d %H:%M} to {plan.ends:%Y-%m-%d %H:%M}, list sealed"
    emit(_plan_json(plan), as_json=as_json, lines=[line])


@validate_group.command("send")
@_case
@_name
@_key
@click.option("--to", "url", help="API of the gateway, such as http://127.0.0.1:8321/v1.")
@click.option("--model", default="", help="Name to ask for; the case's by default.")
@click.option("--api-keys", type=click.Path(path_type=Path, exists=True), help="Lines ACCOUNT KEY, for --to.")
@click.option("--into", help="For what safecase does not serve: events:FOLDER or log:FILE.")
@click.option("--arm", default="guarded", show_default=True, help="Whose recorded answers go --into.")
@click.option("--follow", is_flag=True, help="Go on until the last seed was due; else send what is due now.")
@_dry
@json_option
@guarded
def send_command(
    case: Path,
    validation: str,
    key_file: Path,
    url: str | None,
    model: str,
    api_keys: Path | None,
    into: str | None,
    arm: str,
    follow: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send the seeds that are due. Run it by the minute, or once with --follow; nothing is sent twice.

    \b
    Example:
        safecase monitor validate send my-case spring --key ~/spring.key --to http://127.0.0.1:8321/v1 \\
            --api-keys keys.txt
        safecase monitor validate send my-case spring --key ~/spring.key --into log:calls.jsonl
    """
    from safecase.assess import open_case, utc_now
    from safecase.monitor import SentLog, due, unseal_seeds

    if (url is None) == (into is None):
        fail("give --to URL for a gateway, or --into events:FOLDER or log:FILE, and not both", BAD_INPUT)
    opened = open_case(case)
    plan, seeds = unseal_seeds(opened, validation, key_file=key_file)
    log = SentLog(key_file, plan)
    way = _way(opened, plan, seeds, url=url, model=model, api_keys=api_keys, into=into, arm=arm)
    if dry_run:
        waiting = len(due(seeds, log.read(), at=utc_now()))
        emit({"due": waiting, "of": len(seeds)}, as_json=as_json, lines=[f"{waiting} of {len(seeds)} seeds are due"])
        return
    asyncio.run(_send(seeds, log, way, follow=follow))
    counts = dict(sorted(Counter(one.status for one in log.read().values()).items()))
    said = ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
    emit({"sent": counts, "of": len(seeds)}, as_json=as_json, lines=[f"of {len(seeds)} seeds: {said}"])


@validate_group.command("score")
@_case
@_name
@_key
@click.option("--by", required=True, help="Who unseals the list; the ledger names them.")
@click.option("--early", is_flag=True, help="Before its end; what was not sent by then is absent for ever.")
@_state
@_dry
@json_option
@guarded
def score_command(
    case: Path, validation: str, key_file: Path, by: str, early: bool, state: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Unseal the list, hold it against what was noticed and what waited for people, and keep the outcome.

    The next edition of the report has the figures. From then on everybody can tell what was a seed.

    \b
    Example:
        safecase monitor validate score my-case spring --key ~/spring.key --by ana
    """
    from safecase.assess import open_case
    from safecase.measure import detections
    from safecase.monitor import SentLog, score_validation, unseal_seeds

    opened = open_case(case)
    if dry_run:
        plan, seeds = unseal_seeds(opened, validation, key_file=key_file)
        tried = len(SentLog(key_file, plan).read())
        emit({"of": len(seeds), "tried": tried}, as_json=as_json, lines=[f"{tried} of {len(seeds)} seeds were tried"])
        return
    file = state or state_file(opened)
    with _store(file) as store:
        if store is None:
            fail(f"{file}: no monitor has watched this case; run `safecase monitor {case} --events ...`", BAD_INPUT)
        people = _at_the_desk(opened)
        made = score_validation(
            opened, validation, key_file=key_file, store=store, people=people, by=by, is_early=early
        )
    found = detections(made.outcomes)
    value = {"validation": validation, "groups": [dataclasses.asdict(one) for one in found]}
    emit(value, as_json=as_json, lines=[_line(one) for one in found])


# --- Parts ------------------------------------------------------------------------------------------------------------


class _store:  # noqa: N801 - used as a block, `with _store(file) as store`
    """The monitor's file to look into; None where there is none."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened: MonitorStore | None = None

    def __enter__(self) -> "MonitorStore | None":
        from safecase.monitor import MonitorStore

        self._opened = MonitorStore(self._file, is_reading=True) if self._file.exists() else None
        return self._opened

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()


def _per_day(said: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in said:
        category, _, count = one.partition("=")
        if not count.isdecimal() or category in found:
            fail(f"--per-day is {one!r}; give CATEGORY=NUMBER, each category once", BAD_INPUT)
        found[category] = int(count)
    return found


def _way(
    case: "Case",
    plan: "SeedPlan",
    seeds: "tuple[Seed, ...]",
    *,
    url: str | None,
    model: str,
    api_keys: Path | None,
    into: str | None,
    arm: str,
) -> "Way":
    from safecase.monitor import IntoFile, ThroughGateway, answers_on_record

    if url is not None:
        if api_keys is None:
            fail("--to goes with --api-keys, a file of lines ACCOUNT KEY", BAD_INPUT)
        lines = [line.split() for line in api_keys.read_text(encoding="utf-8").splitlines() if line.strip()]
        if any(len(line) != 2 for line in lines):
            fail(f"{api_keys}: a line is no `ACCOUNT KEY`", BAD_INPUT)
        keys = {line[0]: line[1] for line in lines}
        if lacking := sorted({one.account for one in seeds} - keys.keys()):
            fail(f"{api_keys}: account {lacking[0]!r} has no key; add a line `{lacking[0]} KEY`", BAD_INPUT)
        return ThroughGateway(url=url, model=model or case.spec.model.name, keys=keys)
    kind, _, path = (into or "").partition(":")
    if kind not in {"events", "log"} or not path:
        fail(f"--into is {into!r}; give events:FOLDER or log:FILE", BAD_INPUT)
    stack = next((one.stack_digest for one in (case.plan.arms if case.plan else ()) if one.name == arm), None)
    if stack is None:
        fail(f"--arm is {arm!r}, which the plan does not run", BAD_INPUT)
    return IntoFile(
        path=Path(path),
        kind="events" if kind == "events" else "log",
        answers=answers_on_record(case, seeds, arm),
        context=plan.context,
        stack_digest=stack,
        model=model or case.spec.model.name,
    )


async def _send(seeds: "tuple[Seed, ...]", log: Any, way: "Way", *, follow: bool) -> None:
    from safecase.assess import utc_now
    from safecase.evidence import parse_utc
    from safecase.monitor import send_due

    last = max(parse_utc(one.at) for one in seeds)
    while True:
        await send_due(seeds, log, way)
        if not follow or utc_now() > last:
            return
        await asyncio.sleep(1.0)


def _at_the_desk(case: "Case") -> "list[BeforePeople]":
    """What the monitor or anybody else brought to the desk about events, since it was received."""
    from safecase.monitor import BeforePeople
    from safecase.registry import Report
    from safecase.respond import open_desk

    with open_desk(case) as desk:
        reports = desk.registry.all(Report, case=case.spec.id)
    return [BeforePeople(at=one.received, event_ids=one.event_ids) for one in reports if one.event_ids]


def _plan_json(plan: "SeedPlan") -> dict[str, Any]:
    return {**dataclasses.asdict(plan), "begins": plan.begins.isoformat(), "seeds": plan.seeds}


def _line(one: "Detection") -> str:
    absent = ", ".join(f"{count} {name}" for name, count in one.absent.items())
    return (
        f"{one.group}: {one.answered} of {one.planned} seeds answered{f' ({absent})' if absent else ''}; "
        f"noticed {_share(one.recall)}; before a person {_share(one.escalated)}; "
        f"noticed after {_seconds(one.flag_lag[0.5])}, before a person after {_seconds(one.escalation_lag[0.5])}"
    )


def _share(found: "Interval") -> str:
    if found.value is None or found.low is None or found.high is None:
        return "not known"
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%}, {found.n} accounts)"


def _seconds(found: "Interval") -> str:
    if found.value is None or found.low is None:
        return "no time known"
    return f"{found.value:.1f} s ({found.low:.1f} to {'no end' if found.high is None else f'{found.high:.1f}'})"


COMMANDS = {"validate": validate_group}
