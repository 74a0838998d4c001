"""What `verify` makes again of a red-team campaign's counts.

The counts follow from their own rows, also in a bundle that has nothing of what people said. Where the evidence is
here, the rows follow from it: trials, stored verdicts, events and reviews up to the ledger entry that the counts name.
Not made again are the verdicts on sealed answers, the keys issued, the draw of arms and the scope: see docs/redteam.md.
"""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from safecase.assess._campaign_rows import (
    CAMPAIGN_SECTION,
    CampaignEvidence,
    campaign_basis,
    campaign_rows,
    read_campaign,
)
from safecase.assess._campaigns import DECLARED, counted_entries, read_counts
from safecase.assess._case import Case, NothingToRead
from safecase.evidence import Entry, EvidenceError
from safecase.measure import CampaignCounts, count_campaign, known_without_judging

_FOLDER = f"evidence/{CAMPAIGN_SECTION}/"


def campaign_problems(case: Case, *, left_out: frozenset[str], notes: list[str]) -> tuple[int, list[str]]:
    """How many counts were looked at, and every way in which one does not hold, each naming its file.

    Args:
        left_out: paths that a bundle left out.
        notes: takes what could not be checked, in sentences.
    """
    entries = tuple(case.ledger.entries())
    counted = {str(entry.subject["path"]): entry for entry in counted_entries(entries)}
    is_here = not any(name.startswith(_FOLDER) for name in left_out)
    if counted and not is_here:
        notes.append(
            "what people said in red-team campaigns is not in this bundle, so its counts were added up again from "
            "their rows alone"
        )
    problems: list[str] = []
    sealed: set[str] = set()
    for name, entry in counted.items():
        try:
            counts = read_counts(case, entry)
        except NothingToRead as fault:
            problems.append(str(fault))
            continue
        problems += [f"{name}: {what}" for what in (*_of_itself(counts, entry, entries), *_of_basis(counts, entries))]
        basis = campaign_basis(_until(entries, counts.head), counts.declared.id)
        if not is_here or basis is None:
            continue
        try:
            found = read_campaign(case, counts.declared.id, until=basis.seq, judge_digest=counts.judge_digest)
            problems += [f"{name}: {what}" for what in _of_evidence(counts, found)]
        except (EvidenceError, KeyError, ValueError) as fault:
            problems.append(f"{name}: what it was counted from cannot be read ({type(fault).__name__}: {fault})")
            continue
        problems += _unfounded(found)
        sealed.update(trial.trial_id for trial in found.trials if trial.sealed is not None)
    if sealed:
        notes.append(f"{len(sealed)} sealed answers to people were not judged again: that needs the hazard key")
    return len(counted), list(dict.fromkeys(problems))


def _of_itself(counts: CampaignCounts, entry: Entry, entries: Sequence[Entry]) -> Iterator[str]:
    """The report follows from the rows, under a declaration that the ledger knows."""
    if counts.declared.id != (said := entry.subject.get("campaign")):
        yield f"it counts campaign {counts.declared.id!r}, and the ledger says {said!r}"
    declared = {e.subject["sha256"] for e in entries if str(e.subject.get("path", "")).startswith(DECLARED)}
    if counts.declared.sha256 not in declared:
        yield "the ledger names no declaration with the digest that it was counted under"
    again = count_campaign(counts.declared, counts.rows, judge=counts.report.judge)
    yield from (f"{field} does not follow from its own rows" for field in _differing(counts.report, again))


def _of_basis(counts: CampaignCounts, entries: Sequence[Entry]) -> Iterator[str]:
    """It names what it was counted from, as the ledger has it."""
    basis = campaign_basis(_until(entries, counts.head), counts.declared.id)
    if basis is None or basis.head != counts.head or basis.digest != counts.counted_from:
        yield "the ledger does not hold what it says that it was counted from"


def _of_evidence(counts: CampaignCounts, found: CampaignEvidence) -> Iterator[str]:
    again = campaign_rows(found, keys=counts.rows.keys, misdrawn=counts.rows.misdrawn)
    yield from (f"its rows ({field}) do not follow from {_FOLDER}" for field in _differing(counts.rows, again))


def _unfounded(found: CampaignEvidence) -> Iterator[str]:
    """Verdicts that no judge gave: of messages without an answer, or other than what needs no judge."""
    for trial in found.trials:
        row = found.verdicts.get(trial.trial_id)
        if row is None or row.verdict is None:
            continue
        known = known_without_judging(trial)
        is_founded = row.verdict == known.verdict if known is not None else trial.status == "answered"
        if not is_founded:
            yield f"{_FOLDER}judgements: trial {trial.trial_id} is {row.verdict!r}, which does not follow from it"


def _differing(one: BaseModel, other: BaseModel) -> list[str]:
    names = type(one).model_fields
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def _until(entries: Sequence[Entry], head: str) -> tuple[Entry, ...]:
    """Entries up to one by its hash; none where the ledger does not know it."""
    place = next((at for at, entry in enumerate(entries) if entry.hash == head), -1)
    return tuple(entries[: place + 1])
