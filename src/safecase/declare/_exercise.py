"""Threat-modelling exercises: what was proposed, how it would come about, and what was decided.

An exercise is a record beside a pack. Applied to the pack, an accepted proposal becomes entries with their gates and
a line in the changelog; a refused one is kept with its reasons. Both are looked at again on a date.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from safecase.declare._check import check
from safecase.declare._edit import Edit
from safecase.declare._errors import PackError, Problem
from safecase.declare._framework import (
    Capability,
    Framework,
    Gate,
    Id,
    Inclusion,
    Outcome,
    Record,
    Suite,
    Text,
    ThreatScenario,
)
from safecase.declare._yaml import Document, Location


class Participant(Record):
    """A seat at the table. Organisation and role say enough; names of people are not asked for."""

    organisation: Text
    role: Text
    independence: Literal["internal", "independent", "external"] = Field(
        description="internal: works on the model; independent: inside, apart from those who do; external: outside"
    )


class PathwayStep(Record):
    """One step of the causal pathway from a capability to the outcome."""

    step: Text
    actor: Text
    ai_adds: Text = Field(
        description="what the AI adds that the actor would not have without it; `nothing` is an answer"
    )
    barrier: Text = Field(description="what stands in the way, today or by design")


class Proposal(Record):
    """What the exercise was about."""

    kind: Literal["outcome", "scenario"]
    id: Id
    title: Text
    domain: Id
    outcome: Id | None = Field(default=None, description="for a scenario: the outcome that it leads to")


class Resolution(Record):
    """What was decided, and why."""

    verdict: Literal["accepted", "refused"]
    reasons: tuple[Text, ...] = Field(min_length=1)
    pack_version: Text | None = Field(
        default=None, description="version of the pack once an accepted proposal is in it"
    )


class Entries(Record):
    """What an accepted proposal adds to the pack."""

    outcome: Outcome | None = None
    scenarios: tuple[ThreatScenario, ...] = Field(default=(), description="for an outcome that is in the pack already")
    capabilities: tuple[Capability, ...] = ()
    suites: tuple[Suite, ...] = ()
    gates: tuple[Gate, ...] = ()


class Exercise(Record):
    """The record of one threat-modelling exercise."""

    id: Id
    date: dt.date
    repeat_on: dt.date
    facilitator: Text = Field(description="role, not a name")
    participants: tuple[Participant, ...] = Field(min_length=1)
    proposes: Proposal
    pathway: tuple[PathwayStep, ...] = Field(min_length=1)
    criteria: Inclusion
    decision: Resolution
    entries: Entries | None = None

    def is_due(self, on: dt.date) -> bool:
        """True when the exercise is to be repeated by that day."""
        return on >= self.repeat_on


def due_exercises(exercises: Iterable[Exercise], *, on: dt.date) -> tuple[Exercise, ...]:
    """The exercises to be repeated by a day, the longest overdue first."""
    return tuple(sorted((e for e in exercises if e.is_due(on)), key=lambda e: (e.repeat_on, e.id)))


def load_exercise(path: Path) -> Exercise:
    """Read and check an exercise record.

    Raises:
        PackError: with file and line of every fault, such as an accepted proposal that fails a criterion.
    """
    document = Document(path)
    exercise = document.parse(Exercise)
    if faults := tuple(document.problem(at, what, mend) for at, what, mend in _faults(exercise)):
        raise PackError(faults)
    return exercise


def apply_exercise(exercise: Exercise, pack: Path) -> str:
    """The text of a pack with an exercise applied; the file itself is left alone.

    Accepted: entries and gates go in, version and date move on, the changelog gains a line with the reasons; an
    outcome that was on the watch-list leaves it. Refused: only the list `refused` grows. Comments stay where they are.

    Raises:
        PackError: the exercise does not hold together, was applied before, or the pack would have faults with it; lines
            are then those of the pack as it would be.
    """
    if faults := [
        Problem(file=Path(f"{exercise.id}.yaml"), line=1, what=what, mend=mend) for _, what, mend in _faults(exercise)
    ]:
        raise PackError(tuple(faults))
    document = Document(pack)
    framework = document.parse(Framework)
    _refuse_if(framework, document, exercise)
    edit = Edit(document)
    if exercise.decision.verdict == "accepted":
        _accept(exercise, framework, edit)
    else:
        _keep_reasons(exercise, edit)
    edited = Document.of(edit.text, path=pack)
    if problems := check(edited.parse(Framework), edited):
        raise PackError(problems)
    return edit.text


def _accept(exercise: Exercise, framework: Framework, edit: Edit) -> None:
    entries, proposes = exercise.entries or Entries(), exercise.proposes
    for i, domain in enumerate(framework.domains):
        for j, outcome in enumerate(domain.outcomes):
            if domain.kind == "watch-list" and outcome.id == proposes.id:
                edit.remove(("domains", i, "outcomes", j))
            for scenario in entries.scenarios if outcome.id == proposes.outcome else ():
                edit.append(("domains", i, "outcomes", j, "threat_scenarios"), _plain(scenario))
        if domain.id == proposes.domain and entries.outcome is not None:
            edit.append(("domains", i, "outcomes"), _plain(entries.outcome))
    for key in ("capabilities", "suites", "gates"):
        for entry in getattr(entries, key):
            if entry not in getattr(framework, key):
                edit.append((key,), _plain(entry))
    version = exercise.decision.pack_version
    line = {
        "version": version,
        "date": exercise.date,
        "change": f"The {proposes.kind} {proposes.id} enters by exercise {exercise.id}.",
        "reason": " ".join(exercise.decision.reasons),
        "touches": [proposes.id, *(gate.id for gate in entries.gates)],
    }
    edit.append(("changelog",), line)
    edit.set(("version",), version)
    edit.set(("date",), exercise.date)


def _keep_reasons(exercise: Exercise, edit: Edit) -> None:
    failing = [(name, getattr(exercise.criteria, name)) for name in exercise.criteria.failing]
    reasons = [*exercise.decision.reasons, *(f"{name} does not hold: {answer.reason}" for name, answer in failing)]
    refused = {
        "id": exercise.proposes.id,
        "kind": exercise.proposes.kind,
        "title": exercise.proposes.title,
        "exercise": exercise.id,
        "date": exercise.date,
        "reasons": reasons,
        "repeat_on": exercise.repeat_on,
    }
    edit.append(("refused",), refused)


def _refuse_if(framework: Framework, document: Document, exercise: Exercise) -> None:
    proposes = exercise.proposes
    domains = {domain.id: domain for domain in framework.domains}
    outcomes = {
        outcome.id for domain in framework.domains for outcome in domain.outcomes if domain.id == proposes.domain
    }
    fault: tuple[Location, str, str] | None = None
    if any(refused.exercise == exercise.id for refused in framework.refused):
        fault = ("refused",), f"exercise {exercise.id!r} is recorded already", "give the repeat an id of its own"
    elif proposes.domain not in domains:
        fault = ("domains",), f"no domain {proposes.domain!r} for the proposal", f"use one of {', '.join(domains)}"
    elif exercise.decision.verdict == "refused":
        pass
    elif domains[proposes.domain].kind != "catastrophic":
        kind = domains[proposes.domain].kind
        fault = (
            ("domains",),
            f"domain {proposes.domain!r} is of kind {kind} and takes no outcomes",
            "name a gated domain",
        )
    elif proposes.kind == "scenario" and proposes.outcome not in outcomes:
        what = f"domain {proposes.domain!r} has no outcome {proposes.outcome!r} for the scenario"
        fault = ("domains",), what, f"use one of {', '.join(sorted(outcomes))}"
    elif exercise.date < framework.date:
        what = f"the pack is of {framework.date}, after exercise {exercise.id!r} of {exercise.date}"
        fault = ("date",), what, "repeat the exercise on the pack as it is"
    if fault:
        raise PackError((document.problem(*fault),))


def _faults(exercise: Exercise) -> Iterator[tuple[Location, str, str]]:
    """What a single field does not show."""
    proposes, decision, entries = exercise.proposes, exercise.decision, exercise.entries
    named = f"exercise {exercise.id!r}"
    if exercise.repeat_on <= exercise.date:
        yield ("repeat_on",), f"{named} repeats on {exercise.repeat_on}, not after its date", "set a later date"
    if proposes.kind == "scenario" and proposes.outcome is None:
        yield ("proposes",), f"scenario {proposes.id!r} names no outcome", "add `outcome:`"
    if decision.verdict == "refused":
        if entries is not None:
            yield ("entries",), f"{named} refuses {proposes.id!r} and brings entries", "drop `entries:`"
        return
    for name in exercise.criteria.failing:
        yield (
            ("criteria", name),
            f"{named} accepts {proposes.id!r} though the criterion {name!r} does not hold",
            "refuse it or show why it holds",
        )
    if decision.pack_version is None:
        yield ("decision",), f"{named} accepts and names no pack_version", "add `pack_version:`"
    if entries is None:
        yield ("decision",), f"{named} accepts and brings no entries", "add `entries:`"
        return
    if proposes.kind == "outcome":
        yield from _outcome_faults(exercise, entries)
    elif [scenario.id for scenario in entries.scenarios] != [proposes.id] or entries.outcome is not None:
        yield ("entries",), f"entries hold not just the scenario {proposes.id!r}", "add it alone under `scenarios:`"


def _outcome_faults(exercise: Exercise, entries: Entries) -> Iterator[tuple[Location, str, str]]:
    wanted = exercise.proposes.id
    if entries.outcome is None or entries.outcome.id != wanted:
        yield ("entries",), f"entries do not hold the outcome {wanted!r}", "add it under `outcome:`"
        return
    if entries.scenarios:
        yield ("entries", "scenarios"), "scenarios stand apart from their outcome", "move them to `threat_scenarios:`"
    if entries.outcome.inclusion != exercise.criteria:
        yield (
            ("entries", "outcome", "inclusion"),
            f"outcome {wanted!r} does not carry the criteria as the exercise answered them",
            "copy `criteria:` to `inclusion:`",
        )
    ids = {wanted, *(scenario.id for scenario in entries.outcome.threat_scenarios)}
    if not any(ids & set(gate.bears_on) for gate in entries.gates):
        yield ("entries",), f"no gate bears on outcome {wanted!r}", "add one under `gates:`"


def _plain(record: Record) -> Any:  # what YAML writes
    return _listed(record.model_dump(exclude_defaults=True))


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    return value


def exercise_template() -> str:
    """A filled exercise record to write over: it loads, and is refused on purpose."""
    return _TEMPLATE


_TEMPLATE = """\
# A threat-modelling exercise. Write over every value; `safecase declare schema exercise` gives an editor the fields.
id: 2026-05-example
date: 2026-05-12
repeat_on: 2027-05-12          # look at it again by this day
facilitator: head of threat modelling

# Organisation and role; no names. internal: works on the model. independent: inside, apart from those who do.
# external: outside.
participants:
  - {organisation: our company, role: safety researcher, independence: internal}
  - {organisation: our company, role: internal audit, independence: independent}
  - {organisation: a university, role: domain expert, independence: external}

proposes:
  kind: outcome                # or `scenario`, which also names its `outcome:`
  id: cyber-4
  title: An outcome in one sentence
  domain: cyber

# From the first step to the harm. What does the AI add that the actor would not have without it?
pathway:
  - step: what happens first
    actor: who does it
    ai_adds: what the AI adds
    barrier: what stands in the way
  - step: what happens then
    actor: who does it
    ai_adds: nothing
    barrier: what stands in the way

# All four must hold for a proposal to be accepted (A2 3.2).
criteria:
  plausible: {holds: true, reason: there is a causal pathway with scenarios that can be simulated}
  catastrophic: {holds: true, reason: how large the harm would be}
  net_new: {holds: false, reason: it is possible as described without general-purpose AI}
  irremediable: {holds: true, reason: it would come at once or could not be undone}

decision:
  verdict: refused             # or `accepted`, with `pack_version:` and the entries below
  reasons:
    - Every step is done today without AI, at the same scale.

# For an accepted outcome:
# entries:
#   outcome: {id, title, cites, inclusion (the criteria above), threat_scenarios}
#     threat_scenarios: [{id, title, actor, skill, capabilities}]
#   capabilities: [{id, title}]
#   suites: [{id, title, measures, available, needs}]
#   gates: [at least one that bears on the outcome]
# For an accepted scenario: `scenarios:` with the one scenario, and gates where no gate bears on its outcome as a whole.
"""
