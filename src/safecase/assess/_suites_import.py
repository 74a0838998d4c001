"""An Inspect log as a suite's attempts: the whole log or nothing, read as the pack's `inspect:` line says."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._kept import ACTOR, keep_case_file, record
from safecase.assess._suites_plan import declared_suite, planned_attempts, suite_gates
from safecase.assess._suites_read import IMPORTED
from safecase.assess._suites_run import Keeper
from safecase.declare import Elicited, InspectTask
from safecase.evidence import PlannedAttempt, canonical_json, digest_file, digest_value
from safecase.exchange import LogError, inspect_rows
from safecase.run import SuiteArm, SuiteLine
from safecase.suites import SuiteTask, Tried, UnreadableScore, inputs_of, task_of_sample, tried_of_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSuite:
    """What an import of a log did. `failed`: attempts without a score, which count at their worst."""

    suite: str
    arm: str
    task: str
    model: str
    tasks: int
    attempts: int
    added: int
    failed: int


def import_suite(case: Case, log: Path, *, suite: str, arm: str, now: Clock = utc_now) -> ImportedSuite:
    """Take a log. Attempts that are there already are left out; another log of the suite on this arm takes its place.

    What the log says was planned and does not hold counts as absent: a run that was cut off is not a smaller one.

    Raises:
        LogError: the log is damaged, of another task, or its scores cannot be read; nothing of it was kept.
        UnknownSuite: the framework has no such suite.
    """
    declared = declared_suite(case, suite)
    asked = next((one for one in case.spec.suites if one.suite == suite), None)
    if asked is not None and asked.source == "run":
        raise LogError(
            f"{case.path / 'safecase.yaml'}: the case runs suite {suite!r} itself; say `source: log` there to import it"
        )
    if declared.inspect is None:
        raise LogError(
            f"suite {suite!r} of framework {case.framework.id!r} has no `inspect:` line; add one that names the "
            "task and the score that counts (docs/suites.md)"
        )
    about = _about(log, declared.inspect)
    line = SuiteLine(
        suite=suite,
        digest=_digest(about, declared.inspect),
        missing=None,
        source=log.name,
        gates=tuple(gate.id for gate in suite_gates(case, suite)),
        domain=declared.inspect.domain or "none",
        grader="judged" if declared.inspect.judged else "exact",
        scaffold=f"Inspect task {about.get('task')}, as run by whoever made the log",
        attempts=_epochs(about),
        tasks=tuple(asdict(task) for task in _tasks(log, about, declared.inspect)),
        tasks_in_suite=_mapping(about.get("dataset")).get("samples") or 0,
        inputs={measure: asdict(inputs) for measure, inputs in sorted(inputs_of(declared).items())},
        limits={"tokens": _mapping(about.get("config")).get("token_limit")},
        elicitation=(asked.elicitation if asked else Elicited()).model_dump(mode="json"),
        arms=(_arm(arm, about),),
    )
    planned = {(one.task, one.number): one for one in planned_attempts(line, line.arms[0])}
    failed = sum(tried.attempt.status != "answered" for tried in _tries(log, planned, declared.inspect))
    added = _keep(case, line, _tries(log, planned, declared.inspect), now)
    keep_case_file(case, now)
    data = canonical_json(line.model_dump(mode="json")) + b"\n"
    name = f"{IMPORTED}/{suite}-{arm}.json"
    record(case, name, data, action="suite-imported", now=now, file=log.name, file_sha256=digest_file(log), rows=added)
    return ImportedSuite(
        suite=suite,
        arm=arm,
        task=str(about.get("task")),
        model=line.arms[0].model,
        tasks=len(line.tasks),
        attempts=len(planned),
        added=added,
        failed=failed,
    )


def _about(log: Path, line: InspectTask) -> Mapping[str, Any]:
    about, _ = inspect_rows(log)
    wanted = line.task.rpartition("/")[2].rpartition("@")[2]
    name = str(about.get("task") or "").rpartition("/")[2]
    if name != wanted:
        raise LogError(f"{log.name}: a log of task {name!r}; the pack's line asks for {line.task!r}")
    return about


def _epochs(about: Mapping[str, Any]) -> int:
    epochs = _mapping(about.get("config")).get("epochs")
    return epochs if isinstance(epochs, int) and epochs >= 1 else 1


def _tasks(log: Path, about: Mapping[str, Any], line: InspectTask) -> list[SuiteTask]:
    """The samples of the log, and those that it says it would hold and does not."""
    _, rows = inspect_rows(log)
    found: dict[str, SuiteTask] = {}
    for row in rows:
        task = task_of_sample(row, line)
        found.setdefault(task.task, task)
    for name in _mapping(about.get("dataset")).get("sample_ids") or ():
        found.setdefault(str(name), SuiteTask(task=str(name), category="none" if line.category else "all"))
    return [found[name] for name in sorted(found)]


def _arm(name: str, about: Mapping[str, Any]) -> SuiteArm:
    model = str(about.get("model") or "not stated")
    who = {"kind": "name-only", "model": model, "digest": None}
    run = about.get("eval_id") or about.get("run_id") or about.get("created")
    return SuiteArm(name=name, model=model, identity=who, digest=digest_value([name, who, str(run)]))


def _digest(about: Mapping[str, Any], line: InspectTask) -> str:
    kept = ("task", "task_version", "task_args", "dataset", "scorers", "packages", "solver", "solver_args")
    return digest_value([line.model_dump(mode="json"), _strings({key: about.get(key) for key in kept})])


def _strings(value: Any) -> Any:
    """JSON as canonical JSON can hold it: numbers of any size as they are spelled."""
    if isinstance(value, dict):
        return {str(key): _strings(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_strings(one) for one in value]
    return value if value is None or isinstance(value, str | bool) else str(value)


def _tries(log: Path, planned: Mapping[tuple[str, int], PlannedAttempt], line: InspectTask) -> Iterator[Tried]:
    _, rows = inspect_rows(log)
    for row in rows:
        place = (str(row["id"]), row["epoch"] - 1)
        if place not in planned:
            raise LogError(f"{log.name}: sample {row['id']!r} has epoch {row['epoch']}, more than the log says it ran")
        try:
            yield tried_of_sample(row, planned[place], line)
        except UnreadableScore as fault:
            raise LogError(f"{log.name}: sample {row['id']!r}: {fault}") from fault


def _keep(case: Case, line: SuiteLine, tries: Iterator[Tried], now: Clock) -> int:
    keeper = Keeper(case, line.domain, now)
    answered = case.attempts.open(at=now(), actor=ACTOR).ids(answered=True)
    added = 0
    for tried in tries:
        if tried.attempt.attempt_id not in answered:
            keeper.keep(tried)
            added += 1
    keeper.write()
    return added


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
