"""Recompute everything a case says, offline, and name what does not hold.

A stored *pass* is never trusted: judgements, estimates, findings and report numbers are made again from the segments
and compared. What this cannot show without a roster and a ledger head kept elsewhere is *who* made the case: whoever
holds a local key could have written all of it anew. Then the verdict is *self-consistent, not authenticated*.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.assess._argument import ARGUMENT, argument_bytes, arguments_of, keeps_argument
from safecase.assess._balance import paired_estimates
from safecase.assess._bundle import MANIFEST, PEOPLES, TRANSCRIPTS, left_out_of
from safecase.assess._campaign_check import campaign_problems
from safecase.assess._case import Case, NothingToRead
from safecase.assess._judge import judge_card, unmeasured_card
from safecase.assess._kept import last_said
from safecase.assess._labels_kept import labels_digest
from safecase.assess._permit import Issue, changed_terms, permit_terms
from safecase.assess._promises import PROMISES_FILE, promises_statement
from safecase.assess._report import load_editions, report_numbers
from safecase.assess._restrict import Restriction, restrictions
from safecase.assess._root import evidence_root
from safecase.assess._roster import redated_keys
from safecase.assess._signing import NotSupported, case_roster, sign_off_files, signatures
from safecase.assess._stages import (
    decide_estimates,
    estimate,
    facts_of,
    has_evidence,
    read_measurement,
    statements,
)
from safecase.assess._suites_plan import suite_of
from safecase.assess._suites_read import estimate_suites, suite_lines, suites_on_record
from safecase.compose import bank_digest
from safecase.detect import load_heads, shared_material
from safecase.evidence import (
    Estimate,
    PlannedAttempt,
    PublicKey,
    Roster,
    RosterBroken,
    Scenario,
    Statement,
    StatementBroken,
    TaskAttempt,
    Trial,
    canonical_json,
    digest_bytes,
    digest_value,
    load_roster,
    parse_public_key,
    read_envelope,
    transcript_digest,
    verify_envelope,
)
from safecase.measure import JUDGE_WEIGHTS, KNOWN_JUDGES, EmbeddedJudge, VerdictIndex, known_without_judging
from safecase.run import Plan, PlannedTrial
from safecase.safeguard import GUARD_WEIGHTS
from safecase.suites import SuiteMissing

_REGISTRY = "respond/registry.db"
"""The desk's registry changes with every report; its own chain is checked by `safecase respond check`."""
_UNLISTED = {"ledger.jsonl", "ledger.jsonl.torn", MANIFEST, *(f"{_REGISTRY}{end}" for end in ("", "-wal", "-shm"))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was checked, and every way in which it does not hold (each naming a file)."""

    name: str
    looked_at: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The outcome.

    Attributes:
        authenticated: a trusted roster and a head from elsewhere were given and hold.
        notes: what could not be checked here, in sentences.
        head: the ledger's head now, to be kept elsewhere.
    """

    checks: tuple[Check, ...]
    authenticated: bool
    notes: tuple[str, ...]
    head: str

    @property
    def holds(self) -> bool:
        """True when nothing was found wrong."""
        return not any(check.problems for check in self.checks)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if not self.holds:
            count = sum(len(check.problems) for check in self.checks)
            return f"NOT VERIFIED: {count} problem{'s' if count > 1 else ''}"
        return "verified and authenticated" if self.authenticated else "self-consistent, not authenticated"


def verify_case(case: Case, *, trust: Path | None = None, head: str | None = None) -> Verification:
    """Check a case whole.

    Args:
        trust: a roster kept elsewhere; the case's own must be the same and its signers count by it.
        head: a ledger head kept elsewhere, 64 hex digits.

    Raises:
        NothingToRead: the case file is all that there is.
    """
    if {path.name for path in case.path.iterdir()} == {"safecase.yaml"} and not (trust or head):
        raise NothingToRead(
            f"case {str(case.path)!r} holds nothing to verify yet; run `safecase assess {case.path}` first"
        )
    left_out = left_out_of(case)
    ledger = [str(problem) for problem in case.ledger.check(head=head)]
    checks = [Check(name="ledger", looked_at=1, problems=tuple(ledger))]
    notes: list[str] = []
    if not ledger:
        checks.append(_files(case, left_out))
        if not checks[-1].problems:
            checks += _campaigns(case, left_out, notes)
    is_readable = not any(check.problems for check in checks)
    if is_readable and (case.path / "decision.json").exists():
        checks.append(_signed(case))
    if sealed := [name for name in left_out if not name.startswith((*PEOPLES, TRANSCRIPTS))]:
        notes.append(
            f"this is a bundle without {len(sealed)} segments of sealed answers, so its numbers were not made again"
        )
    elif is_readable:
        checks += _content(case, notes)
    checks.append(_people(case, trust, ledger_holds=not ledger))
    whole = not any(check.problems for check in checks)
    return Verification(
        checks=tuple(checks),
        authenticated=whole and trust is not None and head is not None,
        notes=tuple(notes),
        head="" if ledger else case.ledger.head(),
    )


def _files(case: Case, left_out: frozenset[str]) -> Check:
    """Every file the ledger names is what it says, and no file that counts is unnamed."""
    found = [*case.ledger.check_listed(), *case.trials.check(), *case.judgements.check(), *case.attempts.check()]
    gone = {case.path / name for name in left_out if not (case.path / name).exists()}
    problems = [str(problem) for problem in found if problem.file not in gone]
    named = {entry.subject["path"] for entry in case.ledger.entries() if "path" in entry.subject}
    present = sorted(
        path.relative_to(case.path).as_posix()
        for path in case.path.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    unlisted = _UNLISTED if has_evidence(case) or case.plan is not None else _UNLISTED | {"safecase.yaml"}
    problems += [
        f"{name}: the ledger does not name this file; remove it, or find out who put it there"
        for name in present
        if name not in named and name not in unlisted
    ]
    return Check(name="files", looked_at=len(present), problems=tuple(dict.fromkeys(problems)))


def _campaigns(case: Case, left_out: frozenset[str], notes: list[str]) -> list[Check]:
    """Counts of red-team campaigns; nothing in a case that counted none."""
    looked_at, problems = campaign_problems(case, left_out=left_out, notes=notes)
    return [Check(name="red-team counts", looked_at=looked_at, problems=tuple(problems))] if looked_at else []


def _content(case: Case, notes: list[str]) -> Iterator[Check]:
    plan = case.plan
    if plan is not None:
        planned = _plan(case, plan)
        yield planned
        if planned.problems:
            notes.append("what follows from the plan was not made again, since the plan itself does not hold")
            return
    yield _disjoint()
    if not has_evidence(case):
        notes.append("the case holds no trials yet")
        return
    if case.spec.judge != "embedded":
        notes.append(f"judgements by {case.spec.judge!r} were not made again: that needs its model")
    if plan is not None and case.trials.segments():
        yield _trials(case, plan)
    yield _judgements(case, notes)
    if suite_lines(case):
        yield _suites(case, notes)
    made = last_said(case, "estimates.json")
    if made is None:
        notes.append("the case was not measured yet")
        return
    if made["evidence_root"] != evidence_root(case):
        notes.append("evidence was added since the estimates were made; `safecase report` brings them up to date")
        return
    if made.get("labels_digest", digest_value([])) != labels_digest(case):
        notes.append("labels came into force since the estimates were made; `safecase report` brings them up to date")
        return
    if case.spec.judge == "embedded" and made["judge_digest"] != EmbeddedJudge().digest:
        what = "estimates.json: made with another state of the embedded judge; verify with the safecase that made it"
        yield Check(name="estimates", looked_at=0, problems=(what,))
        return
    estimates = _recomputed(case, made["judge_digest"])
    yield _estimates(case, estimates)
    if (case.path / "decision.json").exists():
        yield _decision(case, estimates)
        if keeps_argument(case):
            if _came_after(case, ARGUMENT, {"concern", "accepted-defeater"}):
                notes.append("concerns or acceptances came since the argument was made; `safecase decide` renews it")
            else:
                yield _argument(case, estimates)
        yield _permits(case, notes)
    editions = load_editions(case)
    if editions and editions[-1].evidence_root == evidence_root(case):
        yield _report(case, estimates)
    elif editions:
        notes.append("evidence was added since the last edition of the report")


def _plan(case: Case, plan: Plan) -> Check:
    problems = []
    if plan.framework_digest != digest_value(case.framework.model_dump(mode="json")):
        problems.append(f"plan.json: it was made under another state of framework {case.framework.id!r}")
    if plan.bank_digest != bank_digest(case.intents_of(plan)):
        problems.append("plan.json: it was made with another state of the bank")
    for arm in plan.arms:
        stack = case.arms.get(arm.name)
        if stack is None or stack.digest != arm.stack_digest:
            problems.append(f"plan.json: the safeguard stack of arm {arm.name!r} is no longer the one assessed")
    if not problems:
        ids = list(dict.fromkeys(t.scenario.scenario_id for t in case.planned(plan)))
        if digest_value(ids) != plan.scenarios_digest:
            problems.append("plan.json: its scenarios compose to other ids")
    return Check(name="plan", looked_at=plan.scenarios, problems=tuple(problems))


def _trials(case: Case, plan: Plan) -> Check:
    """A trial whose id the plan gives is of the scenario and the arm that the plan gives it to."""
    problems: list[str] = []
    planned = {one.trial_id: one for one in case.planned(plan)}
    looked = 0
    for trial in case.trials.read():
        one = planned.get(trial.trial_id)
        if one is not None:
            looked += 1
            if odd := ", ".join(_other_than_planned(trial, one)):
                problems.append(f"evidence/trials: trial {trial.trial_id} is not as planned ({odd})")
    return Check(name="trials", looked_at=looked, problems=tuple(problems))


_OF_SCENARIO = [
    field.name
    for field in dataclasses.fields(Scenario)
    if field.name in {other.name for other in dataclasses.fields(Trial)}
]


def _other_than_planned(trial: Trial, planned: PlannedTrial) -> Iterator[str]:
    """In what a trial differs from the place of the plan that has its id."""
    scenario = planned.scenario
    yield from (name for name in _OF_SCENARIO if getattr(trial, name) != getattr(scenario, name))
    due = {"arm": planned.arm.name, "model": planned.arm.model, "repetition": planned.repetition, "label": None}
    yield from (name for name, value in due.items() if getattr(trial, name) != value)
    if scenario.attempts == 1 and trial.prompt != scenario.messages[-1].content:
        yield "prompt"


def _suites(case: Case, notes: list[str]) -> Check:
    """Attempts are those of the plan, transcripts what they were, and suites that ship in the state that was run."""
    problems: list[str] = []
    looked = 0
    for one in suites_on_record(case):
        looked += len(one.attempts)
        planned = {row.attempt_id: row for row in one.planned}
        problems += [
            f"evidence/attempts: attempt {row.attempt_id} is not of the task that its id names"
            for row in one.attempts.values()
            if not _is_as_planned(row, planned[row.attempt_id])
        ]
        problems += [
            f"evidence/attempts: attempt {row.attempt_id}: {what}"
            for row in one.attempts.values()
            for what in _odd(row)
        ]
    digests = {row.attempt_id: row.transcript_sha256 for row in case.attempts.read()}
    for transcript in case.attempts.transcripts():
        if transcript.turns and transcript_digest(transcript.turns) != transcript.sha256:
            problems.append(f"evidence/transcripts: that of attempt {transcript.attempt_id} does not have its digest")
        elif digests.get(transcript.attempt_id, transcript.sha256) != transcript.sha256:
            problems.append(f"evidence/transcripts: that of attempt {transcript.attempt_id} is not the one it names")
    notes += _other_states(case)
    return Check(name="suites", looked_at=looked, problems=tuple(problems))


def _is_as_planned(row: TaskAttempt, planned: PlannedAttempt) -> bool:
    names = [field.name for field in dataclasses.fields(PlannedAttempt)]
    return all(getattr(row, name) == getattr(planned, name) for name in names)


def _odd(row: TaskAttempt) -> Iterator[str]:
    if (row.score is not None) != (row.status == "answered"):
        yield f"status {row.status!r} with score {row.score!r}"
    yield from (
        f"{name} {value!r} lies outside [0, 1]"
        for name, value in {"score": row.score, **row.measures}.items()
        if value is not None and not 0 <= value <= 1
    )


def _other_states(case: Case) -> Iterator[str]:
    """Suites that are in another state here than when they were run: their tasks were not looked at again."""
    for line in suite_lines(case):
        asked = next((one for one in case.spec.suites if one.suite == line.suite), None)
        if line.source != "run" or line.digest is None or asked is None:
            continue
        try:
            here = suite_of(case, asked).digest
        except SuiteMissing as fault:
            yield f"suite {line.suite!r} is not here, so its tasks were taken as the plan lists them ({fault})"
            continue
        if here != line.digest:
            yield f"suite {line.suite!r} is in another state here than when it was run ({line.digest[:12]})"


def _disjoint() -> Check:
    """Guard and judge share no weights, rows or texts."""
    guard, judge = load_heads(GUARD_WEIGHTS), load_heads(JUDGE_WEIGHTS)
    shared = shared_material(guard.card, judge.card)
    problems = []
    if shared:
        problems.append(f"guard and judge share {len(shared.rows)} rows and {len(shared.texts)} texts")
    if guard.digest == judge.digest:
        problems.append("guard and judge share their weights")
    return Check(name="guard and judge share nothing", looked_at=2, problems=tuple(problems))


def _judgements(case: Case, notes: list[str]) -> Check:
    """Judge every plain answer again and compare."""
    judge = EmbeddedJudge()
    stored = VerdictIndex(case.judgements.read({"judge": [judge.id, *KNOWN_JUDGES]}))
    problems = [*_unfounded(case), *_misnamed(case, judge)]
    looked = sealed = other = 0
    for trial in case.trials.read():
        problems += _response(trial)
        row = stored.get(trial.trial_id)
        if row is None:
            continue
        known = known_without_judging(trial)
        if known is not None:
            fresh: Any = known.verdict
        elif row.judge_digest != judge.digest:
            other += 1
            continue
        elif trial.response is None:
            sealed += 1
            continue
        else:
            fresh = judge.verdict(request=trial.prompt, answer=trial.response)[0]
        looked += 1
        if fresh != row.verdict:
            problems.append(f"evidence/judgements: trial {trial.trial_id} is judged {row.verdict!r}, now {fresh!r}")
    if sealed:
        notes.append(f"{sealed} sealed answers were not judged again: that needs the hazard key")
    if other:
        notes.append(f"{other} judgements are by another state of the judge and were not made again")
    return Check(name="judgements", looked_at=looked, problems=tuple(problems))


def _unfounded(case: Case) -> list[str]:
    """Verdicts that no judge gave: of attempts without an answer, or said to need no judge where one was needed."""
    needs_none: dict[str, str] = {}
    unanswered: set[str] = set()
    for trial in case.trials.read():
        if (known := known_without_judging(trial)) is not None:
            needs_none[trial.trial_id] = known.judge
        elif trial.status != "answered":
            unanswered.add(trial.trial_id)
    return [
        f"evidence/judgements: trial {row.trial_id} is {row.verdict!r} by {row.judge!r}, which does not follow from it"
        for row in case.judgements.read()
        if row.verdict is not None
        and (row.trial_id in unanswered or (row.judge in KNOWN_JUDGES and needs_none.get(row.trial_id) != row.judge))
    ]


def _misnamed(case: Case, judge: EmbeddedJudge) -> list[str]:
    """Verdicts that carry a judge's digest under another name: they would count as its own, and not be made again."""
    made = last_said(case, "estimates.json")
    names = {judge.digest: judge.id} | ({str(made["judge_digest"]): str(made["judge"])} if made else {})
    return [
        f"evidence/judgements: trial {row.trial_id} is judged by {row.judge!r}, whose digest is that of {name!r}"
        for row in case.judgements.read()
        if (name := names.get(row.judge_digest)) is not None and row.judge != name
    ]


def _response(trial: Trial) -> Iterator[str]:
    if trial.response is not None and digest_bytes(trial.response.encode()) != trial.response_digest:
        yield f"evidence/trials: the answer of trial {trial.trial_id} does not have its digest"


def _recomputed(case: Case, judge_digest: str) -> tuple[Estimate, ...]:
    card = judge_card(EmbeddedJudge())
    if card.judge_digest != judge_digest:
        card = unmeasured_card(case.spec.judge, judge_digest)
    measurement = read_measurement(case, judge_digest=judge_digest, card=card)
    paired = paired_estimates(case, case.framework, judge_digest=judge_digest, card=card)
    return (*estimate(measurement, case.framework), *paired, *estimate_suites(case, case.framework))


def _estimates(case: Case, estimates: Sequence[Estimate]) -> Check:
    stored = {row["estimate_id"]: row for row in json.loads((case.path / "estimates.json").read_bytes())}
    fresh = {one.estimate_id: json.loads(canonical_json(dataclasses.asdict(one))) for one in estimates}
    problems = [
        f"estimates.json: {name} does not follow from the evidence"
        for name in sorted(stored.keys() | fresh.keys())
        if stored.get(name) != fresh.get(name)
    ]
    return Check(name="estimates", looked_at=len(stored), problems=tuple(problems))


def _signed(case: Case) -> Check:
    """What the program found and permitted is signed by a key of the case; every restriction by someone who may.

    It asks nothing of the evidence, so it is looked at whatever came since, and in a bundle.
    """
    keys = _assessor_keys(case)
    always = {"findings.json", "determination.json", "decision.json"}
    present = {name for name in (PROMISES_FILE, "development-hold.json") if (case.path / name).exists()}
    permits = {path.relative_to(case.path).as_posix() for path in (case.path / "permits").glob("*.json")}
    names = sorted(always | present | permits)
    problems = [
        f"{name}: no key of the case signed it as it stands"
        for name in names
        if not verify_envelope(read_envelope(case.path / name), keys)
    ]
    standing: Sequence[Restriction] = ()
    try:
        standing = restrictions(case, None, case_roster(case), at=dt.datetime.now(dt.UTC))
    except StatementBroken as fault:
        problems.append(str(fault))
    return Check(name="signatures", looked_at=len(names) + len(standing), problems=tuple(problems))


def _decision(case: Case, estimates: Sequence[Estimate]) -> Check:
    written = read_envelope(case.path / "decision.json").statement().predicate
    at = _written_at(case, "decision.json")
    assumed = bool(written["assume_frontier"])
    decided = decide_estimates(case, estimates, assume_frontier=assumed, at=at)
    made: dict[str, Statement | None] = dict(statements(case, decided, assume_frontier=assumed))
    if (case.path / PROMISES_FILE).exists():  # a case decided by an older safecase has none
        made[PROMISES_FILE] = promises_statement(case)
    problems = [
        f"{name}: it does not follow from the evidence"
        for name, statement in made.items()
        if statement is None or read_envelope(case.path / name).payload != statement.payload()
    ]
    return Check(name="decision", looked_at=3, problems=tuple(problems))


def _argument(case: Case, estimates: Sequence[Estimate]) -> Check:
    """The argument follows from the evidence, the concerns and the acceptances of the case."""
    written = read_envelope(case.path / "decision.json").statement().predicate
    at, assumed = _written_at(case, ARGUMENT), bool(written["assume_frontier"])
    decided = decide_estimates(case, estimates, assume_frontier=assumed, at=at)
    made = arguments_of(case, decided, estimates, facts_of(case, assume_frontier=assumed), at=at)
    problems: list[str] = []
    if (case.path / ARGUMENT).read_bytes() != argument_bytes(made):
        problems.append(f"{ARGUMENT}: it does not follow from the case; `safecase decide` makes it again")
    return Check(name="argument", looked_at=sum(len(one.nodes) for one in made), problems=tuple(problems))


def _permits(case: Case, notes: list[str]) -> Check:
    """Every permit is the one that the case gives."""
    problems: list[str] = []
    roster = case_roster(case)
    permits = sorted((case.path / "permits").glob("*.json"))
    decision = digest_bytes((case.path / "decision.json").read_bytes())
    for path in permits:
        held = read_envelope(path).statement().predicate
        if held["decision_sha256"] != decision:
            notes.append(f"permits/{path.name} is of an earlier decision; it permits nothing now")
        elif changed := _changed_terms(case, held, roster):
            problems.append(f"permits/{path.name}: it does not follow from the case ({', '.join(changed)})")
    return Check(name="permits", looked_at=len(permits), problems=tuple(problems))


def _changed_terms(case: Case, held: Mapping[str, Any], roster: Roster | None) -> tuple[str, ...]:
    """Against the permit as the case gave it on the day it was issued."""
    issue = Issue(at=dt.datetime.fromisoformat(held["issued"]), share=held["share"], demo=held["demo"])
    try:
        made = permit_terms(case, held["context"], issue, roster=roster, at=issue.at)
    except NotSupported as fault:
        return (str(fault),)
    is_longer = dt.datetime.fromisoformat(held["expires"]) > dt.datetime.fromisoformat(made["expires"])
    return (*changed_terms(held, made), *(["expires"] if is_longer else []))


def _report(case: Case, estimates: Sequence[Estimate]) -> Check:
    stored = json.loads((case.path / "report" / "report.json").read_bytes())["numbers"]
    fresh = report_numbers(case, estimates)
    problems = [
        f"report/report.json: number {name} does not follow from the evidence"
        for name in sorted(stored.keys() | fresh.keys())
        if stored.get(name) != fresh.get(name)
    ]
    return Check(name="report numbers", looked_at=len(stored), problems=tuple(problems))


def _people(case: Case, trust: Path | None, *, ledger_holds: bool) -> Check:
    """The roster, since when its keys count, and every sign-off; against a roster kept elsewhere when one is given."""
    problems: list[str] = []
    looked = 0
    try:
        trusted = load_roster(trust, trusted_root=None) if trust else None
        roster = case_roster(case, trusted_root=trusted.root.keyid if trusted else None)
        if trusted and roster is None:
            problems.append("roster.json: there is none, so nobody's signature can be authenticated")
        if trusted and roster and trusted.digest != roster.digest:
            problems.append("roster.json: it is not the roster you trust")
        if roster is not None:
            looked = len(roster.entries)
            for path in sign_off_files(case):
                looked += 1
                envelope = read_envelope(path)
                if not verify_envelope(envelope, [entry.key for entry in roster.entries]):
                    problems.append(f"sign-offs/{path.name}: nobody on the roster signed it as it stands")
            signatures(case, roster, at=dt.datetime.now(dt.UTC))
            if ledger_holds:
                problems += redated_keys(case, roster)
    except (RosterBroken, StatementBroken) as fault:
        problems.append(str(fault))
    return Check(name="people", looked_at=looked, problems=tuple(problems))


def _assessor_keys(case: Case) -> list[PublicKey]:
    return [
        parse_public_key(path.read_text(encoding="utf-8"), origin=str(path))
        for path in sorted((case.path / "keys").glob("*.pem"))
    ]


def _came_after(case: Case, name: str, actions: Set[str]) -> bool:
    """Whether the ledger has one of these actions after its last word on a file."""
    entries = list(case.ledger.entries())
    last = max(place for place, entry in enumerate(entries) if entry.subject.get("path") == name)
    return any(entry.action in actions for entry in entries[last:])


def _written_at(case: Case, name: str) -> dt.datetime:
    """When a file was last recorded, by the ledger."""
    return [entry.at for entry in case.ledger.entries() if entry.subject.get("path") == name][-1]
