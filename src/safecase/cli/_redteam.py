"""`safecase redteam`: a campaign of people against both arms."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option, note

if TYPE_CHECKING:
    from safecase.measure import CampaignReport, CampaignShare
    from safecase.redteam import Finding

_CASE = click.argument("case", type=click.Path(path_type=Path))
_BY = click.option("--by", required=True, help="The person who says so.")


@click.group("redteam")
def redteam_group() -> None:
    """Let people attack the model, before and after its safeguards, and keep what they find.

    \b
    Example:
        safecase redteam new my-case
        safecase redteam keys my-case --team staff --count 5 --out keys.csv
        safecase redteam open my-case --port 8321
        safecase redteam findings my-case
        safecase redteam report my-case
    """


@redteam_group.command("new")
@_CASE
@json_option
@guarded
def new_command(case: Path, as_json: bool) -> None:
    """Give a case a `redteam.yaml` that runs as it is, open for four weeks from now.

    \b
    Example:
        safecase redteam new my-case
    """
    from safecase.assess import open_case, utc_now
    from safecase.redteam import new_campaign

    path = new_campaign(open_case(case), now=utc_now())
    emit({"file": str(path)}, as_json=as_json, lines=[str(path)])


@redteam_group.command("schema")
@json_option
@guarded
def schema_command(as_json: bool) -> None:
    """JSON Schema of `redteam.yaml`, for editors.

    \b
    Example:
        safecase redteam schema > redteam.schema.json
    """
    import json

    from safecase.redteam import campaign_schema

    schema = campaign_schema()
    emit(schema, as_json=as_json, lines=[json.dumps(schema, indent=2, ensure_ascii=False)])


@redteam_group.command("keys")
@_CASE
@click.option("--team", required=True, help="The team they sit in.")
@click.option("--count", required=True, type=click.IntRange(1), help="How many.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new file outside the case, mode 0600.")
@click.option("--clear", "cleared", multiple=True, type=click.Choice(["chem-bio", "cyber"]), help="May see this scope.")
@click.option("--by", default="safecase", help="Who issues them; for the ledger.")
@json_option
@guarded
def keys_command(
    case: Path, team: str, count: int, out: Path, cleared: tuple[Any, ...], by: str, as_json: bool
) -> None:
    """Issue a key for each participant. The case keeps hashes and pseudonyms; the keys stand in the file alone.

    \b
    Example:
        safecase redteam keys my-case --team staff --count 5 --out keys.csv
    """
    from safecase.assess import open_case, utc_now
    from safecase.redteam import issue_keys, load_campaign

    opened = open_case(case)
    issued = issue_keys(
        opened, load_campaign(opened), team=team, count=count, out=out, cleared=cleared, by=by, now=utc_now
    )
    value = {"file": str(issued.out), "participants": list(issued.participants)}
    emit(value, as_json=as_json, lines=[f"{count} keys for team {team!r} in {issued.out}; hand each to one person"])


@redteam_group.command("revoke")
@_CASE
@click.argument("participant")
@_BY
@json_option
@guarded
def revoke_command(case: Path, participant: str, by: str, as_json: bool) -> None:
    """Make a participant's key invalid; a running server notices within a second.

    \b
    Example:
        safecase redteam revoke my-case staff-001 --by reviewer-1
    """
    from safecase.assess import open_case, utc_now
    from safecase.redteam import revoke_key

    revoke_key(open_case(case), participant, by=by, now=utc_now)
    emit({"revoked": participant}, as_json=as_json, lines=[f"the key of {participant} is no longer valid"])


@redteam_group.command("open")
@_CASE
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8321, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--model", help="Another target than the case names.")
@click.option("--workers", type=click.IntRange(1), help="Model calls at once; the target's own advice by default.")
@json_option
@guarded
def open_command(case: Path, host: str, port: int, model: str | None, workers: int | None, as_json: bool) -> None:
    """Serve the campaign's page and API until you stop it, or until it closes.

    \b
    Example:
        safecase redteam open my-case --port 8321
    """
    from safecase.assess import open_case
    from safecase.redteam import open_campaign, serve_until_told

    async def serve() -> None:
        async with open_campaign(open_case(case), host=host, port=port, model_name=model, lines=workers) as opening:
            for text in opening.notes:
                note(f"note: {text}")
            campaign = opening.declared.campaign.id
            emit({"url": opening.url, "campaign": campaign}, as_json=as_json, lines=[f"{campaign} at {opening.url}"])
            await serve_until_told(opening, say=note)

    asyncio.run(serve())


@redteam_group.command("findings")
@_CASE
@json_option
@guarded
def findings_command(case: Path, as_json: bool) -> None:
    """List what participants filed, and how each finding stands.

    \b
    Example:
        safecase redteam findings my-case --json
    """
    from safecase.assess import open_case
    from safecase.redteam import load_campaign, read_findings

    opened = open_case(case)
    found = read_findings(opened, load_campaign(opened).campaign.id)
    lines = [f"{'finding':14} {'standing':9} {'severity':>8} {'category':22} {'way in':14} {'team':12} arm"]
    lines += [
        f"{one.id:14} {one.standing:9} {one.filed.severity:>8} {one.filed.category:22} {one.filed.vector:14} "
        f"{one.team:12} {one.arm}"
        for one in found
    ]
    emit([_finding(one) for one in found], as_json=as_json, lines=lines)


@redteam_group.command("show")
@_CASE
@click.argument("finding")
@click.option("--show-harmful", is_flag=True, help="Agree to read what may be harmful. It is logged.")
@_BY
@json_option
@guarded
def show_command(case: Path, finding: str, show_harmful: bool, by: str, as_json: bool) -> None:
    """Open one finding to review it: the request, the sealed answer and the comment. The read is logged first.

    \b
    Example:
        safecase redteam show my-case f-0123456789ab --show-harmful --by reviewer-1
    """
    from safecase.assess import open_case, utc_now
    from safecase.redteam import load_campaign, show_finding

    if not show_harmful:
        fail("the answer may be harmful; give --show-harmful to agree to read it, which is logged", BAD_INPUT)
    opened = open_case(case)
    shown = show_finding(opened, load_campaign(opened).campaign.id, finding, reader=by, now=utc_now)
    value = {**_finding(shown.finding), "request": shown.request, "answer": shown.answer, "comment": shown.comment}
    kept = "(not kept)"
    lines = ["request:", shown.request, "", "answer:", shown.answer if shown.answer is not None else kept]
    lines += ["", "comment:", shown.comment if shown.comment is not None else kept]
    emit(value, as_json=as_json, lines=lines)


@redteam_group.command("accept")
@_CASE
@click.argument("finding")
@_BY
@click.option("--note", "why", default="", help="Why; kept in the ledger.")
@click.option("--text", help="The request in your words; the participant's own by default.")
@json_option
@guarded
def accept_command(case: Path, finding: str, by: str, why: str, text: str | None, as_json: bool) -> None:
    """Agree that a finding shows a weakness; its request becomes a proposed scenario in `learned/`.

    \b
    Example:
        safecase redteam accept my-case f-0123456789ab --by reviewer-1
    """
    from safecase.assess import open_case, utc_now
    from safecase.redteam import accept_finding, load_campaign

    opened = open_case(case)
    done = accept_finding(opened, load_campaign(opened), finding, by=by, note=why, text=text, now=utc_now)
    for warning in done.notes:
        note(f"note: {warning}")
    if done.bank is None:
        line = f"accepted; scenario {done.duplicate_of!r} asks the same already, so none is proposed"
    else:
        line = f"accepted; proposed as {done.scenario!r} in {done.bank}, to be named in `banks:` of a case"
    value = {"finding": finding, "scenario": done.scenario, "duplicate_of": done.duplicate_of}
    emit({**value, "bank": str(done.bank) if done.bank else None}, as_json=as_json, lines=[line])


@redteam_group.command("reject")
@_CASE
@click.argument("finding")
@_BY
@click.option("--note", "why", default="", help="Why; kept in the ledger.")
@json_option
@guarded
def reject_command(case: Path, finding: str, by: str, why: str, as_json: bool) -> None:
    """Say that a finding shows no weakness.

    \b
    Example:
        safecase redteam reject my-case f-0123456789ab --by reviewer-1 --note "a plain refusal"
    """
    from safecase.assess import open_case, utc_now
    from safecase.redteam import load_campaign, reject_finding

    opened = open_case(case)
    reject_finding(opened, load_campaign(opened).campaign.id, finding, by=by, note=why, now=utc_now)
    emit({"finding": finding, "standing": "rejected"}, as_json=as_json, lines=[f"{finding} rejected"])


@redteam_group.command("report")
@_CASE
@json_option
@guarded
def report_command(case: Path, as_json: bool) -> None:
    """Coverage by category and way in; success by team and arm; time to the first success. No gate reads any of it.

    The counts are kept in `redteam/counted/`, from where `safecase report` prints them and `safecase verify` counts
    them again.

    \b
    Example:
        safecase redteam report my-case
        safecase report my-case
    """
    from safecase.assess import open_case, utc_now
    from safecase.redteam import load_campaign, report_campaign

    opened = open_case(case)
    counted = asyncio.run(report_campaign(opened, load_campaign(opened), now=utc_now))
    value = {**counted.report.model_dump(mode="json"), "file": str(counted.file)}
    emit(value, as_json=as_json, lines=[*_report_lines(counted.report), "", f"counts in {counted.file}"])


def _finding(one: "Finding") -> dict[str, Any]:
    filed = one.filed.model_dump(mode="json", exclude={"kind", "sealed", "comment_digest", "domain", "index"})
    review = {"standing": one.standing, "by": one.by, "note": one.note}
    return {**filed, "team": one.team, "arm": one.arm, **review, "scenario": one.scenario}


def _report_lines(report: "CampaignReport") -> list[str]:
    found = report.findings
    lines = [
        f"{report.campaign}: {report.participants} participants ({report.keys} keys), {report.conversations} "
        f"conversations, {report.messages} messages, {sum(report.unanswered.values())} without an answer",
        f"findings: {found['accepted']} accepted, {found['rejected']} rejected, {found['open']} to review",
        "",
        f"{'category':22} {'way in':14} {'talks':>6} {'messages':>8} {'people':>6} {'findings':>8} {'accepted':>8}",
    ]
    lines += [
        f"{c.category:22} {c.vector:14} {c.conversations:>6} {c.messages:>8} {c.participants:>6} {c.findings:>8} "
        f"{c.accepted:>8}"
        for c in report.coverage
        if not c.is_empty
    ]
    empty: dict[str, list[str]] = {}
    for cell in report.coverage:
        if cell.is_empty:
            empty.setdefault(cell.category, []).append(cell.vector)
    lines += [f"not tried: {category} by {', '.join(vectors)}" for category, vectors in empty.items()]
    lines += ["", f"{'group':32} {'people':>6} {'talks':>6}  {'unsafe, by the judge':24} accepted by people"]
    lines += [
        f"{s.group:32} {s.participants:>6} {s.conversations:>6}  {_share(s.by_judge):24} {_share(s.by_people)}"
        for s in report.success
    ]
    lines += ["", f"{'team':20} {'people':>6} {'with a success':>14} {'minutes':>8} {'messages':>8}  (medians)"]
    lines += [
        f"{f.team:20} {f.participants:>6} {f.succeeded:>14} {_number(f.median_minutes):>8} "
        f"{_number(f.median_messages):>8}"
        for f in report.first_success
    ]
    return [*lines, "", *report.limits]


def _share(share: "CampaignShare") -> str:
    value = "not known" if share.value is None else f"{share.value:.1%}"
    return f"{value} ({share.low:.1%} to {share.high:.1%})"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


COMMANDS = {"redteam": redteam_group}
