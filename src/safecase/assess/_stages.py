"""The stages of an assessment, each on a case: plan, run, measure, decide. A stage does only what is missing."""

import dataclasses
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.assess._argument import ARGUMENT, renewed_arguments
from safecase.assess._balance import is_political, paired_estimates, read_with_rubric
from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.assess._labels_kept import labels_digest, with_settled_labels
from safecase.assess._learned import is_learned, must_be_planned, regressions
from safecase.assess._promises import PROMISES_FILE, promises_statement, stacks_of
from safecase.assess._signing import assessor_key, case_roster, openings
from safecase.assess._suites_plan import plan_suites
from safecase.assess._suites_read import (
    IMPORTED,
    REVIEWS,
    UPLIFT,
    elicitations,
    estimate_suites,
    missing_suites,
    planned_suite_gates,
    unread_attempts,
)
from safecase.compose import LEARNED, POLITICAL, planned_attacks
from safecase.decide import Decided, Facts, Raise, decide
from safecase.declare import Budget, Framework, ModelVersion, Prices, Sampling
from safecase.evidence import (
    DECISION,
    DETERMINATION,
    FINDINGS,
    HAZARDOUS_DOMAINS,
    Estimate,
    Identity,
    Judgement,
    KeyMissing,
    Statement,
    Subject,
    Trial,
    canonical_json,
    digest_bytes,
    digest_file,
    digest_value,
    sign,
    write_atomic,
)
from safecase.measure import (
    EMBEDDED_CARD,
    EmbeddedJudge,
    Judge,
    JudgeCard,
    JudgeSummary,
    Measurement,
    RubricJudge,
    Slot,
    Stopper,
    attempt_curves,
    estimate_gates,
    estimate_rates,
    gather,
    judge_trials,
    load_card,
    must_be_independent,
    standing_verdicts,
)
from safecase.models import EndpointOptions, Model, Options, fingerprint, open_model
from safecase.run import (
    AnswerCache,
    BanditSchedule,
    Extras,
    Judging,
    NoWatch,
    Plan,
    PlannedTrial,
    Progress,
    RunSummary,
    Schedule,
    Target,
    make_plan,
    planned_domains,
    run_trials,
)
from safecase.safeguard import Stack

ACTOR = "safecase"


def record(case: Case, name: str, data: bytes, *, action: str, now: Clock, **subject: Any) -> None:
    """Write a file of the case and name it in the ledger; nothing happens when both say it already.

    Args:
        name: path inside the case.
        subject: what else the ledger's entry says (JSON).
    """
    path = case.path / name
    said = {"path": name, "sha256": digest_bytes(data), **subject}
    if path.exists() and path.read_bytes() == data and last_said(case, name) == said:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)
    case.ledger.append(action, actor=ACTOR, subject=said, at=now())


def last_said(case: Case, name: str) -> Mapping[str, Any] | None:
    """What the ledger last said of a file, None when it never named it."""
    if not case.ledger.path.exists():
        return None
    found = [entry.subject for entry in case.ledger.entries() if entry.subject.get("path") == name]
    return found[-1] if found else None


async def plan_case(case: Case, *, model: Model | None = None, model_name: str | None = None) -> Plan:
    """Resolve the case against a model, without writing or asking anything but the model's identity."""
    async with opened_targets(case, model, model_name) as targets:
        return await plan_targets(case, targets)


async def plan_targets(case: Case, targets: Mapping[str, Model]) -> Plan:
    """The same with the arms' models open."""
    known = {id(model): await identify(case, model) for model in targets.values()}
    asked = {arm: Target(model=model.name, identity=known[id(model)]) for arm, model in targets.items()}
    return make_plan(
        case.spec,
        case.framework,
        (*case.intents, *case.learned),
        targets=asked,
        arms=case.arms,
        suites=plan_suites(case, targets=asked),
    )


async def identify(case: Case, model: Model) -> Identity:
    """The best identity that a target can prove: weights, attested by a roster's key, fingerprint, or a name.

    A run that goes on keeps the identity its plan has, unless a stable fingerprint shows another model: an endpoint
    whose batches make it waver would otherwise start the run anew each time.

    Raises:
        PlatformFailed: the case's attestation is not about this endpoint, or nobody on the roster signed it.
    """
    identity = await model.identity()
    if identity.kind in {"weights", "attested"}:
        return identity
    fresh, plan = await fingerprint(model), case.plan
    kept = next((one.identity for one in plan.targets.values() if one.model == model.name), None) if plan else None
    if kept is None:
        return fresh
    return fresh if fresh.kind == kept.kind == "fingerprint" and fresh.digest != kept.digest else kept


async def run_case(
    case: Case,
    *,
    model: Model | None = None,
    model_name: str | None = None,
    budget: Budget | None = None,
    workers: int | None = None,
    cache: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    now: Clock = utc_now,
) -> RunSummary:
    """Run what is missing of the plan. Another model or another case file makes another plan; older ones are kept.

    Args:
        model: an open target; the caller closes it.
        model_name: another target than the case names.
        budget: hard limits; the case's own by default.
        workers: most attempts in flight; the target's advice by default.
        cache: file of answers, from which identical requests are answered; none by default.
    """
    async with opened_targets(case, model, model_name) as targets:
        must_be_independent(case.spec.judge, attacker=case.spec.sampling.attacker)
        plan = await plan_targets(case, targets)
        _keep_plan(case, plan, now)
        hazardous = planned_domains(plan, case.framework, case.intents_of(plan)) & HAZARDOUS_DOMAINS
        case.trials.open(at=now())
        limits = budget or case.spec.budget
        async with _JudgeOf(case) as (judge, card), _attacker_of(case) as attacker, _closing(case.arms):
            with _opened_cache(cache) as answers:
                summary = await run_trials(
                    case.planned(plan),
                    model=targets,
                    arms=case.arms,
                    generation=case.spec.generation,
                    store=case.trials,
                    vault=case.vault(create=True) if hazardous else None,
                    budget=limits,
                    workers=workers,
                    now=now,
                    on_progress=on_progress,
                    extras=Extras(
                        judging=Judging(judge=judge, store=case.judgements),
                        cache=answers,
                        identities={one.model: one.identity for one in plan.targets.values()},
                        attacks={one.name: one for one in planned_attacks(case.spec.sampling)},
                        attacker=attacker,
                        schedule=_schedule(case, plan, judge),
                        watch=_GateWatch(case, plan, card) if limits.stop_when_decided else NoWatch(),
                        prices=case.spec.model.prices,
                        prices_of=_prices_of(case, targets),
                        total=plan.trials,
                    ),
                )
    if summary.trials:
        done: dict[str, object] = {
            "trials": summary.trials,
            "seconds": round(summary.seconds, 1),
            "tokens": summary.tokens,
        }
        if summary.stopped:
            done["stopped"] = summary.stopped
        case.ledger.append("ran", actor=ACTOR, subject={"plan": plan.digest, **done}, at=now())
    return summary


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
    async with _JudgeOf(case) as (judge, card):
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
    """The evidence of a case as one measurement, political answers and learned scenarios aside. Writes nothing."""
    plan = case.plan
    planned = _sampled(case, plan) if plan else ()
    return gather(
        (trial for trial in case.trials.read() if not (is_political(trial) or is_learned(trial))),
        with_settled_labels(case, case.judgements.read()),
        judge_digest=judge_digest,
        planned=(slot(trial) for trial in planned),
        card=card,
        allocation=Sampling.model_validate(plan.sampling).allocation if plan else "plan-order",
    )


def _sampled(case: Case, plan: Plan) -> Iterator[PlannedTrial]:
    """What gates draw: neither political nor learned."""
    return (
        trial
        for trial in case.planned(plan)
        if trial.scenario.category not in POLITICAL and trial.scenario.subcategory != LEARNED
    )


def slot(planned: PlannedTrial) -> Slot:
    """The place of a planned trial, as estimates and early stopping read it."""
    scenario = planned.scenario
    return Slot(
        trial_id=planned.trial_id,
        scenario_id=scenario.scenario_id,
        intent_id=scenario.intent_id,
        harmful=scenario.harmful,
        domain=scenario.domain,
        category=scenario.category,
        subcategory=scenario.subcategory,
        language=scenario.language,
        attack=scenario.attack,
        family=scenario.family,
        arm=planned.arm.name,
        model=planned.arm.model,
        repetition=planned.repetition,
    )


def judge_card(judge: Judge) -> JudgeCard:
    """The card that ships for the embedded judge; an empty one for a judge (or a state of it) never measured."""
    if EMBEDDED_CARD.exists():
        card = load_card(EMBEDDED_CARD)
        if card.judge_digest == judge.digest:
            return card
    return unmeasured_card(judge.id, judge.digest)


def unmeasured_card(judge_id: str, judge_digest: str) -> JudgeCard:
    """The card of a judge that nobody measured: only an arm's own labels calibrate it."""
    return JudgeCard(
        judge=judge_id, judge_digest=judge_digest, margin=1.0, strata=(), sources={}, limits=("never measured",)
    )


def facts_of(case: Case, *, assume_frontier: bool = False) -> Facts:
    """What the case file and the plan say of the model."""
    plan, model = case.plan, case.spec.model
    who: Mapping[str, Any] = plan.deployed.identity if plan else {"kind": "name-only", "model": model.name}
    return Facts(
        training_operations=model.training_operations,
        operations_source=model.operations_source,
        more_capable={
            domain.id: model.more_capable_than_reference.get(domain.id)
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
    )


def evidence_root(case: Case) -> str:
    """Digest over every segment of trials, judgements and attempts, in order, and what stands beside attempts."""
    segments = [*case.trials.segments(), *case.judgements.segments(), *case.attempts.segments()]
    listed = [[segment.path, segment.sha256] for segment in segments]
    beside = [
        [path.relative_to(case.path).as_posix(), digest_file(path)]
        for folder in (IMPORTED, REVIEWS, UPLIFT)
        for path in sorted((case.path / folder).glob("*.json"))
    ]
    return digest_value([*listed, *beside])


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


class _GateWatch:
    """Stops a run once every planned gate is decided on every arm; told first what is on record.

    Never where the case asks for political balance: its scenarios come last, and no gate of these decides on them.
    """

    def __init__(self, case: Case, plan: Plan, card: JudgeCard) -> None:
        gates = [gate for gate in case.framework.gates if gate.id in plan.gates]
        self._stopper = Stopper(
            case.framework,
            gates,
            card,
            (slot(trial) for trial in _sampled(case, plan)),
            allocation=Sampling.model_validate(plan.sampling).allocation,
        )
        self._asks_balance = case.spec.balance is not None
        self._news: list[tuple[Trial, Judgement | None]] = []
        verdicts = standing_verdicts(case.judgements, judge_digest=card.judge_digest)
        for trial in case.trials.read():
            self.saw(trial, verdicts.get(trial.trial_id))

    def saw(self, trial: Trial, judgement: Judgement | None) -> None:
        self._news.append((trial, judgement))

    def enough(self) -> str | None:
        self._stopper.feed(self._news)
        self._news.clear()
        if self._asks_balance:
            return None
        standing = self._stopper.decided()
        return f"every one of {len(standing.gates)} gate readings is decided" if standing.may_stop else None


@asynccontextmanager
async def _closing(arms: Mapping[str, Stack]) -> AsyncIterator[None]:
    """Stacks let go of their models' sockets when a run ends."""
    try:
        yield
    finally:
        for stack in arms.values():
            await stack.aclose()


@asynccontextmanager
async def _attacker_of(case: Case) -> AsyncIterator[Model | None]:
    """The model that adaptive attacks ask, closed afterwards; None where the plan names none."""
    name = case.spec.sampling.attacker
    if name is None:
        yield None
        return
    async with open_model(name) as model:
        yield model


def _schedule(case: Case, plan: Plan, judge: Judge) -> Callable[[Iterator[PlannedTrial]], Schedule] | None:
    """The bandit where the case asks for it, told what earlier runs found; None for the plan's order."""
    if case.spec.sampling.allocation == "plan-order":
        return None

    def make(wanted: Iterator[PlannedTrial]) -> Schedule:
        schedule = BanditSchedule(plan, case.framework, case.intents_of(plan), wanted=wanted)
        verdicts = standing_verdicts(case.judgements, judge_digest=judge.digest)
        for trial in case.trials.read():
            schedule.learn(trial, verdicts.get(trial.trial_id))
        return schedule

    return make


@contextmanager
def _opened_cache(path: Path | None) -> Iterator[AnswerCache | None]:
    cache = AnswerCache(path) if path is not None else None
    try:
        yield cache
    finally:
        if cache is not None:
            cache.close()


def target_names(case: Case, model_name: str | None = None) -> dict[str, str]:
    """The name of every arm's target.

    Args:
        model_name: another one than the case names under `model:`.
    """
    deployed, least = model_name or case.spec.model.name, case.spec.least_mitigated
    return {arm: least.name if least is not None and arm == "bare" else deployed for arm in case.arms}


@asynccontextmanager
async def opened_targets(case: Case, model: Model | None, model_name: str | None) -> AsyncIterator[dict[str, Model]]:
    """The model of every arm: the caller's, left open, and those by name, closed afterwards."""
    least = case.spec.least_mitigated
    async with AsyncExitStack() as opened:
        if model is None:
            model = open_model(model_name or case.spec.model.name, options=_options(case, case.spec.model))
            opened.push_async_callback(model.aclose)
        targets = dict.fromkeys(case.arms, model)
        if least is not None:
            targets["bare"] = open_model(least.name, options=_options(case, least))
            opened.push_async_callback(targets["bare"].aclose)
        yield targets


def _prices_of(case: Case, targets: Mapping[str, Model]) -> dict[str, Prices]:
    """What the least mitigated version costs, where the case says that it costs something else."""
    least = case.spec.least_mitigated
    return {targets["bare"].name: least.prices} if least is not None and least.prices is not None else {}


def _options(case: Case, version: ModelVersion) -> Options:
    """An attestation is believed from whoever stands on the case's roster."""
    attestation = version.attestation
    if attestation is None:
        return Options()
    roster = case_roster(case)
    trusted = tuple(entry.key for entry in roster.entries) if roster else ()
    return Options(endpoint=EndpointOptions(attestation=case.path / attestation, trusted=trusted))


class _JudgeOf:
    """The judge of a case, with its card; an LLM judge's model is closed afterwards."""

    def __init__(self, case: Case) -> None:
        name = case.spec.judge
        self._model = open_model(name.removeprefix("llm/")) if name.startswith("llm/") else None

    async def __aenter__(self) -> tuple[Judge, JudgeCard]:
        judge: Judge = RubricJudge(self._model) if self._model else EmbeddedJudge()
        return judge, judge_card(judge)

    async def __aexit__(self, *_: object) -> None:
        if self._model:
            await self._model.aclose()


def keep_case_file(case: Case, now: Clock) -> None:
    """Name `safecase.yaml` in the ledger as it stands, and what it names of the case: pack, stack, spec, banks."""
    banks = [str(bank.path) for bank in case.spec.banks]
    given = ("safecase.yaml", case.spec.framework, case.spec.safeguards, case.spec.model_spec, *banks)
    for name in given:
        path = case.path / name
        if path.is_file() and path.resolve().is_relative_to(case.path.resolve()):
            inside = path.resolve().relative_to(case.path.resolve()).as_posix()
            record(case, inside, path.read_bytes(), action="case-file", now=now)


def _keep_plan(case: Case, plan: Plan, now: Clock) -> None:
    """Write `plan.json`, and the same under its digest, so that a later plan hides none."""
    keep_case_file(case, now)
    name = f"plans/{plan.digest[:12]}.json"
    record(case, name, plan.to_json(), action="planned", now=now, plan=plan.digest)
    record(case, "plan.json", plan.to_json(), action="planned", now=now, plan=plan.digest)


def _unsealer(case: Case, now: Clock) -> Callable[[Sequence[Trial]], Mapping[str, str]]:
    """Open sealed answers for judging, with a ledger entry per batch; without the key they stay unscored."""

    def unseal(trials: Sequence[Trial]) -> Mapping[str, str]:
        try:
            vault = case.vault()
        except KeyMissing:
            return {}
        return vault.read_sealed(trials, ledger=case.ledger, actor=ACTOR, purpose="judging", at=now())

    return unseal
