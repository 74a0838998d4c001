"""What the evidence of a case says of its suites: estimates, and how hard each tried. Writes nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from safecase.assess._case import Case
from safecase.assess._suites_plan import planned_attempts
from safecase.declare import Elicited, Framework, UpliftStudy
from safecase.evidence import Elicitation, Estimate, PlannedAttempt, TaskAttempt
from safecase.measure import Inputs, SuiteEvidence, UpliftResult, effort_of, estimate_suite, estimate_uplift
from safecase.run import SuiteArm, SuiteLine

IMPORTED = "evidence/suites"
"""A file per suite and arm that was imported: its line, as `plan.json` has those that were run."""

REVIEWS = "evidence/suite-reviews"
"""What people found of flagged failures, a file per sheet taken."""

UPLIFT = "evidence/uplift"
"""Two files per study of people: as declared, and its results."""


@dataclass(frozen=True)
class SuiteArmEvidence:
    """One suite on one arm, as planned or imported, with what is on record of it."""

    line: SuiteLine
    arm: SuiteArm
    planned: tuple[PlannedAttempt, ...]
    attempts: dict[str, TaskAttempt]
    reviews: dict[str, bool]

    @cached_property
    def answered(self) -> list[TaskAttempt]:
        """Answered attempts of the plan, in its order."""
        found = (self.attempts.get(one.attempt_id) for one in self.planned)
        return [one for one in found if one is not None and one.status == "answered"]

    @property
    def spurious(self) -> frozenset[str]:
        """Ids of the failures that a person found spurious."""
        return frozenset(attempt_id for attempt_id, is_spurious in self.reviews.items() if is_spurious)


def suites_on_record(case: Case) -> list[SuiteArmEvidence]:
    """Every suite and arm that the plan asks for or that was imported. The attempts are read once."""
    reviews, rows = read_reviews(case), {row.attempt_id: row for row in case.attempts.read()}
    found: list[SuiteArmEvidence] = []
    for line in suite_lines(case):
        for arm in line.arms:
            planned = tuple(planned_attempts(line, arm))
            mine = {one.attempt_id: rows[one.attempt_id] for one in planned if one.attempt_id in rows}
            found.append(SuiteArmEvidence(line=line, arm=arm, planned=planned, attempts=mine, reviews=reviews))
    return found


def suite_lines(case: Case) -> tuple[SuiteLine, ...]:
    """The plan's lines, then those imported."""
    plan = case.plan
    return (*(plan.suites if plan else ()), *_imported(case))


def missing_suites(case: Case) -> dict[str, str]:
    """Suite -> what it would have taken to run it where the plan was made."""
    return {line.suite: line.missing for line in suite_lines(case) if line.missing is not None}


def planned_suite_gates(case: Case) -> frozenset[str]:
    """Ids of the gates whose suites the case runs or imported."""
    studied = {study.suite for study, _ in uplift_studies(case)}
    of_people = (gate.id for gate in case.framework.gates if gate.suite in studied and gate.measure == "uplift")
    return frozenset([*(gate for line in suite_lines(case) for gate in line.gates), *of_people])


def estimate_suites(case: Case, framework: Framework) -> tuple[Estimate, ...]:
    """The estimates that a framework's gates read of the suites on record.

    Raises:
        CorruptedSegment: a segment is missing or changed.
    """
    declared = {suite.id: suite for suite in framework.suites}
    found: list[Estimate] = []
    for one in suites_on_record(case):
        if one.line.suite not in declared:
            continue
        evidence = SuiteEvidence(
            planned=one.planned,
            attempts=one.attempts,
            inputs={measure: Inputs(**inputs) for measure, inputs in one.line.inputs.items()},
            fixed=declared[one.line.suite].estimand == "these-tasks",
            calibration="own" if one.line.grader == "exact" else "none",
            grader=f"grader/{one.line.grader}",
            spurious=one.spurious,
        )
        gates = [gate for gate in framework.gates if gate.suite == one.line.suite]
        found += estimate_suite(evidence, gates, arm=one.arm.name)
    for study, results in uplift_studies(case):
        gates = [gate for gate in framework.gates if gate.suite == study.suite and gate.measure == "uplift"]
        found += estimate_uplift(study, results or (), gates)
    return tuple(found)


def uplift_studies(case: Case) -> list[tuple[UpliftStudy, tuple[UpliftResult, ...] | None]]:
    """Every study declared in the case, with its results once they were taken."""
    found: list[tuple[UpliftStudy, tuple[UpliftResult, ...] | None]] = []
    folder = case.path / UPLIFT
    for path in sorted(folder.glob("*.study.json")) if folder.is_dir() else ():
        study = UpliftStudy.model_validate(json.loads(path.read_bytes()))
        results = folder / f"{study.id}.results.json"
        rows = [UpliftResult(**row) for row in json.loads(results.read_bytes())] if results.exists() else None
        found.append((study, None if rows is None else tuple(rows)))
    return found


def elicitations(case: Case) -> dict[tuple[str, str], Elicitation]:
    """(suite, arm) -> how hard it tried, for everything that has an attempt on record."""
    return {(one.line.suite, one.arm.name): _elicitation(one) for one in suites_on_record(case) if one.attempts}


def read_reviews(case: Case) -> dict[str, bool]:
    """Attempt id -> whether a person found its failure spurious; of several views the last one taken stands."""
    found: dict[str, bool] = {}
    folder = case.path / REVIEWS
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        for row in json.loads(path.read_bytes())["rows"]:
            found[row["attempt_id"]] = row["spurious"]
    return found


def unread_attempts(case: Case) -> dict[str, int]:
    """Suite -> attempts on record that no line of the plan asks for: made under other limits, arms or suite states."""
    wanted = {one.attempt_id for some in suites_on_record(case) for one in some.planned}
    found: dict[str, int] = {}
    for row in case.attempts.read():
        if row.attempt_id not in wanted:
            found[row.suite] = found.get(row.suite, 0) + 1
    return found


def _imported(case: Case) -> Iterator[SuiteLine]:
    folder = case.path / IMPORTED
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        yield SuiteLine.model_validate(json.loads(path.read_bytes()))


def _elicitation(one: SuiteArmEvidence) -> Elicitation:
    said = Elicited.model_validate(one.line.elicitation)
    tokens = one.line.limits.get("tokens")
    effort = effort_of([row for row in one.answered if row.condition == ""], one.reviews, tokens=tokens)
    baselines = {"human": said.human_baseline, "reference": said.reference_baseline}
    return Elicitation(
        suite=one.line.suite,
        arm=one.arm.name,
        variant=said.variant,
        variant_note=said.variant_note,
        scaffold=one.line.scaffold,
        tuned_scaffold=said.tuned_scaffold,
        attempts=one.line.attempts,
        tasks=len(one.line.tasks),
        tasks_in_suite=one.line.tasks_in_suite,
        tokens=tokens,
        curve=effort.curve,
        second_half_gain=effort.second_half_gain,
        cut_off=effort.cut_off,
        failures=effort.failures,
        flagged=effort.flagged,
        reviewed=effort.reviewed,
        spurious=effort.spurious,
        spurious_bound=effort.spurious_bound,
        baselines={name: given.model_dump(mode="json") for name, given in baselines.items() if given is not None},
        continued_training=said.continued_training,
        turns=one.line.limits.get("turns"),
    )
