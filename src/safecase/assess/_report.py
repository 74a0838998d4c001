"""Fill the report from a case, and keep the editions."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from safecase.assess._argument import arguments_of, keeps_argument
from safecase.assess._campaigns import campaigns_at
from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.assess._judge import judge_card
from safecase.assess._kept import record
from safecase.assess._layers import layer_figures
from safecase.assess._permit import conditions
from safecase.assess._root import evidence_root
from safecase.assess._signing import case_roster, openings, sign_off_files, signatures
from safecase.assess._since import readings_of, since_edition
from safecase.assess._slots import of_the_plan
from safecase.assess._stages import (
    Measured,
    decide_case,
    decide_estimates,
    facts_of,
    measure_case,
    statements,
)
from safecase.assess._suites_read import elicitations, uplift_studies
from safecase.assess._validation import OUTCOME_FILE, VALIDATION, validations
from safecase.decide import Decided
from safecase.declare import Framework, Gate, ReferenceMember
from safecase.detect import load_heads
from safecase.evidence import (
    Estimate,
    Trial,
    canonical_json,
    digest_file,
    format_utc,
    parse_utc,
    read_envelope,
    verify_envelope,
)
from safecase.measure import (
    HUMAN_PREFIX,
    RUBRIC_PREFIX,
    EmbeddedJudge,
    VerdictIndex,
    WithoutLayer,
    blinding_of,
    clopper_pearson,
    detections,
    in_gate,
)
from safecase.report import (
    EditionChange,
    GateReading,
    GuardHead,
    JudgeLine,
    LayerLine,
    Redaction,
    ReferenceLine,
    Rendered,
    ReportInput,
    Share,
    Signature,
    Since,
    StudyLine,
    Totals,
    ValidationLine,
    draw_samples,
    numbers,
    render,
)
from safecase.safeguard import GUARD_WEIGHTS

_SEED = 20260407
_ASIDE = (HUMAN_PREFIX, RUBRIC_PREFIX)
"""Judgements that are no judge's verdict: people's later labels, and readings of political answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One edition: what a report depends on besides the evidence, so that its numbers can be made again.

    Attributes:
        readings: how each gate read, for the edition after it; an older safecase kept none.
    """

    edition: int
    at: dt.datetime
    change: str
    ledger_head: str
    merkle_root: str
    evidence_root: str
    assume_frontier: bool
    demo: bool
    readings: tuple[GateReading, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As kept in `report/editions.json`."""
        return {
            "edition": self.edition,
            "at": format_utc(self.at),
            "change": self.change,
            "ledger_head": self.ledger_head,
            "merkle_root": self.merkle_root,
            "evidence_root": self.evidence_root,
            "assume_frontier": self.assume_frontier,
            "demo": self.demo,
            "readings": [asdict(one) for one in self.readings],
        }


async def report_case(
    case: Case, *, change: str = "", assume_frontier: bool = False, demo: bool = False, now: Clock = utc_now
) -> Rendered:
    """Measure and decide what is missing, and write the next edition.

    A decision that people signed, and that the evidence still gives, is told as it stands: a concern that came since
    shows in the edition, and takes no signature away.

    Raises:
        NothingToRead: the case holds no trial.
        ReportError: a number is not traced, or a package of `safecase[report]` is missing.
    """
    standing = await _standing(case, assume_frontier=assume_frontier, now=now)
    measured, decided = standing or await decide_case(case, assume_frontier=assume_frontier, demo=demo, now=now)
    editions = load_editions(case)
    edition = Edition(
        edition=len(editions) + 1,
        at=now(),
        change=change or ("first edition" if not editions else "evidence or decision changed"),
        ledger_head=case.ledger.head(),
        merkle_root=case.ledger.root(),
        evidence_root=evidence_root(case),
        assume_frontier=assume_frontier,
        demo=demo,
        readings=readings_of(decided, measured.estimates),
    )
    rendered = render(report_input(case, measured.estimates, [*editions, edition]), case.path / "report")
    for name, path in sorted(rendered.paths.items()):
        inside = path.relative_to(case.path).as_posix()
        subject = {"path": inside, "sha256": rendered.digests[name], "edition": edition.edition}
        case.ledger.append("reported", actor="safecase", subject=subject, at=now())
    data = canonical_json([one.to_json() for one in [*editions, edition]]) + b"\n"
    record(case, "report/editions.json", data, action="reported", now=now)
    return rendered


async def _standing(case: Case, *, assume_frontier: bool, now: Clock) -> tuple[Measured, Decided] | None:
    """What the decision that enough people signed says, where it is the one that the evidence gives; else None."""
    signed = signatures(case, case_roster(case), at=now())
    if signed is None or not signed.quorum.is_met:
        return None
    measured = await measure_case(case, now=now, write=False)
    decided = decide_estimates(case, measured.estimates, assume_frontier=assume_frontier, at=now())
    made = statements(case, decided, assume_frontier=assume_frontier)
    same = all(read_envelope(case.path / name).payload == one.payload() for name, one in made.items())
    return (measured, decided) if same else None


def load_editions(case: Case) -> list[Edition]:
    """The editions so far, oldest first."""
    path = case.path / "report" / "editions.json"
    if not path.exists():
        return []
    return [_edition(row) for row in json.loads(path.read_bytes())]


def _edition(row: dict[str, Any]) -> Edition:
    readings = tuple(GateReading(**one) for one in row.get("readings", ()))
    return Edition(**{**row, "at": parse_utc(row["at"]), "readings": readings})


def report_numbers(case: Case, estimates: Sequence[Estimate]) -> dict[str, Any]:
    """The numbers of the last edition, made again. Writes nothing.

    Raises:
        NothingToRead: there is no edition.
    """
    editions = load_editions(case)
    if not editions:
        raise NothingToRead(f"case {str(case.path)!r} has no report; run `safecase report {case.path}`")
    found = numbers(report_input(case, estimates, editions))
    made: dict[str, Any] = json.loads(canonical_json({key: number.to_json() for key, number in found.items()}))
    return made


def report_input(case: Case, estimates: Sequence[Estimate], editions: Sequence[Edition]) -> ReportInput:
    """Everything the last of these editions prints."""
    last = editions[-1]
    plan = case.plan
    trials = _CountedTrials(case)
    judgements = VerdictIndex(row for row in case.judgements.read() if not row.judge.startswith(_ASIDE))
    gates = [gate for gate in case.framework.gates if plan is None or gate.id in plan.gates]
    samples = draw_samples(
        trials,
        gates_of=_GatesOf(gates, case.framework),
        judgement_of=lambda trial: judgements.get(trial.trial_id),
        seed=_SEED,
    )
    decided = decide_estimates(case, estimates, assume_frontier=last.assume_frontier, at=last.at)
    facts = facts_of(case, assume_frontier=last.assume_frontier)
    return ReportInput(
        framework=case.framework,
        spec=case.spec,
        decided=decided,
        estimates=tuple(estimates),
        facts=facts,
        plan=plan.model_dump(mode="json") if plan else {},
        totals=trials.totals(case, judgements),
        date=last.at.date(),
        ledger_head=last.ledger_head,
        merkle_root=last.merkle_root,
        evidence_root=last.evidence_root,
        edition=last.edition,
        model_spec=case.model_spec,
        samples=samples,
        sample_seed=_SEED,
        judge_card=_judge_lines(case),
        guard_heads=_guard_heads(),
        layers=_layer_lines(case),
        reference_class=tuple(_reference(case, member) for member in case.spec.reference_class),
        openings=openings(case, at=last.at),
        signatures=_signatures(case, at=last.at),
        changes=tuple(
            EditionChange(edition=one.edition, date=one.at.date(), change=one.change, reason=_reason(one))
            for one in editions
        ),
        readings=readings_of(decided, estimates),
        since=_since(case, editions),
        redactions=_redactions(),
        conditions=conditions(case),
        suites=tuple(done for _, done in sorted(elicitations(case).items())),
        arguments=arguments_of(case, decided, estimates, facts, at=last.at) if keeps_argument(case) else (),
        studies=_studies(case),
        validations=_validations(case),
        campaigns=campaigns_at(case, last.ledger_head),
        case_path=case.path.name,
        is_demo=last.demo,
    )


def _since(case: Case, editions: Sequence[Edition]) -> Since | None:
    if len(editions) < 2:
        return None
    before, last = editions[-2:]
    return since_edition(
        case,
        edition=before.edition,
        head=before.ledger_head,
        evidence_root=before.evidence_root,
        before=before.readings,
        until=last.ledger_head,
    )


class _GatesOf:
    """The ids of the gates that a trial bears on, worked out once for all trials alike."""

    def __init__(self, gates: Sequence[Gate], framework: Framework) -> None:
        self._gates = gates
        self._framework = framework
        self._known: dict[tuple[object, ...], list[str]] = {}

    def __call__(self, trial: Trial) -> list[str]:
        kind = (trial.harmful, trial.domain, trial.category, trial.subcategory, trial.language, trial.attack)
        if kind not in self._known:
            self._known[kind] = [gate.id for gate in self._gates if in_gate(trial, gate, self._framework)]
        return self._known[kind]


class _CountedTrials:
    """Trials of the plan in force, read once: drawn from and counted on the way."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._is_counted = of_the_plan(case)
        self._ids: list[str] = []
        self._status: Counter[str] = Counter()
        self._arm: Counter[str] = Counter()
        self._intents: set[str] = set()
        self._scenarios: set[str] = set()
        self._tokens: dict[str, int | None] = {"in": None, "out": None}
        self._labels = 0

    def __iter__(self) -> Any:  # an iterator of trials
        for trial in self._case.standing():
            if self._is_counted(trial):
                self._count(trial)
                yield trial

    def _count(self, trial: Trial) -> None:
        self._ids.append(trial.trial_id)
        self._status[trial.status] += 1
        self._arm[trial.arm] += 1
        self._intents.add(trial.intent_id)
        self._scenarios.add(trial.scenario_id)
        self._labels += trial.label is not None
        for side, tokens in (("in", trial.tokens_in), ("out", trial.tokens_out)):
            if tokens is not None:
                self._tokens[side] = (self._tokens[side] or 0) + tokens

    def totals(self, case: Case, judgements: VerdictIndex) -> Totals:
        """The counts, after the iteration."""
        judged, scored = judgements.holds(self._ids), judgements.scores(self._ids)
        ran = [entry.subject["seconds"] for entry in case.ledger.entries() if entry.action == "ran"]
        return Totals(
            trials=sum(self._status.values()),
            by_status=dict(sorted(self._status.items())),
            by_arm=dict(sorted(self._arm.items())),
            intents=len(self._intents),
            scenarios=len(self._scenarios),
            tokens_in=self._tokens["in"],
            tokens_out=self._tokens["out"],
            seconds=sum(ran) if ran else None,
            labels=self._labels,
            unscored=sum(judged) - sum(scored),
        )


def _judge_lines(case: Case) -> tuple[JudgeLine, ...]:
    """The card that ships; it speaks of the embedded judge alone."""
    judge = EmbeddedJudge()
    if case.spec.judge != judge.id:
        return ()
    card = judge_card(judge)
    return tuple(
        JudgeLine(
            judge=judge.id,
            event=line.event,
            domain=line.domain,
            language=line.language,
            source=line.source,
            level="transferred",
            sensitivity=_share(line.counts.hits, line.counts.misses),
            specificity=_share(line.counts.rejections, line.counts.false_alarms),
            kappa=line.counts.kappa,
        )
        for line in card.strata
    )


def _share(yes: int, no: int) -> Share:
    if yes + no == 0:
        return Share(value=None)
    bounds = clopper_pearson(yes, yes + no, alpha=0.05)
    return Share(value=yes / (yes + no), low=bounds.low, high=bounds.high, n=yes + no)


def _guard_heads() -> tuple[GuardHead, ...]:
    card = load_heads(GUARD_WEIGHTS).card
    return tuple(
        GuardHead(
            name=name,
            enabled=head.enabled,
            auroc=head.held_out.auroc.value if head.held_out.auroc else None,
            precision=head.held_out.precision.value if head.held_out.precision else None,
            recall=head.held_out.recall.value if head.held_out.recall else None,
            rows=head.held_out.rows,
            threshold=head.threshold,
            source=", ".join(source.name for source in head.sources),
        )
        for name, head in card.heads.items()
    )


def _layer_lines(case: Case) -> tuple[LayerLine, ...]:
    return tuple(
        LayerLine(
            arm="guarded",
            layer=one.worth.layer,
            stage=one.worth.stage,
            is_enforced=one.worth.enforced,
            asked=one.worth.asked,
            stopped=one.worth.stopped,
            stopped_alone=one.worth.stopped_alone,
            alone_unknown=one.worth.alone_unknown,
            failed=one.worth.failed,
            missed=_share_of(one.missed),
            over_refused=_share_of(one.over_refused),
            at_most=one.missed is not None and one.missed.may_be_stopped > 0,
            median_ms=one.worth.median_ms,
            p95_ms=one.worth.p95_ms,
        )
        for one in layer_figures(case)
    )


def _share_of(found: WithoutLayer | None) -> Share:
    if found is None:
        return Share(value=None)
    return Share(value=found.value, low=found.low, high=found.high, n=found.trials)


def _studies(case: Case) -> tuple[StudyLine, ...]:
    """Every declared study of people, with what came of it."""
    found: list[StudyLine] = []
    for study, results in uplift_studies(case):
        counted = None if results is None else sum(one.outcome is not None for one in results)
        found.append(
            StudyLine(
                study=study,
                counted=counted,
                excluded=sum(bool(one.excluded) for one in results or ()),
                absent=2 * study.per_arm - (counted or 0),
                blinding=None if results is None else blinding_of(results),
            )
        )
    return tuple(found)


def _validations(case: Case) -> tuple[ValidationLine, ...]:
    """Every sowing that was scored, its figures reckoned from what became of each seed."""
    return tuple(
        ValidationLine(
            id=one.plan.id,
            context=one.plan.context,
            begins=one.plan.begins.date(),
            days=one.plan.days,
            accounts=one.plan.accounts,
            patience_s=one.plan.patience_s,
            file=f"{VALIDATION}/{one.plan.id}/{OUTCOME_FILE}",
            digest=digest_file(case.path / VALIDATION / one.plan.id / OUTCOME_FILE),
            groups=detections(one.outcomes),
        )
        for one in validations(case)
    )


def _reference(case: Case, member: ReferenceMember) -> ReferenceLine:
    """A member is measured when its evidence is a case with estimates, imported when it is another file."""
    if member.evidence is None:
        return ReferenceLine(name=member.name, status="not evaluated", detail=member.why)
    path = case.path / member.evidence
    if (path / "estimates.json").is_file():
        return ReferenceLine(name=member.name, status="measured", detail=f"{member.why}; see {member.evidence}")
    if path.is_file():
        return ReferenceLine(name=member.name, status="imported", detail=f"{member.why}; see {member.evidence}")
    raise NothingToRead(
        f"reference class member {member.name!r} names evidence {str(member.evidence)!r}, which is not there; run that "
        "case or leave `evidence:` out, which reports it as not evaluated"
    )


def _signatures(case: Case, *, at: dt.datetime) -> tuple[Signature, ...]:
    """Sign-offs on the decision as it stands, and whether each counts."""
    roster = case_roster(case)
    signed = signatures(case, roster, at=at)
    if roster is None or signed is None:
        return ()
    counted = {one.keyid for one in signed.quorum.counted}
    found: list[Signature] = []
    for path in sign_off_files(case):
        envelope = read_envelope(path)
        said = envelope.statement()
        if said.subject[0].sha256 != signed.decision_sha256 or parse_utc(said.predicate["at"]) > at:
            continue
        found += [
            Signature(
                person=entry.person,
                role=entry.role,
                position=said.predicate["position"],
                context="every context decided on",
                is_demo=entry.is_demo,
                reason=said.predicate["reason"],
                date=parse_utc(said.predicate["at"]).date(),
                counts=entry.key.keyid in counted,
            )
            for entry in roster.entries
            if verify_envelope(envelope, [entry.key])
        ]
    return tuple(found)


def _redactions() -> tuple[Redaction, ...]:
    return (
        Redaction(
            what="answers judged compliant with a harmful request",
            reason="they could help someone do harm; their digests and counts stand in their place",
        ),
        Redaction(
            what="answers to chemical, biological and cyber requests",
            reason="they are kept encrypted under a key of their own, and every read is logged",
        ),
    )


def _reason(edition: Edition) -> str:
    return "the decision it reports" if edition.edition == 1 else "the evidence or the decision it reports changed"
