"""Which suites a case runs, resolved into lines of its plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from safecase.assess._case import Case
from safecase.declare import Gate, SuiteRun
from safecase.declare import Suite as DeclaredSuite
from safecase.evidence import HAZARDOUS_DOMAINS, PlannedAttempt, digest_value
from safecase.run import SuiteArm, SuiteLine, Target
from safecase.safeguard import Stack
from safecase.suites import ChoiceSuite, Suite, SuiteMissing, SuiteTask, attempts_at, load_suite, takes_native_tools

_NATIVE = " Here its tools were declared to the endpoint and called in the endpoint's own form, not in words."


class UnknownSuite(Exception):
    """A case asks for a suite, a task, a variant or an arm that is not there."""


def plan_suites(case: Case, *, targets: Mapping[str, Target]) -> tuple[SuiteLine, ...]:
    """A line per suite that the case asks for; what cannot run here says why.

    Args:
        targets: what each arm asks.

    Raises:
        UnknownSuite: the framework has no such suite, the suite no such task, or the case no such variant or arm.
    """
    return tuple(_line(case, asked, targets) for asked in case.spec.suites if asked.source == "run")


def suite_of(case: Case, asked: SuiteRun) -> Suite:
    """The suite that a line of the case names.

    Raises:
        UnknownSuite: the framework has no such suite.
        SuiteMissing: it cannot be had here.
    """
    declared = declared_suite(case, asked.suite)
    if asked.questions:
        _must_lie_outside(case, asked)
        return ChoiceSuite(asked.suite, asked.questions, domain=_domain(case, asked.suite), root=case.path)
    return load_suite(asked.suite, plugin=asked.plugin, declared=declared)


def declared_suite(case: Case, suite_id: str) -> DeclaredSuite:
    """The framework's entry.

    Raises:
        UnknownSuite: there is none.
    """
    found = {suite.id: suite for suite in case.framework.suites}
    if suite_id not in found:
        known = ", ".join(sorted(found))
        raise UnknownSuite(
            f"{case.path / 'safecase.yaml'}: framework {case.framework.id!r} has no suite {suite_id!r}; it has {known}"
        )
    return found[suite_id]


def _must_lie_outside(case: Case, asked: SuiteRun) -> None:
    """A case is handed on whole; question files in it would go with it."""
    for file in asked.questions:
        if (case.path / file.path).resolve().is_relative_to(case.path.resolve()):
            raise SuiteMissing(
                f"question file {str(file.path)!r} lies in the case, which is handed on; keep it outside"
            )


def _domain(case: Case, suite_id: str) -> str:
    """The domain that a suite of questions bears on: a hazardous one where any of its gates does, or none says.

    A file of questions does not say what it is about, and what is sealed for nothing can be opened.
    """
    gates = [gate for gate in case.framework.gates if gate.suite == suite_id]
    domains = sorted({case.framework.domain_of(entry).id for gate in gates for entry in gate.bears_on})
    hazardous = [domain for domain in domains if domain in HAZARDOUS_DOMAINS]
    return (hazardous or domains or ["chem-bio"])[0]


def suite_gates(case: Case, suite_id: str) -> tuple[Gate, ...]:
    """The gates that read a suite and that the case asks for, in the framework's order."""
    wanted = case.spec.sampling.gates
    return tuple(gate for gate in case.framework.gates if gate.suite == suite_id and (not wanted or gate.id in wanted))


def arms_of(case: Case, gates: Sequence[Gate]) -> tuple[str, ...]:
    """The arms that gates read: always the bare one, by which inherent risk is told."""
    facing = [gate for gate in gates if gate.arm != "bare"]
    weights = case.spec.weights_arm
    read = {
        weights if context.arm == "bare" else context.arm
        for gate in facing
        for context in case.contexts
        if context.id in gate.contexts
    }
    return tuple(arm for arm in case.arms if arm == "bare" or arm in read)


def planned_attempts(line: SuiteLine, arm: SuiteArm) -> Iterator[PlannedAttempt]:
    """Every attempt that a line asks for on one arm."""
    if line.digest is None:
        return iter(())
    tasks = [
        SuiteTask(**{**task, "conditions": tuple(task["conditions"]), "needs": tuple(task["needs"])})
        for task in line.tasks
    ]
    return attempts_at(
        tasks,
        suite=line.suite,
        digest=line.digest,
        arm=arm.name,
        arm_digest=arm.digest,
        model=arm.model,
        attempts=line.attempts,
    )


def _line(case: Case, asked: SuiteRun, targets: Mapping[str, Target]) -> SuiteLine:
    _must_have_variant(case, asked)
    gates = tuple(gate.id for gate in suite_gates(case, asked.suite))
    about = {
        "suite": asked.suite,
        "source": "run",
        "gates": gates,
        "attempts": asked.attempts,
        "limits": _limits(asked),
        "elicitation": asked.elicitation.model_dump(mode="json"),
    }
    try:
        suite = suite_of(case, asked)
    except SuiteMissing as fault:
        empty: dict[str, Any] = {"digest": None, "domain": "", "grader": "exact", "scaffold": "", "arms": ()}
        return SuiteLine(**about, **empty, missing=str(fault), tasks=(), tasks_in_suite=0, inputs={})
    is_native = asked.limits.tools == "native"
    if is_native and not takes_native_tools(suite):
        raise UnknownSuite(f"suite {asked.suite!r} has no use for `tools: native`; leave it out of its limits")
    everything = suite.tasks()
    return SuiteLine(
        **about,
        digest=suite.digest,
        missing=suite.missing(),
        domain=suite.domain,
        grader=suite.grader,
        scaffold=(asked.elicitation.scaffold or suite.scaffold) + (_NATIVE if is_native else ""),
        tasks=tuple(asdict(task) for task in _chosen(asked, everything)),
        tasks_in_suite=len(everything),
        inputs={measure: asdict(inputs) for measure, inputs in sorted(suite.inputs.items())},
        arms=tuple(_arm(case, asked, name, targets) for name in asked.arms or _arms(case, asked)),
    )


def _arms(case: Case, asked: SuiteRun) -> tuple[str, ...]:
    return arms_of(case, suite_gates(case, asked.suite))


def _chosen(asked: SuiteRun, everything: Sequence[SuiteTask]) -> list[SuiteTask]:
    names = {task.task for task in everything}
    if unknown := [name for name in asked.tasks if name not in names]:
        raise UnknownSuite(f"suite {asked.suite!r} has no task {unknown[0]!r}; `safecase suites list` names its tasks")
    return [task for task in everything if not asked.tasks or task.task in asked.tasks]


def _arm(case: Case, asked: SuiteRun, name: str, targets: Mapping[str, Target]) -> SuiteArm:
    if name not in targets:
        known = ", ".join(targets)
        file = case.path / "safecase.yaml"
        raise UnknownSuite(f"{file}: suite {asked.suite!r} names arm {name!r}; there are {known}")
    return suite_arm(name, target=targets[name], stack=case.arms[name], limits=_limits(asked))


def _limits(asked: SuiteRun) -> dict[str, Any]:
    """The limits as the plan and every attempt's id hold them; tools in words, the usual, are not said."""
    kept = asked.limits.model_dump(mode="json")
    return kept if kept["tools"] == "native" else {name: value for name, value in kept.items() if name != "tools"}


def _must_have_variant(case: Case, asked: SuiteRun) -> None:
    """A helpful-only version is one that the case names, not one that a line claims."""
    bare = case.spec.least_mitigated or case.spec.model
    if asked.elicitation.variant == "helpful-only" and bare.safeguard_state != "helpful-only":
        raise UnknownSuite(
            f"{case.path / 'safecase.yaml'}: suite {asked.suite!r} says variant 'helpful-only', and arm 'bare' asks "
            f"{bare.name!r}, whose safeguard_state is {bare.safeguard_state!r}; name the helpful-only version "
            "under `least_mitigated:`"
        )


def suite_arm(name: str, *, target: Target, stack: Stack, limits: Mapping[str, Any]) -> SuiteArm:
    """An arm, its digest over everything that makes its attempts others."""
    known = target.identity
    who = {"kind": known.kind, "model": known.model, "digest": known.digest}
    return SuiteArm(
        name=name, model=target.model, identity=who, digest=digest_value([name, who, stack.digest, dict(limits)])
    )
