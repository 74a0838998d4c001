"""What a campaign covered, and how often people got through: by category and way in, by team, by arm.

Judges what is not judged yet, counts (`measure.count_campaign`) and keeps the counts as a file of the case, from which
the Safety & Preparedness Report and `verify` read them. They stand beside the gates and enter none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safecase.assess import (
    CampaignEvidence,
    Case,
    Clock,
    NothingToRead,
    campaign_basis,
    campaign_rows,
    keep_counts,
    read_campaign,
)
from safecase.evidence import JudgementStore, Trial, TrialStore
from safecase.measure import (
    CampaignCounts,
    CampaignDeclared,
    CampaignReport,
    CampaignTeam,
    EmbeddedJudge,
    Judge,
    RubricJudge,
    count_campaign,
    judge_trials,
)
from safecase.models import open_model
from safecase.redteam._campaign import Declared, keep_declared
from safecase.redteam._events import Opened
from safecase.redteam._keys import participants
from safecase.redteam._recorder import SECTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A campaign in numbers, and the file of the case that holds them."""

    report: CampaignReport
    file: Path


async def report_campaign(case: Case, declared: Declared, *, now: Clock) -> Counted:
    """Judge what is not judged yet, count, and keep the counts.

    People may go on meanwhile: what is counted ends at an entry of the ledger, which the counts name.

    Raises:
        NothingToRead: nobody said anything yet.
        KeyMissing: the hazard key, which every answer is sealed under, is not here.
        CorruptedSegment: a segment of what people said is missing or changed.
    """
    campaign = declared.campaign
    nothing = f"campaign {campaign.id!r} holds no message yet; run `safecase redteam open {case.path}` first"
    store = TrialStore(case.path, section=SECTION).open(at=now())
    if not any(trial.model.startswith(f"redteam/{campaign.id}/") for trial in store.read()):
        raise NothingToRead(nothing)
    keep_declared(case, declared, now=now)
    judge = await _judge(case, store, now)
    basis = campaign_basis(tuple(case.ledger.entries()), campaign.id)
    if basis is None:
        raise NothingToRead(nothing)
    found = read_campaign(case, campaign.id, until=basis.seq, judge_digest=judge.digest)
    rows = campaign_rows(found, keys=len(participants(case, campaign.id)), misdrawn=_misdrawn(declared, found))
    said = _declared(declared)
    report = count_campaign(said, rows, judge=judge.id)
    counts = CampaignCounts(
        head=basis.head,
        counted_from=basis.digest,
        judge_digest=judge.digest,
        declared=said,
        rows=rows,
        report=report,
    )
    return Counted(report=report, file=keep_counts(case, counts, now=now))


async def _judge(case: Case, store: TrialStore, now: Clock) -> Judge:
    """Judge the new answers; every read of sealed ones is logged first."""
    name = case.spec.judge
    model = open_model(name.removeprefix("llm/")) if name.startswith("llm/") else None
    judge: Judge = RubricJudge(model) if model else EmbeddedJudge()

    def unseal(batch: Sequence[Trial]) -> Mapping[str, str]:
        vault = case.vault()
        mine = vault.sealed_here(batch)  # those of another key stay unscored
        return vault.read_sealed(
            mine, ledger=case.ledger, actor="safecase", purpose="judging a red-team campaign", at=now()
        )

    try:
        await judge_trials(store, JudgementStore(case.path, section=SECTION), judge, unseal=unseal, now=now)
    finally:
        if model is not None:
            await model.aclose()
    return judge


def _declared(declared: Declared) -> CampaignDeclared:
    campaign = declared.campaign
    return CampaignDeclared(
        id=campaign.id,
        title=campaign.title,
        sha256=declared.digest,
        opens=campaign.opens.isoformat(),
        closes=campaign.closes.isoformat(),
        arms={str(arm): weight for arm, weight in campaign.arms.items()},
        categories=tuple(declared.categories),
        vectors=tuple(vector.id for vector in campaign.vectors),
        teams=tuple(
            CampaignTeam(id=team.id, title=team.title, kind=team.kind, seats=team.seats) for team in campaign.teams
        ),
    )


def _misdrawn(declared: Declared, found: CampaignEvidence) -> int:
    teams = {team.id: team for team in declared.campaign.teams}
    opened = [Opened.model_validate(event) for event in found.of_kind("conversation")]
    return sum(
        event.team not in teams
        or declared.campaign.draw_arm(teams[event.team], event.participant, event.ordinal) != event.arm
        for event in opened
    )
