"""Red teaming by people in the report: what was tried, how often they got through, and what is not known of it.

Every figure is read from the counts that the case keeps, and stands under their file's digest. What people try is no
random sample, so none of it is held against a gate.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from safecase.decide import percent
from safecase.measure import CampaignCell, CampaignShare, CampaignSuccess
from safecase.report._input import CampaignLine, ReportInput
from safecase.report._numbers import Number, Tracer
from safecase.report._words import ARMS, sentence_case

_TOTALS = ("participants", "keys", "conversations", "messages", "referrals")
_CELL = ("conversations", "messages", "participants", "findings", "accepted")
_BY = ("by_judge", "by_people")
_SPAN = {"id": "", "low": "/low", "high": "/high"}


def campaign_numbers(given: ReportInput) -> Iterator[tuple[str, Number]]:
    """Every number of this part, by id: `campaign/<campaign>/<field>`."""
    for line in given.campaigns.counted:
        report, base = line.counts.report, _base(line)
        for name in _TOTALS:
            yield f"{base}/{name}", _count(line, name, getattr(report, name))
        for kind, found in (("unanswered", report.unanswered), ("findings", report.findings)):
            for name, value in found.items():
                yield f"{base}/{kind}/{name}", _count(line, f"{kind}/{name}", value)
        empty = sum(cell.is_empty for cell in report.coverage)
        yield f"{base}/cells", _count(line, "coverage", len(report.coverage), of="cells")
        yield f"{base}/empty", _count(line, "coverage", empty, of="empty cells")
        for place, cell in enumerate(report.coverage):
            for name in _CELL:
                field = f"coverage/{place}/{name}"
                yield f"{base}/{field}", _count(line, field, getattr(cell, name))
        for place, group in enumerate(report.success):
            yield from _of_group(line, f"success/{place}", group)
        for place, first in enumerate(report.first_success):
            for name in ("participants", "succeeded"):
                field = f"first_success/{place}/{name}"
                yield f"{base}/{field}", _count(line, field, getattr(first, name))
            for name in ("median_minutes", "median_messages"):
                field, value = f"first_success/{place}/{name}", getattr(first, name)
                yield f"{base}/{field}", _number(line, field, value, "none" if value is None else f"{value:.1f}")
        for name in ("messages_since", "reviews_since"):
            query = {"kind": "campaign", "campaign": line.counts.declared.id, "of": name}
            query |= {"after": line.counts.head, "to": given.ledger_head}
            value = getattr(line, name)
            yield f"{base}/{name}", Number(value=value, text=f"{value:,}", query=query, evidence_digest=query["to"])


def campaigns(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """One entry for each campaign that was counted."""
    return [_campaign(line, tracer) for line in given.campaigns.counted]


def campaign_limits(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """What the report admits about red teaming by people: one group of lines."""
    found = given.campaigns
    said = [_admitted(line.counts.declared.id, _limit(line, tracer)) for line in found.counted]
    said += [
        _admitted(name, "was held and not counted yet, so nothing of it stands here; safecase redteam report counts it")
        for name in found.uncounted
    ]
    said += [_admitted(name, "was declared, and nobody has said anything in it yet") for name in found.silent]
    nobody = {"subjects": [], "words": "No red-team campaign by people was held."}
    return [{"title": "Red teaming by people", "lines": said or [nobody]}]


def _admitted(campaign: str, words: str) -> dict[str, Any]:
    return {"subjects": [campaign], "words": f"{words}."}


def _limit(line: CampaignLine, tracer: Tracer) -> str:
    base = _base(line)
    tried = "every category in scope was tried by every way in"
    if any(cell.is_empty for cell in line.counts.report.coverage):
        empty, cells = tracer.mark(f"{base}/empty"), tracer.mark(f"{base}/cells")
        tried = f"{empty} of {cells} pairs of a category and a way in were tried by nobody"
    stale = _stale(line, tracer)
    return "; ".join(["was counted, is no random sample and decides no gate", tried, *([stale] if stale else [])])


def _stale(line: CampaignLine, tracer: Tracer) -> str | None:
    """What came in after the count; None where nothing did."""
    since = []
    for name, words in (("messages_since", "messages came in"), ("reviews_since", "findings were reviewed")):
        if getattr(line, name):
            since.append(f"{words} ({tracer.mark(f'{_base(line)}/{name}')})")
    if line.events_since and not line.messages_since:
        since.append("conversations or findings were added")
    said = " and ".join(since)
    return f"since it was counted, {said}, which safecase redteam report would count too" if since else None


def _campaign(line: CampaignLine, tracer: Tracer) -> dict[str, Any]:
    counts, base = line.counts, _base(line)
    report, declared = counts.report, counts.declared

    def said(text: str, pointer: str) -> str:
        return tracer.quote(text, file=line.file, pointer=pointer)

    teams = {team.id: said(team.title, f"/declared/teams/{n}/title") for n, team in enumerate(declared.teams)}
    return {
        "id": declared.id,
        "title": said(declared.title, "/declared/title"),
        "opens": declared.opens[:10],
        "closes": declared.closes[:10],
        "judge": report.judge,
        "arms": [ARMS.get(arm, sentence_case(arm)) for arm in declared.arms],
        "categories": [
            said(sentence_case(name), f"/declared/categories/{n}") for n, name in enumerate(declared.categories)
        ],
        "teams": [{"title": teams[team.id], "kind": sentence_case(team.kind)} for team in declared.teams],
        "totals": {name: _used(tracer, f"{base}/{name}") for name in _TOTALS},
        "unanswered": [
            {"status": status, "number": _used(tracer, f"{base}/unanswered/{status}")} for status in report.unanswered
        ],
        "findings": [
            {"standing": standing, "number": _used(tracer, f"{base}/findings/{standing}")}
            for standing in report.findings
        ],
        "coverage": [
            _cell(cell, f"{base}/coverage/{n}", tracer) for n, cell in enumerate(report.coverage) if not cell.is_empty
        ],
        "untried": _untried(report.coverage),
        "success": [_group(group, f"{base}/success/{n}", teams, tracer) for n, group in enumerate(report.success)],
        "first": [
            {
                "team": teams.get(first.team, first.team),
                **{
                    name: _used(tracer, f"{base}/first_success/{n}/{name}")
                    for name in ("participants", "succeeded", "median_minutes", "median_messages")
                },
            }
            for n, first in enumerate(report.first_success)
        ],
        "limits": [said(limit, f"/report/limits/{n}") for n, limit in enumerate(report.limits)],
        "stale": _stale(line, tracer),
    }


def _cell(cell: CampaignCell, base: str, tracer: Tracer) -> dict[str, Any]:
    numbers = {name: _used(tracer, f"{base}/{name}") for name in _CELL}
    return {"category": cell.category, "vector": cell.vector, **numbers}


def _untried(coverage: tuple[CampaignCell, ...]) -> list[dict[str, Any]]:
    """Categories with the ways in that nobody tried."""
    found: dict[str, list[str]] = {}
    for cell in coverage:
        if cell.is_empty:
            found.setdefault(cell.category, []).append(cell.vector)
    return [{"category": category, "vectors": vectors} for category, vectors in found.items()]


def _group(group: CampaignSuccess, base: str, teams: dict[str, str], tracer: Tracer) -> dict[str, Any]:
    shares = {name: {part: _used(tracer, f"{base}/{name}{end}") for part, end in _SPAN.items()} for name in _BY}
    numbers = {name: _used(tracer, f"{base}/{name}") for name in ("participants", "conversations")}
    return {"group": _title(group.group, teams), **numbers, **shares}


def _title(group: str, teams: dict[str, str]) -> str:
    """A group in words.

    >>> _title("team:staff/arm:bare", {"staff": "Our own staff"})
    'Our own staff, before safeguards'
    """
    words = []
    for part in group.split("/"):
        what, _, name = part.partition(":")
        known = {"team": teams.get(name, name), "kind": f"Every {sentence_case(name).lower()} team"}
        words.append({"all": "Everyone", "arm": ARMS.get(name, name), **known}.get(what, part))
    return ", ".join([words[0], *(word[:1].lower() + word[1:] for word in words[1:])])


def _of_group(line: CampaignLine, field: str, group: CampaignSuccess) -> Iterator[tuple[str, Number]]:
    for name in ("participants", "conversations"):
        yield f"{_base(line)}/{field}/{name}", _count(line, f"{field}/{name}", getattr(group, name))
    for name in _BY:
        share: CampaignShare = getattr(group, name)
        at = f"{field}/{name}"
        text = "not known" if share.value is None else percent(share.value)
        yield f"{_base(line)}/{at}", _number(line, f"{at}/value", share.value, text, share=share)
        for end in ("low", "high"):
            value = getattr(share, end)
            yield f"{_base(line)}/{at}/{end}", _number(line, f"{at}/{end}", value, percent(value))


def _count(line: CampaignLine, field: str, value: int, **query: str) -> Number:
    found = _number(line, field, value, f"{value:,}")
    return replace(found, query={**found.query, **query})


def _number(
    line: CampaignLine, field: str, value: float | int | None, text: str, *, share: CampaignShare | None = None
) -> Number:
    """A number of the counts' file; with a share, it stands as that share's value, with its interval and count."""
    query = {"kind": "campaign", "campaign": line.counts.declared.id, "file": line.file, "pointer": f"/report/{field}"}
    return Number(
        value=value,
        text=text,
        query=query,
        evidence_digest=line.sha256,
        n=share.known if share else None,
        low=share.low if share else None,
        high=share.high if share else None,
    )


def _used(tracer: Tracer, number_id: str) -> str:
    tracer.num(number_id)
    return number_id


def _base(line: CampaignLine) -> str:
    return f"campaign/{line.counts.declared.id}"
