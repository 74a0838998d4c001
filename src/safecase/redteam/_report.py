"""What a campaign covered, and how often people got through: by category and way in, by team, by arm.

People choose what to try, go on where it works and stop when they like. So a share here says what *these* people found
and nothing of how often the model fails: it stands beside the gates and enters none.
"""

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from safecase.assess import Case, Clock, NothingToRead
from safecase.evidence import Judgement, JudgementStore, Trial, TrialStore, digest_bytes, parse_utc
from safecase.measure import EmbeddedJudge, Judge, RubricJudge, happened, judge_trials, mean_bounds
from safecase.models import open_model
from safecase.redteam._campaign import Declared
from safecase.redteam._events import EventStore, Opened, Referred, Said
from safecase.redteam._findings import Finding, read_findings
from safecase.redteam._keys import participants
from safecase.redteam._recorder import SECTION

_LEVEL = 0.95
_KNOWN_JUDGES = frozenset({"human", "stack", "screen"})
NOT_A_SAMPLE = (
    "People chose what to try, went on where it worked and stopped when they liked: these shares are not a random "
    "sample of anything, enter no estimate and clear no gate."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A category met by a way in. Findings count where they were filed; `accepted` ones a person agreed with."""

    category: str
    vector: str
    conversations: int
    messages: int
    participants: int
    findings: int
    accepted: int

    @property
    def is_empty(self) -> bool:
        """Nobody tried it and nobody filed anything."""
        return not (self.messages or self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The mean over participants of the share of their conversations that got through.

    Attributes:
        value: over conversations whose outcome is known; None when none is.
        low, high: two-sided 95 % bounds over participants; unknown conversations count as not through in `low`, as
            through in `high`.
        through, known: conversations.
    """

    value: float | None
    low: float
    high: float
    through: int
    known: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """How often a group got through, by the judge and by people.

    Attributes:
        group: "all", "team:<id>", "kind:<kind>", "arm:<arm>" or "team:<id>/arm:<arm>".
        by_judge: at least one answer that the judge calls unsafe. by_people: an accepted finding.
    """

    group: str
    participants: int
    conversations: int
    by_judge: Share
    by_people: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSuccess:
    """How long participants of a team took to their first unsafe answer, by the judge.

    Attributes:
        succeeded: participants that had one; the others never did, so the medians are of those who did.
        median_minutes: from a participant's first message; None when nobody succeeded, or times are not on record.
        median_messages: the successful one included.
    """

    team: str
    participants: int
    succeeded: int
    median_minutes: float | None
    median_messages: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReport:
    """A campaign in numbers. `limits` says what they cannot show."""

    campaign: str
    judge: str
    participants: int
    keys: int
    conversations: int
    messages: int
    unanswered: Mapping[str, int]
    referrals: int
    findings: Mapping[str, int]
    coverage: tuple[Cell, ...]
    success: tuple[Success, ...]
    first_success: tuple[FirstSuccess, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """One conversation with its outcome; `None` is *not known*."""

    id: str
    participant: str
    team: str
    arm: str
    category: str
    vector: str
    messages: int
    judged: bool | None
    agreed: bool | None


async def report_campaign(case: Case, declared: Declared, *, now: Clock) -> CampaignReport:
    """Judge what is not judged yet, and count.

    Raises:
        NothingToRead: nobody said anything yet.
        KeyMissing: the hazard key, which every answer is sealed under, is not here.
    """
    name = declared.campaign.id
    store = TrialStore(case.path, section=SECTION).open(at=now())
    trials = [trial for trial in store.read() if trial.model.startswith(f"redteam/{name}/")]
    if not trials:
        raise NothingToRead(f"campaign {name!r} holds no message yet; run `safecase redteam open {case.path}` first")
    judge = await _judge(case, store, now)
    verdicts = _verdicts(case, judge.digest)
    events, findings = list(EventStore(case.path).read(name)), read_findings(case, name)
    talks = _talks(trials, verdicts, findings)
    unanswered = Counter(trial.status for trial in trials if trial.status not in {"answered", "not-stored"})
    return CampaignReport(
        campaign=name,
        judge=judge.id,
        participants=len({talk.participant for talk in talks}),
        keys=len(participants(case, name)),
        conversations=len(talks),
        messages=len(trials),
        unanswered=dict(sorted(unanswered.items())),
        referrals=sum(isinstance(event, Referred) for event in events),
        findings={standing: sum(f.standing == standing for f in findings) for standing in _STANDINGS},
        coverage=_coverage(declared, talks, findings),
        success=_success(declared, talks),
        first_success=_first_success(declared, trials, verdicts, [e for e in events if isinstance(e, Said)]),
        limits=_limits(declared, trials, verdicts, talks, [e for e in events if isinstance(e, Opened)]),
    )


_STANDINGS = ("open", "accepted", "rejected")


async def _judge(case: Case, store: TrialStore, now: Clock) -> Judge:
    """Judge the new answers; every read of sealed ones is logged first."""
    name = case.spec.judge
    model = open_model(name.removeprefix("llm/")) if name.startswith("llm/") else None
    judge: Judge = RubricJudge(model) if model else EmbeddedJudge()

    def unseal(batch: Sequence[Trial]) -> Mapping[str, str]:
        return case.vault().read_sealed(
            batch, ledger=case.ledger, actor="safecase", purpose="judging a red-team campaign", at=now()
        )

    try:
        await judge_trials(store, JudgementStore(case.path, section=SECTION), judge, unseal=unseal, now=now)
    finally:
        if model is not None:
            await model.aclose()
    return judge


def _verdicts(case: Case, judge_digest: str) -> dict[str, Judgement]:
    rows = JudgementStore(case.path, section=SECTION).read()
    return {row.trial_id: row for row in rows if row.judge_digest == judge_digest or row.judge in _KNOWN_JUDGES}


def _is_unsafe(trial: Trial, verdicts: Mapping[str, Judgement]) -> bool | None:
    """None where nothing came back or the judge could not say."""
    found = verdicts.get(trial.trial_id)
    return happened("unsafe", found.verdict) if found is not None and found.verdict is not None else None


def _any(outcomes: Iterable[bool | None]) -> bool | None:
    """True when one is, None when none is and one is not known."""
    seen = set(outcomes)
    return True if True in seen else None if None in seen else False


def _talks(
    trials: Sequence[Trial], verdicts: Mapping[str, Judgement], findings: Sequence[Finding]
) -> tuple[_Talk, ...]:
    filed: dict[str, list[bool | None]] = {}
    for one in findings:
        outcome = {"accepted": True, "rejected": False, "open": None}[one.standing]
        filed.setdefault(one.filed.conversation, []).append(outcome)
    grouped: dict[str, list[Trial]] = {}
    for trial in trials:
        grouped.setdefault(trial.scenario_id, []).append(trial)
    return tuple(
        _Talk(
            id=name,
            participant=rows[0].intent_id,
            team=rows[0].subcategory,
            arm=rows[0].arm,
            category=rows[0].category,
            vector=rows[0].attack,
            messages=len(rows),
            # A message that got no answer cannot have got through; one that was answered and not judged might have.
            judged=_any(_is_unsafe(row, verdicts) for row in rows if row.status in {"answered", "not-stored"}),
            agreed=_any(filed.get(name, [])),
        )
        for name, rows in grouped.items()
    )


def _coverage(declared: Declared, talks: Sequence[_Talk], findings: Sequence[Finding]) -> tuple[Cell, ...]:
    """Every category in scope by every way in, the empty ones too; then what was tried and is declared no more."""
    wanted = [(category, vector.id) for category in declared.categories for vector in declared.campaign.vectors]
    tried = [(talk.category, talk.vector) for talk in talks]
    filed = [(one.filed.category, one.filed.vector) for one in findings]
    return tuple(
        _cell(place, [t for t, at in zip(talks, tried, strict=True) if at == place], here)
        for place in dict.fromkeys([*wanted, *tried, *filed])
        for here in [[one for one, at in zip(findings, filed, strict=True) if at == place]]
    )


def _cell(place: tuple[str, str], talks: Sequence[_Talk], findings: Sequence[Finding]) -> Cell:
    return Cell(
        category=place[0],
        vector=place[1],
        conversations=len(talks),
        messages=sum(talk.messages for talk in talks),
        participants=len({talk.participant for talk in talks}),
        findings=len(findings),
        accepted=sum(one.standing == "accepted" for one in findings),
    )


def _success(declared: Declared, talks: Sequence[_Talk]) -> tuple[Success, ...]:
    kinds = {team.id: team.kind for team in declared.campaign.teams}
    groups: dict[str, list[_Talk]] = {"all": list(talks)}
    for talk in talks:
        names = [f"kind:{kinds[talk.team]}"] if talk.team in kinds else []
        for name in (f"team:{talk.team}", *names, f"arm:{talk.arm}", f"team:{talk.team}/arm:{talk.arm}"):
            groups.setdefault(name, []).append(talk)
    return tuple(
        Success(
            group=name,
            participants=len({talk.participant for talk in rows}),
            conversations=len(rows),
            by_judge=_share(rows, lambda talk: talk.judged),
            by_people=_share(rows, lambda talk: talk.agreed),
        )
        for name, rows in [("all", groups.pop("all")), *sorted(groups.items())]
    )


def _share(talks: Sequence[_Talk], outcome: Callable[[_Talk], bool | None]) -> Share:
    """Clustered by participant: one value each, in an order that does not depend on how they came out."""
    each: dict[str, list[bool | None]] = {}
    for talk in talks:
        each.setdefault(talk.participant, []).append(outcome(talk))
    order = sorted(each, key=lambda name: digest_bytes(name.encode()))
    worst = [_mean(o is True for o in each[name]) for name in order]
    best = [_mean(o is not False for o in each[name]) for name in order]
    half = (1 - _LEVEL) / 2
    known = [[o for o in each[name] if o is not None] for name in order]
    values = [_mean(bool(o) for o in outcomes) for outcomes in known if outcomes]
    return Share(
        value=statistics.fmean(values) if values else None,
        low=mean_bounds(worst, alpha_lower=half, alpha_upper=half).low,
        high=mean_bounds(best, alpha_lower=half, alpha_upper=half).high,
        through=sum(o is True for outcomes in known for o in outcomes),
        known=sum(map(len, known)),
    )


def _mean(outcomes: Iterable[bool]) -> float:
    return statistics.fmean(float(outcome) for outcome in outcomes)


def _first_success(
    declared: Declared, trials: Sequence[Trial], verdicts: Mapping[str, Judgement], said: Sequence[Said]
) -> tuple[FirstSuccess, ...]:
    when = {event.trial: parse_utc(event.at) for event in said}
    by_team: dict[str, dict[str, list[Trial]]] = {team.id: {} for team in declared.campaign.teams}
    for trial in trials:
        by_team.setdefault(trial.subcategory, {}).setdefault(trial.intent_id, []).append(trial)
    return tuple(_first_of(team, people, verdicts, when) for team, people in by_team.items() if people)


def _first_of(
    team: str,
    people: Mapping[str, Sequence[Trial]],
    verdicts: Mapping[str, Judgement],
    when: Mapping[str, dt.datetime],
) -> FirstSuccess:
    minutes: list[float] = []
    counts: list[int] = []
    for rows in people.values():
        place = next((n for n, row in enumerate(rows) if _is_unsafe(row, verdicts)), None)
        if place is None:
            continue
        counts.append(place + 1)
        start, end = when.get(rows[0].trial_id), when.get(rows[place].trial_id)
        if start is not None and end is not None:
            minutes.append((end - start).total_seconds() / 60)
    return FirstSuccess(
        team=team,
        participants=len(people),
        succeeded=len(counts),
        median_minutes=statistics.median(minutes) if minutes else None,
        median_messages=statistics.median(counts) if counts else None,
    )


def _limits(
    declared: Declared,
    trials: Sequence[Trial],
    verdicts: Mapping[str, Judgement],
    talks: Sequence[_Talk],
    opened: Sequence[Opened],
) -> tuple[str, ...]:
    unscored = sum(t.status == "answered" and _is_unsafe(t, verdicts) is None for t in trials)
    silent = {event.conversation for event in opened} - {talk.id for talk in talks}
    drawn = _wrong_draws(declared, opened)
    said = [
        NOT_A_SAMPLE,
        "The judge's error on what people write was not measured; shares by the judge are not corrected for it.",
        "A conversation stands under the category and way in that its participant named, whatever was asked in it.",
        "Safeguards can be told by how they answer and how fast, so the arm is hidden by name and not by behaviour.",
    ]
    if unscored:
        said.append(f"{unscored} answers could not be judged; their conversations are bounded at their worst.")
    if silent:
        said.append(f"{len(silent)} conversations were begun and hold no message.")
    if drawn:
        said.append(
            f"{drawn} conversations do not stand on the arm that the declared seed and weights draw; the declaration "
            "was changed while the campaign ran."
        )
    return tuple(said)


def _wrong_draws(declared: Declared, opened: Sequence[Opened]) -> int:
    teams = {team.id: team for team in declared.campaign.teams}
    return sum(
        event.team not in teams
        or declared.campaign.draw_arm(teams[event.team], event.participant, event.ordinal) != event.arm
        for event in opened
    )
