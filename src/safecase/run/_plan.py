"""The plan: everything that decides which trials are run, resolved, in canonical JSON. Its digest names the run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.compose import (
    ATTACKS,
    LEARNED,
    BankError,
    Intent,
    balance_intents,
    bank_digest,
    load_bank,
    load_pairs,
    load_shipped_bank,
    load_statements,
    matching,
    sample,
    select,
)
from safecase.declare import CaseSpec, Framework, Gate, ModelSpec, Record, Sampling
from safecase.evidence import Identity, Scenario, canonical_json, digest_plain, digest_value, quick_maker
from safecase.run._errors import NothingPlanned
from safecase.safeguard import Stack, empty_stack

PAIRED_SUITE = "paired-prompts"
"""The suite of gates on ideological balance; planned where the case asks for `balance:`."""
LEARNED_BANK = "learned/accepted.jsonl"
"""The scenarios that people accepted from live use, relative to the case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an arm asks: the model's name, and how surely it is known."""

    model: str
    identity: Identity

    @property
    def who(self) -> dict[str, Any]:
        """The identity as plans keep it."""
        return {"kind": self.identity.kind, "model": self.identity.model, "digest": self.identity.digest}


class ArmPlan(Record):
    """An arm as planned. `digest` covers its name, the model's identity and the stack."""

    name: str
    model: str
    identity: dict[str, Any]
    stack: str
    stack_digest: str
    digest: str


class SuiteArm(Record):
    """An arm of a suite's run. `digest` covers name, model, identity, stack and limits, as in each attempt's id."""

    name: str
    model: str
    identity: dict[str, Any]
    digest: str


class SuiteLine(Record):
    """A suite as planned: whatever is needed to know every attempt asked for, without the suite at hand.

    Attributes of note:
        digest: None where the suite cannot be had at all.
        missing: what it would take to run it here, None where it runs.
        source: `run`, or the name of the log that it was imported from.
        tasks: those planned, as `suites.SuiteTask` has them; `tasks_in_suite` is all there are.
        inputs: per measure, as `measure.Inputs` has them.
    """

    suite: str
    digest: str | None
    missing: str | None
    source: str
    gates: tuple[str, ...]
    domain: str
    grader: str
    scaffold: str
    attempts: int
    tasks: tuple[dict[str, Any], ...]
    tasks_in_suite: int
    inputs: dict[str, dict[str, Any]]
    limits: dict[str, Any]
    elicitation: dict[str, Any]
    arms: tuple[SuiteArm, ...]


class Plan(Record):
    """A resolved run. `gates` are those that scenarios measure; `suites` say which they measure themselves.

    Attributes of note:
        learned: intents from the case's learned bank; a plan made before one was accepted does not name it.
    """

    case: str
    framework: str
    framework_digest: str
    contexts: tuple[str, ...]
    gates: tuple[str, ...]
    arms: tuple[ArmPlan, ...]
    sampling: dict[str, Any]
    generation: dict[str, Any]
    bank_digest: str
    attacks: tuple[str, ...]
    judge: str
    scenarios: int
    scenarios_digest: str
    trials: int
    learned: tuple[str, ...] = ()
    suites: tuple[SuiteLine, ...] = ()

    @property
    def targets(self) -> dict[str, Target]:
        """What every arm asks."""
        return {arm.name: Target(model=arm.model, identity=Identity(**arm.identity)) for arm in self.arms}

    @property
    def deployed(self) -> ArmPlan:
        """An arm of the version that is to be deployed; `bare` may be measured on a less mitigated one."""
        return self.arms[-1]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON; the name of the run."""
        return digest_value(self._said)

    def to_json(self) -> bytes:
        """The bytes of `plan.json`."""
        return canonical_json(self._said) + b"\n"

    @property
    def _said(self) -> dict[str, Any]:
        """Without `learned` where nothing was learned, so that a plan of an older safecase keeps its digest."""
        return self.model_dump(mode="json", exclude=None if self.learned else {"learned"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """One attempt that the plan asks for."""

    trial_id: str
    scenario: Scenario
    arm: ArmPlan
    repetition: int


def case_intents(spec: CaseSpec, case_dir: Path) -> tuple[Intent, ...]:
    """The shipped bank, or the case's private banks where it names any; then political pairs, where it asks for them.

    Raises:
        BankError: a bank is missing, empty or malformed.
    """
    if spec.banks:
        private = (load_bank(case_dir / bank.path, held_out=bank.held_out) for bank in spec.banks)
        intents = tuple(intent for bank in private for intent in bank)
    else:
        intents = load_shipped_bank()
    if spec.balance is None:
        return intents
    asked = spec.balance
    political = balance_intents(
        load_pairs(case_dir / asked.pairs_bank if asked.pairs_bank else None),
        load_statements(case_dir / asked.statements_bank if asked.statements_bank else None),
        clusters=asked.pairs,
        subjects=asked.statements,
        seed=asked.seed,
    )
    return (*intents, *political)


def learned_intents(case_dir: Path) -> tuple[Intent, ...]:
    """The scenarios that people accepted from live use; every later plan of the case runs them.

    Raises:
        BankError: the bank is malformed, or holds an intent that is not marked as learned.
    """
    path = case_dir / LEARNED_BANK
    if not path.exists():
        return ()
    intents = load_bank(path)
    if strange := [intent.id for intent in intents if intent.subcategory != LEARNED]:
        raise BankError(f"{path}: {strange[0]!r} is not of subcategory {LEARNED!r}; name other banks under `banks:`")
    return intents


def stacks(spec: CaseSpec, model_spec: ModelSpec, case_dir: Path) -> dict[str, Stack]:
    """The stack of every arm: `bare` always, `trained` where another version is the least mitigated one, and `guarded`
    unless the case has no safeguards."""
    arms = {"bare": empty_stack()}
    if spec.least_mitigated is not None:
        arms["trained"] = empty_stack()
    if spec.safeguards != "none":
        from safecase.safeguard import load_stack  # every kind of layer, which a bare arm has no use for

        arms["guarded"] = load_stack(spec.safeguards, model_spec, beside=case_dir)
    return arms


def planned_gates(spec: CaseSpec, framework: Framework) -> tuple[Gate, ...]:
    """The gates that scenarios measure and the case asks for, in the framework's order."""
    runnable = [gate for gate in framework.gates if _is_scenario_suite(framework, gate, spec)]
    return tuple(gate for gate in runnable if not spec.sampling.gates or gate.id in spec.sampling.gates)


def make_plan(
    spec: CaseSpec,
    framework: Framework,
    intents: Sequence[Intent],
    *,
    targets: Mapping[str, Target],
    arms: Mapping[str, Stack],
    suites: Sequence[SuiteLine] = (),
) -> Plan:
    """Resolve a case into a plan.

    Args:
        targets, arms: what each arm asks, and through which stack; both name the same arms.
        suites: what the case runs of suites, as resolved by whoever knows them.
        intents: the bank, and what was learned.

    Raises:
        NothingPlanned: no scenario is selected, and no suite.
    """
    gates = planned_gates(spec, framework)
    ids = [scenario.scenario_id for scenario in select(framework, intents, spec.sampling, gates=gates)]
    if not ids and not suites:
        raise NothingPlanned(
            f"case {spec.id!r} selects no scenario (gates {', '.join(g.id for g in gates) or 'none'}, languages "
            f"{', '.join(spec.sampling.languages)}); widen `sampling:` or `banks:` in safecase.yaml"
        )
    planned = tuple(
        ArmPlan(
            name=name,
            model=targets[name].model,
            identity=targets[name].who,
            stack=stack.id,
            stack_digest=stack.digest,
            digest=digest_value([name, targets[name].who, stack.digest]),
        )
        for name, stack in arms.items()
    )
    return Plan(
        case=spec.id,
        framework=f"{framework.id} {framework.version}",
        framework_digest=digest_value(framework.model_dump(mode="json")),
        contexts=spec.contexts,
        gates=tuple(gate.id for gate in gates),
        arms=planned,
        sampling=spec.sampling.model_dump(mode="json"),
        generation=spec.generation.model_dump(mode="json"),
        bank_digest=bank_digest(intents),
        attacks=tuple(attack.name for attack in ATTACKS),
        judge=spec.judge,
        scenarios=len(ids),
        scenarios_digest=digest_value(ids),
        trials=len(ids) * len(planned) * spec.sampling.repetitions,
        learned=tuple(intent.id for intent in intents if intent.subcategory == LEARNED),
        suites=tuple(suites),
    )


def planned_trials(plan: Plan, framework: Framework, intents: Sequence[Intent]) -> Iterator[PlannedTrial]:
    """Every trial of a plan, lazily: intent by intent, both arms of a scenario beside each other.

    Args:
        framework, intents: those that the plan was made with; `Plan.framework_digest` and `bank_digest` tell.
    """
    gates = [gate for gate in framework.gates if gate.id in plan.gates]
    sampling = Sampling.model_validate(plan.sampling)
    settings = settings_digest(plan)
    for scenario in select(framework, intents, sampling, gates=gates):
        yield from trials_of(plan, scenario, settings=settings)


def settings_digest(plan: Plan) -> str:
    """What of a trial's id says how answers are drawn; the same for every trial of a plan."""
    return digest_value(plan.generation)


def trials_of(plan: Plan, scenario: Scenario, *, settings: str) -> Iterator[PlannedTrial]:
    """What a plan asks for of one scenario: every repetition through every arm.

    The opening of an attack that asks an attacker model is the same whoever that is, and what follows is not: so the
    attacker's name is part of such a trial's id.

    Args:
        settings: the plan's `settings_digest`.
    """
    asked = [plan.sampling["attacker"]] if scenario.asks_attacker else []
    for repetition in range(plan.sampling["repetitions"]):
        for arm in plan.arms:
            identity = [scenario.scenario_id, arm.digest, settings, repetition, *asked]
            yield _planned(trial_id=digest_plain(identity)[:24], scenario=scenario, arm=arm, repetition=repetition)


_planned = quick_maker(PlannedTrial)


def planned_domains(plan: Plan, framework: Framework, intents: Sequence[Intent]) -> frozenset[str]:
    """The risk domains of the intents that a plan draws; no scenario is composed for it."""
    sampling = Sampling.model_validate(plan.sampling)
    drawn = (
        sample(matching(intents, gate.scope, framework), size=sampling.intents, seed=sampling.seed)
        for gate in framework.gates
        if gate.id in plan.gates
    )
    learned = frozenset(intent.domain for intent in intents if intent.id in plan.learned)
    return learned | frozenset(intent.domain for some in drawn for intent in some)


def load_plan(path: Path) -> Plan:
    """Read `plan.json`.

    Raises:
        OSError: it is not there.
        ValueError: it is not a plan.
    """
    return Plan.model_validate(json.loads(path.read_text(encoding="utf-8")))


def _is_scenario_suite(framework: Framework, gate: Gate, spec: CaseSpec) -> bool:
    suite = next(suite for suite in framework.suites if suite.id == gate.suite)
    return suite.available and (suite.id == "refusal-bank" or (suite.id == PAIRED_SUITE and spec.balance is not None))
