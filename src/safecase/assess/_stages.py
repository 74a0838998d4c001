"""Measure a case and decide on it; each stage does only what is missing."""

import dataclasses
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safecase.assess._argument import ARGUMENT, renewed_arguments
from safecase.assess._balance import is_political, paired_estimates, read_with_rubric
from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.assess._judge import CaseJudge
from safecase.assess._kept import ACTOR, keep_case_file, record
from safecase.assess._labels_kept import labels_digest, outgrown_draws, with_settled_labels
from safecase.assess._learned import is_learned, must_be_planned, regressions
from safecase.assess._promises import PROMISES_FILE, promises_statement, stacks_of
from safecase.assess._replanned import samples_run
from safecase.assess._root import evidence_root
from safecase.assess._signing import assessor_key, openings
from safecase.assess._slots import is_counted_import, sampled, slot
from safecase.assess._suites_read import (
    UPLIFT,
    elicitations,
    estimate_suites,
    missing_suites,
    planned_suite_gates,
    suite_lines,
    unread_attempts,
)
from safecase.decide import Decided, Facts, Raise, decide
from safecase.declare import CaseSpec, Framework, Sampling
from safecase.evidence import (
    DECISION,
    DETERMINATION,
    FINDINGS,
    Estimate,
    Identity,
    KeyMissing,
    Statement,
    Subject,
    Trial,
    canonical_json,
    digest_bytes,
    digest_value,
    sign,
)
from safecase.measure import (
    JudgeCard,
    JudgeSummary,
    Measurement,
    attempt_curves,
    estimate_gates,
    estimate_rates,
    gather,
    is_imported,
    judge_trials,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Estimates of a case, and what they were made from."""

    estimates: tuple[Estimate, ...]
    measurement: Measurement
    judging: JudgeSummary
    judge_id: str


async def measure_case(
    case: Case,
    *,
    framework: Framework | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    now: Clock = utc_now,
    write: bool = True,
) -> Measured:
    """Judge what is not judged yet, estimate every gate and rate, and write `estimates.json`.

    Args:
        framework: estimate another framework's gates from the same evidence.
        write: False leaves the file as it is.

    Raises:
        NothingToRead: the case holds no trial.
    """
    if not has_evidence(case):
        raise NothingToRead(f"case {str(case.path)!r} holds no trial; run `safecase run {case.path}` first")
    async with CaseJudge(case) as (judge, card):
        judging = await judge_trials(
            case.trials,
            case.judgements,
            judge,
            unseal=_unsealer(case, now),
            now=now,
            on_progress=on_progress,
        )
        await read_with_rubric(case, now=now)
        measurement = read_measurement(case, judge_digest=judge.digest, card=card)
        used = framework or case.framework
        paired = paired_estimates(case, used, judge_digest=judge.digest, card=card)
        estimates = (*estimate(measurement, used), *paired, *estimate_suites(case, used))
        if write:
            data = canonical_json([dataclasses.asdict(one) for one in estimates]) + b"\n"
            made_with = {"judge": judge.id, "judge_digest": judge.digest, "evidence_root": evidence_root(case)}
            labels = labels_digest(case)
            record(case, "estimates.json", data, action="measured", now=now, labels_digest=labels, **made_with)
    return Measured(estimates=estimates, measurement=measurement, judging=judging, judge_id=judge.id)


def has_evidence(case: Case) -> bool:
    """Whether anything can be measured: a trial, an attempt, or the results of a study of people."""
    studied = any((case.path / UPLIFT).glob("*.results.json"))
    return studied or bool(case.trials.segments() or case.attempts.segments())


def estimate(measurement: Measurement, framework: Framework) -> tuple[Estimate, ...]:
    """Every gate's estimates, then every rate, then attack success over attempts."""
    return (
        *estimate_gates(measurement, framework, framework.gates),
        *estimate_rates(measurement),
        *attempt_curves(measurement),
    )


def read_measurement(case: Case, *, judge_digest: str, card: JudgeCard) -> Measurement:
    """The evidence of a case as one measurement, political answers, learned scenarios and imports into an arm of
    the plan aside. Writes nothing."""
    plan = case.plan
    planned = sampled(case, plan) if plan else ()
    return gather(
        (
            trial
            for trial in case.standing()
            if not (is_political(trial) or is_learned(trial))
            and (not is_imported(trial) or is_counted_import(trial, plan))
        ),
        with_settled_labels(case, case.judgements.read()),
        judge_digest=judge_digest,
        planned=(slot(trial) for trial in planned),
        card=card,
        allocation=Sampling.model_validate(plan.sampling).allocation if plan else "plan-order",
    )


def facts_of(case: Case, *, assume_frontier: bool = False) -> Facts:
    """What the case file and the plan say of the model; of one that the case file does not name, nothing is known."""
    plan, model = case.plan, case.spec.model
    who: Mapping[str, Any] = plan.deployed.identity if plan else {"kind": "name-only", "model": model.name}
    is_other = plan is not None and plan.deployed.model != model.name
    elsewhere = f"{who['model']} was run, and safecase.yaml speaks of {model.name}"
    return Facts(
        training_operations=None if is_other else model.training_operations,
        operations_source=elsewhere if is_other else model.operations_source,
        more_capable={
            domain.id: None if is_other else model.more_capable_than_reference.get(domain.id)
            for domain in case.framework.domains
            if domain.kind == "catastrophic"
        },
        identity=Identity(kind=who["kind"], model=who["model"], digest=who.get("digest")),
        assume_frontier=assume_frontier,
        weights_arm=case.spec.weights_arm,
    )


def decide_estimates(
    case: Case, estimates: Sequence[Estimate], *, assume_frontier: bool = False, at: dt.datetime
) -> Decided:
    """Hold estimates against the case's framework. Writes nothing."""
    plan = case.plan
    return decide(
        case.framework,
        estimates,
        facts_of(case, assume_frontier=assume_frontier),
        contexts=case.contexts,
        planned=frozenset(plan.gates if plan else ()) | planned_suite_gates(case),
        openings=openings(case, at=at),
        regressions=regressions(case, plan),
        raises=[Raise(domain=r.domain, tier=r.tier, reason=r.reason) for r in case.spec.expert_tiers],
        missing=missing_suites(case),
        elicited=elicitations(case),
        unread=unread_attempts(case),
        samples=samples_run(case, plan),
        imported=_imported(case),
        outgrown=outgrown_draws(case),
        names_author=case.spec.author != CaseSpec.model_fields["author"].default,
        ran=frozenset(arm.name for arm in plan.arms) if plan else frozenset(),
        logs={(one.suite, arm.name): arm.model for one in suite_lines(case) if one.source != "run" for arm in one.arms},
    )


def _imported(case: Case) -> dict[str, int]:
    """Arm -> answers that were imported into it, by the ledger."""
    found: Counter[str] = Counter()
    for entry in case.ledger.entries():
        if entry.action == "imported" and "rows" in entry.subject:
            found[str(entry.subject["arm"])] += int(entry.subject["rows"])
    return dict(found)


def statements(case: Case, decided: Decided, *, assume_frontier: bool) -> dict[str, Statement]:
    """Findings, determination and decision as statements about the plan and the estimates they rest on."""
    subject = tuple(
        Subject(name=name, sha256=digest_bytes((case.path / name).read_bytes()))
        for name in ("plan.json", "estimates.json", ARGUMENT)
        if (case.path / name).exists()
    )
    made = dataclasses.asdict(decided)
    base = {
        "case": case.spec.id,
        "framework": decided.framework,
        "framework_digest": digest_value(case.framework.model_dump(mode="json")),
        "evidence_root": evidence_root(case),
        "assume_frontier": assume_frontier,
        "author": case.spec.author,
    }
    benefits = [benefit.model_dump(mode="json") for benefit in case.spec.benefits]
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "findings.json": (FINDINGS, {"findings": made["findings"], "limits": made["limits"]}),
        "determination.json": (
            DETERMINATION,
            {"determinations": made["determinations"], "frontier": made["frontier"], "hold": made["hold"]},
        ),
        "decision.json": (
            DECISION,
            {
                "proposals": made["proposals"],
                "shares": dict(case.spec.shares),
                "benefits": benefits,
                "hold": made["hold"],
                "frontier": made["frontier"],
            },
        ),
    }
    return {
        name: Statement(
            subject=subject, predicate_type=kind, predicate=json.loads(canonical_json({**base, **predicate}))
        )
        for name, (kind, predicate) in parts.items()
    }


async def decide_case(
    case: Case, *, assume_frontier: bool = False, demo: bool = False, argue: bool = False, now: Clock = utc_now
) -> tuple[Measured, Decided]:
    """Measure, decide, and write the signed findings, determination, decision, live promises (and a hold where due).

    Args:
        argue: keep the safety-case argument from now on, also where the framework does not ask for it.

    Raises:
        NothingToRead: no trial, or a scenario was learned that the plan does not run.
    """
    keep_case_file(case, now)
    must_be_planned(case)
    measured = await measure_case(case, now=now)
    decided = decide_estimates(case, measured.estimates, assume_frontier=assume_frontier, at=now())
    facts = facts_of(case, assume_frontier=assume_frontier)
    argument = renewed_arguments(case, decided, measured.estimates, facts, is_asked=argue, at=now())
    if argument is not None:
        record(case, ARGUMENT, argument, action="argued", now=now)
    key = assessor_key(case, demo=demo, now=now)
    made = statements(case, decided, assume_frontier=assume_frontier)
    if decided.hold:
        made["development-hold.json"] = dataclasses.replace(
            made["determination.json"],
            predicate_type=HOLD,
            predicate={"case": case.spec.id, "hold": list(decided.hold)},
        )
    for name, statement in made.items():
        record(case, name, sign(statement, key).to_bytes(), action="decided", now=now)
    if (promised := promises_statement(case)) is not None:
        data = sign(promised, key).to_bytes()
        record(case, PROMISES_FILE, data, action="promised", now=now, stacks=stacks_of(promised))
    return measured, decided


HOLD = "https://safecase.dev/development-hold/v1"


def _unsealer(case: Case, now: Clock) -> Callable[[Sequence[Trial]], Mapping[str, str]]:
    """Open sealed answers for judging, with a ledger entry per batch; without their key they stay unscored."""

    def unseal(trials: Sequence[Trial]) -> Mapping[str, str]:
        try:
            vault = case.vault()
        except KeyMissing:
            return {}
        return vault.read_sealed(
            vault.sealed_here(trials), ledger=case.ledger, actor=ACTOR, purpose="judging", at=now()
        )

    return unseal
