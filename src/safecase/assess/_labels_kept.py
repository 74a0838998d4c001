"""What a case holds of people's labels: draws, what raters said, and which labels a verdict may rest on."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safecase.assess._case import Case
from safecase.assess._labels_sheet import LabelError
from safecase.assess._slots import is_counted_import
from safecase.evidence import Judgement, Trial, Verdict, digest_file, digest_value
from safecase.measure import (
    HUMAN_PREFIX,
    By,
    Drawn,
    Event,
    Settled,
    Side,
    one_per_unit,
    settle,
)

DRAWS = "labels"
"""Folder of the case that holds its draws."""

ADJUDICATED = f"{HUMAN_PREFIX}adjudicated:"
"""Begins the judge of an adjudicator's label; no rater's name holds a colon."""

TAKEN = "labels-taken"
"""Ledger action that names a rater, the sheet and the file that labels came from."""

GIVEN = "labels-given"
"""Ledger action for labels that came without a sheet."""

_CENSUS_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A draw of answers for people to label, as kept in the case.

    Attributes:
        case: id of the case.
        raters: how many people are to read each answer.
        event: what a draw by verdict was stratified by, None for the others.
        judge_digest: whose verdicts or scores it used, None for a uniform one.
        side, domain, language: what it was limited to; None is everything.
        answers: how many answers there were to draw from, and `answers_digest` over their sorted ids.
        units, flagged_units: as in `measure.Panel`.
    """

    case: str
    arm: str
    by: By
    seed: int
    raters: int
    event: Event | None
    judge_digest: str | None
    side: Side | None
    domain: str | None
    language: str | None
    answers: int
    answers_digest: str
    units: int
    flagged_units: int | None
    rows: tuple[Drawn, ...]

    @property
    def id(self) -> str:
        """Digest of all of it: 12 hex digits."""
        return digest_value(self.to_json())[:12]

    @property
    def name(self) -> str:
        """Path inside the case."""
        return f"{DRAWS}/draw-{self.id}.json"

    @property
    def trial_ids(self) -> tuple[str, ...]:
        """The drawn answers."""
        return tuple(row.trial_id for row in self.rows)

    def sheet(self, number: int) -> str:
        """Id of one rater's sheet; it begins with a letter, since spreadsheets turn some hex digits into numbers."""
        return f"s-{digest_value([self.id, number])[:16]}"

    def to_json(self) -> dict[str, Any]:
        """As kept."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What people said of a case's answers.

    Attributes:
        given: trial id -> rater -> label (None: skipped), the last of each rater.
        final: trial id -> an adjudicator's label.
    """

    given: Mapping[str, Mapping[str, Verdict | None]]
    final: Mapping[str, Verdict]


def unit_of(trial: Trial) -> str:
    """The intent and side that a trial stands for in a draw."""
    return f"{trial.intent_id}/{'harmful' if trial.harmful else 'benign'}"


def can_be_labelled(trial: Trial) -> bool:
    """Whether a judge is needed for a trial, so that a label tells how good the judge is."""
    return trial.status == "answered" and trial.label is None and trial.withheld_by is None


def in_evidence(case: Case, trials: Iterable[Trial]) -> Iterator[Trial]:
    """The trials that estimates are made of: those of the plan, and imports into arms that it lacks."""
    plan = case.plan
    planned = {trial.trial_id for trial in case.planned(plan)} if plan else frozenset[str]()
    return (trial for trial in trials if trial.trial_id in planned or is_counted_import(trial, plan))


def load_draws(case: Case) -> tuple[Draw, ...]:
    """The draws that the ledger names, oldest first.

    Raises:
        LabelError: the file of a draw is missing or changed; a draw cut down to what is labelled would look complete.
    """
    if not case.ledger.path.exists():
        return ()
    named = {
        str(entry.subject["path"]): str(entry.subject["sha256"])
        for entry in case.ledger.entries()
        if entry.action == "drawn-for-labels"
    }
    return tuple(_draw(case.path / name, sha256=sha256) for name, sha256 in named.items())


def _draw(path: Path, *, sha256: str) -> Draw:
    if not path.is_file() or digest_file(path) != sha256:
        raise LabelError(f"{path}: the draw is missing or was changed; restore it from a copy of the case")
    data: dict[str, Any] = json.loads(path.read_bytes())
    return Draw(**{**data, "rows": tuple(Drawn(**row) for row in data["rows"])})


def load_labels(case: Case) -> Labels:
    """Every label that people gave."""
    return _labels(row for row in case.judgements.read() if row.judge.startswith(HUMAN_PREFIX))


def _labels(rows: Iterable[Judgement]) -> Labels:
    given: dict[str, dict[str, Verdict | None]] = defaultdict(dict)
    final: dict[str, Verdict] = {}
    for row in rows:
        if not row.judge.startswith(ADJUDICATED):
            given[row.trial_id][row.judge.removeprefix(HUMAN_PREFIX)] = row.verdict
        elif row.verdict is not None:
            final[row.trial_id] = row.verdict
    return Labels(given=given, final=final)


def settled(draw: Draw, labels: Labels) -> Settled:
    """What the labels of one draw come to."""
    return settle(draw.trial_ids, raters=draw.raters, given=labels.given, final=labels.final)


def labels_digest(case: Case) -> str:
    """Digest of the labels in force. A draw can bring labels into force without a new judgement, so what was made from
    them names this beside the evidence."""
    return digest_value(sorted(labels_in_force(case, load_labels(case)).items()))


def with_settled_labels(case: Case, judgements: Iterable[Judgement]) -> Iterator[Judgement]:
    """The same judgements, people's labels cut down to those that a verdict may rest on, one per trial."""
    people: list[Judgement] = []
    for row in judgements:
        if row.judge.startswith(HUMAN_PREFIX):
            people.append(row)
        else:
            yield row
    for trial_id, label in sorted(labels_in_force(case, _labels(people)).items()):
        judge = f"{HUMAN_PREFIX}settled"
        yield Judgement(trial_id=trial_id, judge=judge, judge_digest=digest_value(judge), verdict=label)


def outgrown_draws(case: Case) -> dict[str, tuple[str, int]]:
    """Uniform draw -> its arm, and how many answers it would have drawn from that came after it."""
    draws = [draw for draw in load_draws(case) if draw.by == "uniform"]
    if not draws:
        return {}
    now: Counter[str] = Counter()
    for trial in in_evidence(case, case.trials.read({"status": "answered"})):
        if can_be_labelled(trial):
            side = "harmful" if trial.harmful else "benign"
            now.update(
                draw.id
                for draw in draws
                if draw.arm == trial.arm
                and draw.side in {None, side}
                and draw.domain in {None, trial.domain}
                and draw.language in {None, trial.language}
            )
    return {draw.id: (draw.arm, now[draw.id] - draw.answers) for draw in draws if now[draw.id] > draw.answers}


def labels_in_force(case: Case, labels: Labels) -> dict[str, Verdict]:
    """The labels by which a judge is calibrated on an arm: of complete uniform draws, in order, or of a census.

    A draw that was begun and left would let people choose among draws, so it holds back those of its arm after it.

    Labels outside every draw were picked by somebody, and who picks, picks what is easy. They count where nothing was
    left to pick: where every answer of the arm that needs a judge has one. Of a unit, one answer counts then.
    """
    if not labels.given:
        return {}
    census = _census(case, labels)
    found = {name: label for arm in census.values() for name, label in arm.items()}
    held: set[str] = set(census)
    for draw in load_draws(case):
        if draw.by != "uniform" or draw.arm in held:
            continue
        outcome = settled(draw, labels)
        if outcome.is_complete:
            found.update(outcome.labels)
        else:
            held.add(draw.arm)
    return found


def _census(case: Case, labels: Labels) -> dict[str, dict[str, Verdict]]:
    """By arm that is labelled whole, raters agreeing: one label per unit. Looked for where labels came sheetless."""
    if not any(entry.action == GIVEN for entry in case.ledger.entries()):
        return {}
    by_arm: dict[str, dict[str, str]] = defaultdict(dict)
    for trial in in_evidence(case, case.standing({"status": "answered"})):
        if can_be_labelled(trial):
            by_arm[trial.arm][trial.trial_id] = unit_of(trial)
    found: dict[str, dict[str, Verdict]] = {}
    for arm, units in by_arm.items():
        outcome = settle(units, raters=1, given=labels.given, final=labels.final)
        if outcome.is_complete:
            found[arm] = {name: outcome.labels[name] for name in one_per_unit(units, seed=_CENSUS_SEED)}
    return found
