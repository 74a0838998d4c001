"""`safecase respond`: the desk where reports come in and obligations are kept."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, NOT_VERIFIED, emit, fail, guarded, json_option, note
from safecase.cli._respond_clocks import calendar_command, clocks_group, filing_command
from safecase.cli._respond_common import by_option, case_argument, desk_of, moment_type, safe, take_draft
from safecase.cli._respond_incident import incident_group
from safecase.cli._respond_reopen import learned_group, reopened_group, shared_group, watch_command
from safecase.cli._respond_successor import successor_group

if TYPE_CHECKING:
    from safecase.registry import Report

_REPORT = click.argument("report")
_LABELS = ("refusal", "partial_refusal", "safe_completion", "compliance", "incoherent")
_CHANNELS = ("feedback", "risky-output", "model-fault", "security", "policy-violation", "non-compliance")


@click.group("respond")
def respond_group() -> None:
    """Take in what people report, review it, run incidents, and keep what the law asks for by when.

    \b
    Example:
        safecase respond new my-case
        safecase respond open my-case --port 8322
        safecase respond triage my-case --by reviewer-1
        safecase respond incident open my-case --title "Bypass in the wild" --kind misuse --severity 3 --by reviewer-1
        safecase respond clocks my-case
    """


@respond_group.command("new")
@case_argument
@json_option
@guarded
def new_command(case: Path, as_json: bool) -> None:
    """Give a case a `respond.yaml` to fill in: who sits at the desk, the contact, the laws.

    \b
    Example:
        safecase respond new my-case
    """
    from safecase.assess import open_case
    from safecase.respond import new_desk

    path = new_desk(open_case(case).path)
    emit({"file": str(path)}, as_json=as_json, lines=[str(path)])


@respond_group.command("open")
@case_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8322, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front writes the sender into X-Forwarded-For.")
@json_option
@guarded
def open_command(case: Path, host: str, port: int, behind_proxy: bool, as_json: bool) -> None:
    """Serve the form, the API and security.txt until you stop it.

    \b
    Example:
        safecase respond open my-case --port 8322
    """
    from safecase.respond import serve_desk, wait_until_told

    async def serve() -> None:
        with desk_of(case) as desk:
            async with serve_desk(desk, host=host, port=port, behind_proxy=behind_proxy) as opening:
                for text in opening.notes:
                    note(f"note: {text}")
                emit({"url": opening.url}, as_json=as_json, lines=[opening.url])
                await wait_until_told()

    asyncio.run(serve())


@respond_group.command("report")
@case_argument
@click.option("--channel", required=True, type=click.Choice(_CHANNELS), help="What it is about.")
@click.option("--text", help="What happened; read from standard input where it is not given.")
@click.option("--title", default="", help="In a line.")
@click.option("--request", "asked", default="", help="What was asked of the model.")
@click.option("--answer", default="", help="What it answered.")
@click.option("--context", help="Deployment context where it happened.")
@click.option("--event", "events", multiple=True, help="Id of a gateway event that it speaks of.")
@click.option("--trial", help="Id of a trial of this case that it speaks of.")
@click.option("--accused", multiple=True, help="A person it accuses; kept out of it.")
@click.option(
    "--confidentiality", type=click.Choice(["open", "confidential", "anonymous"]), default="open", show_default=True
)
@click.option("--file", "files", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--from",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, path: take_draft(context, path),
    help="Take what is not given here from a draft, as `safecase monitor unexpected --out` writes it.",
)
@json_option
@guarded
def report_command(
    case: Path,
    channel: Any,
    text: str | None,
    title: str,
    asked: str,
    answer: str,
    context: str | None,
    events: tuple[str, ...],
    trial: str | None,
    accused: tuple[str, ...],
    confidentiality: Any,
    files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Put a report on record, as staff; prints the token for its follow-up, once.

    \b
    Example:
        safecase respond report my-case --channel risky-output --text "It planned an attack for me."
        safecase respond report my-case --from c12.json
    """
    from safecase.assess import utc_now
    from safecase.respond import File, Submission, take

    said = Submission(
        channel=channel,
        text=text if text is not None else sys.stdin.read(),
        title=title,
        request=asked,
        answer=answer,
        context=context,
        event_ids=events,
        trial_id=trial,
        accused=accused,
        confidentiality=confidentiality,
        files=tuple(File(name=path.name, data=path.read_bytes()) for path in files),
    )
    with desk_of(case) as desk:
        receipt = take(desk, said, source="staff", at=utc_now())
    value = {"report": receipt.report, "token": receipt.token}
    emit(value, as_json=as_json, lines=[receipt.report, f"token, shown once: {receipt.token}"])


@respond_group.command("list")
@case_argument
@by_option
@click.option("--status", help="Only reports that stand so.")
@json_option
@guarded
def list_command(case: Path, by: str, status: str | None, as_json: bool) -> None:
    """The reports that a person may know of. Nobody's words are in it.

    \b
    Example:
        safecase respond list my-case --by reviewer-1
    """
    from safecase.respond import visible

    with desk_of(case) as desk:
        found = [one for one in visible(desk, by) if status in {None, one.status}]
    lines = [f"{'report':18} {'received':16} {'channel':16} {'standing':13} {'sev':>3} {'incident':14} group"]
    emit([_row(one) for one in found], as_json=as_json, lines=[*lines, *map(_line, found)])


@respond_group.command("read")
@case_argument
@_REPORT
@by_option
@click.option("--purpose", required=True, help="What it is read for; the registry keeps it.")
@click.option("--unredacted", is_flag=True, help="With personal data, and whom it accuses.")
@click.option("--attachment", type=click.IntRange(1), help="Write this file instead; needs --out.")
@click.option("--out", type=click.Path(path_type=Path), help="A new file, readable by you alone.")
@json_option
@guarded
def read_command(
    case: Path,
    report: str,
    by: str,
    purpose: str,
    unredacted: bool,
    attachment: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Open one report's words. The read is on record first; personal data is blanked out.

    \b
    Example:
        safecase respond read my-case r-0123456789abcdef --by reviewer-1 --purpose triage
    """
    from safecase.assess import utc_now
    from safecase.evidence import write_atomic
    from safecase.respond import read_attachment, read_report

    with desk_of(case) as desk:
        if attachment is not None:
            if out is None or out.exists():
                fail("--attachment needs --out with a file that is not there yet", BAD_INPUT)
            data = read_attachment(desk, report, attachment, by=by, purpose=purpose, at=utc_now())
            write_atomic(out, data, mode=0o600, replace=False)
            emit({"file": str(out)}, as_json=as_json, lines=[str(out)])
            return
        opened = read_report(desk, report, by=by, purpose=purpose, at=utc_now(), unredacted=unredacted)
    value = {**_row(opened.report), **opened.words, "accused": list(opened.accused), "blanked": opened.blanked}
    value |= {"files": [{"type": one.type, "size": one.size} for one in opened.report.attachments]}
    value |= {"messages": [{"by": who, "text": text} for who, text in opened.messages]}
    lines = [_line(opened.report)]
    lines += [f"{name}:\n{safe(text)}\n" for name, text in opened.words.items() if text]
    lines += [f"{who}: {safe(text)}" for who, text in opened.messages]
    lines += [f"{opened.blanked} pieces of personal data are blanked out"] if opened.blanked else []
    emit(value, as_json=as_json, lines=lines)


@respond_group.command("triage")
@case_argument
@click.argument("report", required=False)
@by_option
@click.option("--holds/--does-not-hold", default=None, help="Whether it is what it says.")
@click.option("--severity", type=click.IntRange(1, 4), help="1 nuisance to 4 mass harm; from 3 on two people review.")
@click.option("--category", help="What it is about, in a word.")
@click.option("--gate", help="Gate of the framework that it bears on.")
@click.option("--scenario", help="Threat scenario of the framework.")
@click.option("--label", type=click.Choice(_LABELS), help="What the reported answer is; for the judge.")
@click.option("--note", "why", default="", help="Why; kept with the review.")
@json_option
@guarded
def triage_command(
    case: Path,
    report: str | None,
    by: str,
    holds: bool | None,
    severity: Any,
    category: str | None,
    gate: str | None,
    scenario: str | None,
    label: Any,
    why: str,
    as_json: bool,
) -> None:
    """What waits for a person; with a report, that person's review of it.

    \b
    Example:
        safecase respond triage my-case --by reviewer-1
        safecase respond triage my-case r-0123456789abcdef --by reviewer-1 --holds --severity 3 --category violence
    """
    from safecase.assess import utc_now
    from safecase.respond import queue, review

    with desk_of(case) as desk:
        if report is None:
            found = queue(desk, by=by)
            value: Any = [{**_row(one.report), "needs": one.needs, "alike": list(one.alike)} for one in found]
            lines = [f"{one.report.id}  {one.report.channel:16} needs {one.needs}{_more(one)}" for one in found]
            emit(value, as_json=as_json, lines=lines or ["nothing waits for you"])
            return
        if holds is None or severity is None or category is None:
            fail("a review needs --holds or --does-not-hold, --severity and --category", BAD_INPUT)
        done = review(
            desk,
            report,
            by=by,
            holds=holds,
            severity=severity,
            category=category,
            at=utc_now(),
            gate=gate,
            scenario=scenario,
            label=label,
            note=why,
        )
    emit(_row(done), as_json=as_json, lines=[f"{done.id} is {done.status}"])


@respond_group.command("tell")
@case_argument
@_REPORT
@by_option
@click.option("--text", required=True, help="The status update; only whoever holds the token reads it.")
@json_option
@guarded
def tell_command(case: Path, report: str, by: str, text: str, as_json: bool) -> None:
    """Give a reporter a status update, which meets the monthly one that is owed.

    \b
    Example:
        safecase respond tell my-case r-0123456789abcdef --by officer --text "We are looking into it."
    """
    from safecase.assess import utc_now
    from safecase.respond import tell_reporter

    with desk_of(case) as desk:
        met = [one.id for one in tell_reporter(desk, report, text, by=by, at=utc_now())]
    emit({"report": report, "met": met}, as_json=as_json, lines=[f"told; meets {', '.join(met) or 'nothing owed'}"])


@respond_group.command("disclose")
@case_argument
@_REPORT
@click.argument("state", type=click.Choice(["acknowledged", "validated", "fixing", "fixed", "disclosed", "declined"]))
@by_option
@click.option("--embargo", type=moment_type, help="Nobody publishes before.")
@click.option("--bounty", type=click.IntRange(0), help="Whole units; by severity once it is fixed.")
@click.option("--advisory", help="Where it was published.")
@json_option
@guarded
def disclose_command(
    case: Path, report: str, state: Any, by: str, embargo: Any, bounty: int | None, advisory: str | None, as_json: bool
) -> None:
    """Take a security report to its next state of coordinated disclosure.

    \b
    Example:
        safecase respond disclose my-case r-0123456789abcdef acknowledged --by security-1
    """
    from safecase.assess import utc_now
    from safecase.respond import disclose

    with desk_of(case) as desk:
        done = disclose(
            desk, report, state, by=by, at=utc_now(), embargo_until=embargo, bounty=bounty, advisory=advisory
        )
    kept = done.disclosure
    paid = f"; bounty {kept.bounty} {kept.currency}" if kept is not None and kept.bounty is not None else ""
    emit(_row(done), as_json=as_json, lines=[f"{done.id} is {state}{paid}"])


@respond_group.command("close")
@case_argument
@_REPORT
@by_option
@json_option
@guarded
def close_command(case: Path, report: str, by: str, as_json: bool) -> None:
    """Close a report that was settled; its reporter is owed no more updates.

    \b
    Example:
        safecase respond close my-case r-0123456789abcdef --by reviewer-1
    """
    from safecase.assess import utc_now
    from safecase.respond import close_report

    with desk_of(case) as desk:
        done = close_report(desk, report, by=by, at=utc_now())
    emit(_row(done), as_json=as_json, lines=[f"{done.id} is closed"])


@respond_group.command("erase")
@case_argument
@_REPORT
@by_option
@click.option("--why", required=True, help="Why; kept in the ledger.")
@json_option
@guarded
def erase_command(case: Path, report: str, by: str, why: str, as_json: bool) -> None:
    """Make a report's words and files unreadable for ever. What was decided about it stays.

    \b
    Example:
        safecase respond erase my-case r-0123456789abcdef --by officer --why "the reporter asked"
    """
    from safecase.assess import utc_now
    from safecase.respond import erase_report

    with desk_of(case) as desk:
        count = erase_report(desk, report, by=by, why=why, at=utc_now())
    emit({"report": report, "contents": count}, as_json=as_json, lines=[f"{count} contents of {report} are erased"])


@respond_group.command("labels")
@case_argument
@click.option("--sheet", type=click.Path(path_type=Path), help="A drawn sheet of `measure calibrate draw` to fill in.")
@click.option("--rater", help="Whose labels; with --sheet.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new file, readable by you alone.")
@json_option
@guarded
def labels_command(case: Path, sheet: Path | None, rater: str | None, out: Path, as_json: bool) -> None:
    """Labels that people gave in triage: for trials that reports name, or put into a drawn sheet.

    \b
    Example:
        safecase respond labels my-case --out labels.jsonl
        safecase respond labels my-case --sheet sheets/6f0c-rater-1.csv --rater reviewer-1 --out sheets/filled.csv
    """
    import json

    from safecase.evidence import write_atomic
    from safecase.respond import fill_sheet, labelled

    with desk_of(case) as desk:
        if sheet is not None:
            if rater is None:
                fail("--sheet needs --rater; a label is one person's", BAD_INPUT)
            filled, of = fill_sheet(desk, sheet, out, rater=rater)
            line = f"{filled} of {of} lines are filled in: {out}; the others are {rater}'s to fill in"
            emit({"file": str(out), "filled": filled, "lines": of}, as_json=as_json, lines=[line])
            return
        rows = labelled(desk)
    if out.exists():
        fail(f"{out}: it is there already; give another --out", BAD_INPUT)
    write_atomic(out, "".join(json.dumps(row) + "\n" for row in rows).encode(), mode=0o600, replace=False)
    emit({"file": str(out), "labels": len(rows)}, as_json=as_json, lines=[f"{len(rows)} labels: {out}"])


@respond_group.command("check")
@case_argument
@json_option
@guarded
def check_command(case: Path, as_json: bool) -> None:
    """Recompute the registry's chain, and hold it against the last head that the ledger names.

    \b
    Example:
        safecase respond check my-case
    """
    from safecase.respond import check_registry

    with desk_of(case, banner=False) as desk:
        problems = check_registry(desk)
        head = desk.registry.head()
    emit({"problems": list(problems), "head": head}, as_json=as_json, lines=[*problems, f"head {head}"])
    if problems:
        fail(f"the registry does not hold: {len(problems)} problems", NOT_VERIFIED)


respond_group.add_command(incident_group)
respond_group.add_command(clocks_group)
respond_group.add_command(calendar_command)
respond_group.add_command(filing_command)
respond_group.add_command(watch_command)
respond_group.add_command(reopened_group)
respond_group.add_command(successor_group)
respond_group.add_command(learned_group)
respond_group.add_command(shared_group)

COMMANDS = {"respond": respond_group}


def _row(report: "Report") -> dict[str, Any]:
    kept = ("id", "channel", "source", "confidentiality", "status", "severity", "category", "gate", "scenario", "label")
    row = {name: getattr(report, name) for name in (*kept, "incident", "group", "context")}
    state = None if report.disclosure is None else report.disclosure.model_dump(mode="json")
    return {**row, "received": report.received.isoformat(), "spam": list(report.spam), "disclosure": state}


def _line(report: "Report") -> str:
    severity = "" if report.severity is None else report.severity
    group = "" if report.group == report.id else report.group
    return (
        f"{report.id:18} {report.received:%Y-%m-%d %H:%M} {report.channel:16} {report.status:13} {severity:>3} "
        f"{report.incident or '':14} {group}{'  (spam?)' if report.spam else ''}"
    )


def _more(waiting: Any) -> str:  # respond.Waiting, loaded late
    alike = f", {len(waiting.alike)} alike" if waiting.alike else ""
    return f"{alike}{', looks like spam' if waiting.report.spam else ''}"
