"""A case opened: its files parsed, its parts at hand."""

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safecase.compose import Intent
from safecase.declare import CaseSpec, Context, Framework, ModelSpec, load_declaration, resolve_context
from safecase.evidence import (
    AttemptStore,
    JudgementStore,
    KeyMissing,
    Ledger,
    Trial,
    TrialStore,
    Vault,
    why_unruled,
)
from safecase.run import Plan, PlannedTrial, case_intents, learned_intents, load_plan, planned_trials
from safecase.safeguard import Stack

Clock = Callable[[], dt.datetime]
"""Where a stage takes the time of its ledger entries from."""

HAZARD_KEY = "hazard-key"
"""The ledger's action on the first use of a key of the vault."""


def utc_now() -> dt.datetime:
    """The clock that commands pass down."""
    return dt.datetime.now(dt.UTC)


class NothingToRead(Exception):
    """A stage needs what an earlier one writes, and it is not there."""


@dataclass(frozen=True)
class Case:
    """A case directory and what its file names. Nothing is written by opening one."""

    path: Path
    spec: CaseSpec
    framework: Framework
    model_spec: ModelSpec

    @cached_property
    def intents(self) -> tuple[Intent, ...]:
        """The shipped bank, or the case's private ones."""
        return case_intents(self.spec, self.path)

    @property
    def learned(self) -> tuple[Intent, ...]:
        """What people accepted from live use. Read anew each time: a person may accept while the case is open."""
        return learned_intents(self.path)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger; made by its first entry."""
        return Ledger(self.path / "ledger.jsonl")

    @cached_property
    def trials(self) -> TrialStore:
        """The trials."""
        return TrialStore(self.path)

    @cached_property
    def judgements(self) -> JudgementStore:
        """The judgements."""
        return JudgementStore(self.path)

    @cached_property
    def attempts(self) -> AttemptStore:
        """The attempts of suites."""
        return AttemptStore(self.path)

    @cached_property
    def arms(self) -> dict[str, Stack]:
        """Safeguard stack by arm."""
        from safecase.run import stacks

        return stacks(self.spec, self.model_spec, self.path)

    def close_arms(self) -> dict[str, Stack]:
        """The stacks in use, to be closed; whoever asks for the arms next gets new ones, which nobody closed."""
        arms: dict[str, Stack] = vars(self).pop("arms", {})
        return arms

    @property
    def contexts(self) -> tuple[Context, ...]:
        """The deployment contexts the case asks for."""
        return tuple(resolve_context(self.framework, name) for name in self.spec.contexts)

    @property
    def plan(self) -> Plan | None:
        """The plan on disk, None before the first run or for imports alone."""
        path = self.path / "plan.json"
        return load_plan(path) if path.exists() else None

    def standing(self, where: Mapping[str, object] | None = None) -> Iterator[Trial]:
        """The trials that count.

        Not those of an imported file that another import stands in place of; nor, in evidence of earlier versions,
        answers withheld by a layer that had failed, which are kept as errors now.
        """
        gone = {name for entry in replacements(self) for name in entry}
        return (
            trial
            for trial in self.trials.read(where)
            if trial.model not in gone and (trial.withheld_by is None or why_unruled(trial.rulings) is None)
        )

    def planned(self, plan: Plan) -> Iterator[PlannedTrial]:
        """Every trial of a plan, in its order, one at a time."""
        return planned_trials(plan, self.framework, self.intents_of(plan))

    def intents_of(self, plan: Plan) -> tuple[Intent, ...]:
        """The bank and those learned scenarios that were accepted when the plan was made."""
        known = set(plan.learned)
        return (*self.intents, *(intent for intent in self.learned if intent.id in known))

    def vault(self, *, create: bool = False, now: Clock = utc_now) -> Vault:
        """The vault of hazardous answers.

        Args:
            create: for whoever seals: make its key where the case never had one. The ledger names each key by its tag.

        Raises:
            KeyMissing: the case had a key, and it is not here: a new one would open nothing that was sealed.
        """
        if not create:
            return Vault.open(self.spec.id, case_dir=self.path)
        known = [entry.subject["tag"] for entry in self.ledger.entries() if entry.action == HAZARD_KEY]
        try:
            vault = Vault.open(self.spec.id, case_dir=self.path, create=not known)
        except KeyMissing as error:
            anew = (
                "a new one, made by `(umask 077; openssl rand -hex 32 > FILE)`, opens only what is sealed from then on"
            )
            raise KeyMissing(
                f"{error}. Case {str(self.path)!r} has answers or reports sealed under key {known[-1]}; "
                f"if it is lost for good, {anew}"
            ) from None
        if vault.tag not in known:
            self.ledger.append(HAZARD_KEY, actor="safecase", subject={"tag": vault.tag}, at=now())
        return vault


def open_case(path: Path, *, framework: str | None = None) -> Case:
    """Open a case.

    Args:
        path: the case directory or its `safecase.yaml`.
        framework: another pack than the case names (id, or a path).

    Raises:
        PackError, UnknownName: the case, pack or model spec is wrong, with file and line.
    """
    if framework is not None and (Path(framework).suffix in {".yaml", ".yml"}):
        framework = str(Path(framework).resolve())
    declared = load_declaration(path, framework=framework)
    return Case(path=declared.folder, spec=declared.case, framework=declared.framework, model_spec=declared.model_spec)


def replacements(case: Case) -> Iterator[tuple[str, ...]]:
    """What each import of a corrected or grown file stands in place of, by `Trial.model`."""
    if case.ledger.path.exists():
        for entry in case.ledger.entries():
            if entry.action == "imported" and isinstance(names := entry.subject.get("replaces"), list):
                yield tuple(map(str, names))


def home() -> Path:
    """Where keys live that belong to no case: `SAFECASE_HOME`, or the user's data directory."""
    default = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "safecase"
    return Path(os.environ.get("SAFECASE_HOME", default))
