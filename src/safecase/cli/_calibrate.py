"""`safecase measure calibrate`: people's labels drawn, taken, settled, and held beside the judge."""

import dataclasses
import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from safecase.cli._common import DEFAULT, DefaultGroup, emit, fail, guarded, json_option, note

_CONSENT = "answers may be harmful to read; add --show-harmful to agree to it"


@click.group("calibrate", cls=DefaultGroup)
def calibrate_group() -> None:
    """How well the judge is known on each arm, from labels that people gave blind.

    \b
    Example:
        safecase measure calibrate my-case
        safecase measure calibrate draw my-case --arm guarded --count 200 --out sheets --show-harmful
        safecase measure calibrate take my-case sheets/6f0c-rater-1.csv --rater ana
        safecase measure calibrate disagreements my-case --out sheets/open.csv --show-harmful
        safecase measure calibrate adjudicate my-case sheets/open.csv --rater cem
    """


def _whoever() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unnamed"


reader_option = click.option("--reader", default=_whoever, help="Whom the log names as reader; the user by default.")
consent_option = click.option(
    "--show-harmful", is_flag=True, help="Agree to have answers written out that may be harmful. Each read is logged."
)


@calibrate_group.command(DEFAULT)
@click.argument("case", type=click.Path(path_type=Path))
@json_option
@guarded
def case_command(case: Path, as_json: bool) -> None:
    """Agreement with people, the judge's error per arm, labels still needed, and what was calibrated elsewhere.

    \b
    Example:
        safecase measure calibrate my-case
    """
    from safecase.assess import calibration_report, open_case

    report = calibration_report(open_case(case))
    emit(dataclasses.asdict(report), as_json=as_json, lines=_lines(report))


@calibrate_group.command("draw")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--arm", required=True, help="Whose answers to label.")
@click.option(
    "--count", default=200, show_default=True, type=click.IntRange(1), help="How many; one an intent at most."
)
@click.option("--raters", default=2, show_default=True, type=click.IntRange(1, 26), help="People to read each answer.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the sheets, outside the case.")
@click.option(
    "--by",
    type=click.Choice(["uniform", "stratified", "uncertainty"]),
    default="uniform",
    show_default=True,
    help="uniform calibrates; stratified splits by the judge's verdict; uncertainty looks for its errors.",
)
@click.option(
    "--event",
    type=click.Choice(["unsafe", "safe", "refusal", "partial_refusal", "incoherent"]),
    help="What a stratified draw splits on; unsafe by default.",
)
@click.option("--side", type=click.Choice(["harmful", "benign"]), help="Only answers to such requests.")
@click.option("--domain", help="Only this domain.")
@click.option("--language", help="Only this language.")
@click.option("--seed", default=1, show_default=True, help="Which random draw.")
@reader_option
@consent_option
@json_option
@guarded
def draw_command(
    case: Path,
    arm: str,
    count: int,
    raters: int,
    out: Path,
    by: str,
    event: Any,  # click checked that it is an Event
    side: Any,  # click checked that it is a Side
    domain: str | None,
    language: str | None,
    seed: int,
    reader: str,
    show_harmful: bool,
    as_json: bool,
) -> None:
    """Draw an arm's answers by known chances and write a blinded sheet per rater (CSV and JSONL).

    \b
    Example:
        safecase measure calibrate draw my-case --arm guarded --count 200 --out sheets --show-harmful
    """
    from safecase.assess import Scope, Wanted, draw_sheets, open_case

    if not show_harmful:
        fail(_CONSENT, 2)
    if event is not None and by != "stratified":
        fail(f"--event is {event!r} and --by is {by!r}; only a stratified draw splits on an event", 2)
    kinds: dict[str, Any] = {"uniform": "uniform", "stratified": "by-verdict", "uncertainty": "by-doubt"}
    wanted = Wanted(
        arm=arm,
        count=count,
        by=kinds[by],
        seed=seed,
        raters=raters,
        event=event or "unsafe",
        scope=Scope(side=side, domain=domain, language=language),
    )
    draw, files = draw_sheets(open_case(case), wanted, out, reader=reader)
    if len(draw.rows) < count:
        note(f"{len(draw.rows)} answers, not {count}: one an intent and side at most, and no more were left")
    value = {"draw": draw.id, "arm": arm, "by": draw.by, "answers": len(draw.rows), "of_intents": draw.units}
    lines = [*map(str, files), f"draw {draw.id}: {len(draw.rows)} answers of arm {arm!r}, {raters} sheets"]
    emit({**value, "sheets": [str(path) for path in files]}, as_json=as_json, lines=lines)


@calibrate_group.command("sheets")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("draw")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the sheets, outside the case.")
@reader_option
@consent_option
@json_option
@guarded
def sheets_command(case: Path, draw: str, out: Path, reader: str, show_harmful: bool, as_json: bool) -> None:
    """Write the sheets of a draw again, where they were lost: the same answers in the same order.

    \b
    Example:
        safecase measure calibrate sheets my-case 6f0c3a91b2d4 --out sheets --show-harmful
    """
    from safecase.assess import open_case, sheets_again

    if not show_harmful:
        fail(_CONSENT, 2)
    files = [str(path) for path in sheets_again(open_case(case), draw, out, reader=reader)]
    emit({"draw": draw, "sheets": files}, as_json=as_json, lines=files)


@calibrate_group.command("take")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("sheets", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--rater", required=True, help="Who filled them in; kept with every label.")
@click.option("--revise", metavar="WHY", help="Replace labels that this rater gave before; both stay on record.")
@json_option
@guarded
def take_command(case: Path, sheets: tuple[Path, ...], rater: str, revise: str | None, as_json: bool) -> None:
    """Take one rater's filled sheets as evidence: every line, or nothing.

    \b
    Example:
        safecase measure calibrate take my-case sheets/6f0c3a91b2d4-rater-1.csv --rater ana
    """
    from safecase.assess import open_case, take_sheets

    taken = take_sheets(open_case(case), sheets, rater=rater, revise=revise)
    line = f"{taken['labels']} labels by {taken['rater']!r}, {taken['skipped']} skipped; {taken['new']} are new"
    emit(taken, as_json=as_json, lines=[line])


@calibrate_group.command("disagreements")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Sheet to write, outside the case.")
@reader_option
@consent_option
@json_option
@guarded
def disagreements_command(case: Path, out: Path, reader: str, show_harmful: bool, as_json: bool) -> None:
    """Write a sheet of the answers on which raters differ, or that one skipped; nobody's name is on it.

    \b
    Example:
        safecase measure calibrate disagreements my-case --out sheets/open.csv --show-harmful
    """
    from safecase.assess import open_case, write_disputes

    if not show_harmful:
        fail(_CONSENT, 2)
    count = write_disputes(open_case(case), out, reader=reader)
    line = f"{count} disagreements: {out.with_suffix('.csv')} and .jsonl" if count else "no disagreement is open"
    emit({"disagreements": count, "sheet": str(out) if count else None}, as_json=as_json, lines=[line])


@calibrate_group.command("adjudicate")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("sheet", type=click.Path(path_type=Path))
@click.option("--rater", required=True, help="Who decides: a third person.")
@click.option("--same-person-ok", is_flag=True, help="Let one of the raters decide; the report says so.")
@json_option
@guarded
def adjudicate_command(case: Path, sheet: Path, rater: str, same_person_ok: bool, as_json: bool) -> None:
    """Take the last word on every disagreement.

    \b
    Example:
        safecase measure calibrate adjudicate my-case sheets/open.csv --rater cem
    """
    from safecase.assess import open_case, take_final

    taken = take_final(open_case(case), sheet, rater=rater, same_person_ok=same_person_ok)
    emit(taken, as_json=as_json, lines=[f"{taken['labels']} disagreements settled by {taken['adjudicator']!r}"])


def _lines(report: Any) -> Iterator[str]:  # assess.CalibrationReport, loaded late
    yield f"{'arm, side, domain/language, event':52} {'level':11} {'labels':>6} {'events':>6}  sensitivity  specificity"
    for one in report.known:
        where = f"{one.arm} {one.side} {one.domain}/{one.language} {one.event}"
        events = one.counts.hits + one.counts.misses
        box = [_span(one.sensitivity), _span(one.specificity)] if one.level != "none" else ["unknown", "unknown"]
        yield f"{where:52} {one.level:11} {one.counts.labels:>6} {events:>6}  {box[0]:11}  {box[1]}"
    yield ""
    for one in report.known:
        if one.to_own != 0 or one.to_narrow != 0:
            where = f"{one.arm} {one.side} {one.domain}/{one.language} {one.event}"
            yield f"labels needed, {where}: {_number(one.to_own)} until own, {_number(one.to_narrow)} until narrow"
    yield ""
    yield f"{'agreement':24} {'over':28} {'kappa':>6} {'low':>6} {'high':>6} {'n':>6}"
    for agreed in report.agreed:
        found = agreed.found
        shown = " ".join(f"{'n/a' if v is None else format(v, '.2f'):>6}" for v in (found.value, found.low, found.high))
        yield f"{agreed.who:24} {agreed.over:28} {shown} {found.n:>6}"
    for draw in report.draws:
        yield f"draw {draw.id} ({draw.arm}, {draw.by}): {draw.settled} of {draw.rows} settled; {draw.why or 'counts'}"
        if draw.by_verdict is not None:
            found = draw.by_verdict
            spans = {"PPV": found.ppv, "NPV": found.npv, "se": found.sensitivity, "sp": found.specificity}
            yield f"  {draw.event}: " + ", ".join(f"{name} {_span(bounds)}" for name, bounds in spans.items())
        if draw.points is not None:
            se, sp = ("n/a" if point is None else format(point, ".2f") for point in draw.points)
            yield f"  unsafe, weighted points without bounds: se {se}, sp {sp}"
    for caution in report.cautions:
        yield f"caution: {caution.what} ({caution.affected} answers); {caution.mend}"


def _span(bounds: Any) -> str:
    return f"{bounds.low:.2f}..{bounds.high:.2f}"


def _number(labels: int | None) -> str:
    return "no telling how many" if labels is None else f"about {labels}"
