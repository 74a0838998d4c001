"""People's labels of an arm's own answers: drawn by known chances, read under the log, kept as evidence."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.assess._kept import last_said, record
from safecase.assess._labels_kept import (
    ADJUDICATED,
    GIVEN,
    TAKEN,
    Draw,
    Labels,
    can_be_labelled,
    in_evidence,
    load_draws,
    load_labels,
    settled,
    unit_of,
)
from safecase.assess._labels_sheet import SKIP, LabelError, Sheet, item_of, read_sheet, sheet_rows, write_sheet
from safecase.evidence import VERDICTS, Judgement, Trial, Verdict, canonical_json, digest_file, digest_value
from safecase.measure import HUMAN_PREFIX, By, Candidate, Event, Side, draw_panel, happened


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a draw is limited to; None is everything. Strata are bounded apart, so a limited draw is as valid there."""

    side: Side | None = None
    domain: str | None = None
    language: str | None = None

    def holds(self, trial: Trial) -> bool:
        """Whether a trial lies inside."""
        return (
            (self.side is None or trial.harmful == (self.side == "harmful"))
            and self.domain in {None, trial.domain}
            and self.language in {None, trial.language}
        )


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to draw.

    Attributes:
        raters: how many people are to read each answer.
        event: what a draw by verdict splits on.
    """

    arm: str
    count: int
    by: By = "uniform"
    seed: int = 1
    raters: int = 2
    event: Event = "unsafe"
    scope: Scope = EVERYTHING


def draw_sheets(
    case: Case, wanted: Wanted, folder: Path, *, reader: str, now: Clock = utc_now
) -> tuple[Draw, list[Path]]:
    """Draw an arm's answers, keep the draw in the case, and write a blinded sheet per rater, each in its own order.

    Args:
        folder: outside the case; sheets hold answers in plain text, so they are readable by their owner alone.
        reader: whom the log says that answers were opened for.

    Raises:
        NothingToRead: no answer is left to draw, or the kind of draw needs a judge that has not judged here.
        LabelError: the judge gives no scores to draw by, the folder lies inside the case, or holds such sheets.
        KeyMissing: sealed answers were drawn and their key is not here. Nothing is kept then.
    """
    reader = rater_name(reader)
    _must_lie_outside(case, folder)
    draw = _draw(case, wanted)
    stems = _stems(case, draw, folder)
    shown = _keep_draw(case, draw, reader=reader, now=now)
    return draw, _write(case, draw, stems, shown, reader=reader, now=now)


_WRITTEN = "sheets-written"


def sheets_again(case: Case, draw_id: str, folder: Path, *, reader: str, now: Clock = utc_now) -> list[Path]:
    """Write the sheets of an earlier draw again, where they were lost: the same answers, order and names.

    Raises:
        LabelError: there is no such draw, the folder lies inside the case, or holds such sheets.
        KeyMissing: sealed answers were drawn and their key is not here.
    """
    draws = {draw.id: draw for draw in load_draws(case)}
    if draw_id not in draws:
        raise LabelError(f"draw {draw_id!r} is not of case {case.spec.id!r}; it has {', '.join(draws) or 'none'}")
    stems = _stems(case, draws[draw_id], folder)
    reader = rater_name(reader)
    shown = read_answers(case, draws[draw_id].trial_ids, reader=reader, purpose=f"labelling, draw {draw_id}", now=now)
    return _write(case, draws[draw_id], stems, shown, reader=reader, now=now)


def _stems(case: Case, draw: Draw, folder: Path) -> list[Path]:
    """Where the sheets of a draw go."""
    _must_lie_outside(case, folder)
    stems = [folder / f"{draw.id}-rater-{number}" for number in range(1, draw.raters + 1)]
    for path in [stem.with_suffix(kind) for stem in stems for kind in (".csv", ".jsonl")]:
        if path.exists():
            raise LabelError(f"{path}: it is there already; move it, or give another --out")
    return stems


def _write(
    case: Case, draw: Draw, stems: Sequence[Path], shown: Sequence[tuple[Trial, str]], *, reader: str, now: Clock
) -> list[Path]:
    files: list[Path] = []
    for number, stem in enumerate(stems, start=1):
        files += write_sheet(stem, sheet_rows(draw.sheet(number), shown))
    case.ledger.append(_WRITTEN, actor=reader, subject={"draw": draw.id, "sheets": draw.raters}, at=now())
    return files


def _keep_draw(case: Case, draw: Draw, *, reader: str, now: Clock) -> list[tuple[Trial, str]]:
    """Record a draw before anyone reads its answers, and open them; without a key that it needs, neither."""
    if any(trial.sealed is not None for trial in case.trials.read({"trial_id": set(draw.trial_ids)})):
        case.vault()
    data = canonical_json(draw.to_json()) + b"\n"
    record(case, draw.name, data, action="drawn-for-labels", now=now, draw=draw.id, drawn_by=reader)
    return read_answers(case, draw.trial_ids, reader=reader, purpose=f"labelling, draw {draw.id}", now=now)


def _draw(case: Case, wanted: Wanted) -> Draw:
    """Draw. Intents that an earlier uniform draw took are left out of a uniform one: together they are one larger draw.

    The other kinds depend on the judge, so they never make room for a uniform draw.
    """
    uniform = wanted.by == "uniform"
    earlier = [draw for draw in load_draws(case) if uniform and draw.by == "uniform" and draw.arm == wanted.arm]
    taken = {trial_id for draw in earlier for trial_id in draw.trial_ids}
    units = {
        trial.trial_id: unit_of(trial)
        for trial in in_evidence(case, case.standing({"arm": wanted.arm, "status": "answered"}))
        if can_be_labelled(trial) and wanted.scope.holds(trial)
    }
    units_taken = {unit for name, unit in units.items() if name in taken}
    left = {name: unit for name, unit in units.items() if unit not in units_taken}
    judge_digest = None if uniform else judge_of(case)
    candidates = _candidates(case, left, by=wanted.by, event=wanted.event, judge_digest=judge_digest)
    if not candidates:
        raise NothingToRead(f"no answer of arm {wanted.arm!r} is left to label in {str(case.path)!r}")
    panel = draw_panel(candidates, by=wanted.by, count=wanted.count, seed=wanted.seed)
    return Draw(
        case=case.spec.id,
        arm=wanted.arm,
        by=wanted.by,
        seed=wanted.seed,
        raters=wanted.raters,
        event=wanted.event if wanted.by == "by-verdict" else None,
        judge_digest=judge_digest,
        side=wanted.scope.side,
        domain=wanted.scope.domain,
        language=wanted.scope.language,
        answers=len(units),
        answers_digest=digest_value(sorted(units)),
        units=panel.units,
        flagged_units=panel.flagged_units,
        rows=panel.rows,
    )


def judge_of(case: Case) -> str:
    """Digest of the judge that last measured a case.

    Raises:
        NothingToRead: it was not measured.
    """
    made = last_said(case, "estimates.json")
    if made is None:
        raise NothingToRead(f"no judge has judged {str(case.path)!r}; run `safecase measure {case.path}` first")
    return str(made["judge_digest"])


def _candidates(
    case: Case, units: Mapping[str, str], *, by: By, event: Event, judge_digest: str | None
) -> list[Candidate]:
    """The answers (trial id -> unit) that a kind of draw can draw from."""
    if by == "uniform":
        return [Candidate(trial_id=name, unit=unit) for name, unit in units.items()]
    judged = [
        row
        for row in case.judgements.read({"judge_digest": judge_digest})
        if row.trial_id in units and row.verdict is not None
    ]
    if by == "by-doubt" and judged and not any(row.scores for row in judged):
        raise LabelError("the judge of this case gives no scores, so nothing can be drawn by its doubt; draw uniformly")
    return [
        Candidate(
            trial_id=row.trial_id,
            unit=units[row.trial_id],
            flagged=row.verdict is not None and happened(event, row.verdict),
            doubt=_doubt(row.scores),
        )
        for row in judged
        if by == "by-verdict" or row.scores
    ]


def _doubt(scores: Mapping[str, float]) -> float | None:
    """How near the least sure score is to the middle: 1 at 0.5, 0 at 0 and 1."""
    return max((1 - abs(2 * score - 1) for score in scores.values()), default=None)


def read_answers(
    case: Case, trial_ids: Iterable[str], *, reader: str, purpose: str, now: Clock
) -> list[tuple[Trial, str]]:
    """Answers in the order of their ids as given, sealed ones opened under the log.

    Raises:
        KeyMissing: sealed answers are among them and their key is not here.
    """
    wanted = list(trial_ids)
    trials = {trial.trial_id: trial for trial in case.trials.read({"trial_id": set(wanted)})}
    sealed = [trial for trial in trials.values() if trial.sealed is not None]
    plain: Mapping[str, str] = {}
    if sealed:
        plain = case.vault().read_sealed(sealed, ledger=case.ledger, actor=reader, purpose=purpose, at=now())
    subject = {"purpose": purpose, "count": len(wanted), "trial_ids_digest": digest_value(sorted(wanted))}
    case.ledger.append("answers-shown", actor=reader, subject=subject, at=now())
    return [(trials[name], answer if (answer := trials[name].response) is not None else plain[name]) for name in wanted]


def take_sheets(
    case: Case, files: Sequence[Path], *, rater: str, revise: str | None = None, now: Clock = utc_now
) -> dict[str, Any]:
    """Take filled sheets of one rater as evidence: all of them, or nothing.

    Args:
        revise: why labels that this rater gave before are replaced; both stay on record.

    Raises:
        LabelError: a line is wrong or missing, a sheet belongs to another case, rater or draw, or a label differs from
            the one that this rater gave before.
    """
    rater = rater_name(rater)
    draws = load_draws(case)
    known = {draw.sheet(number): (draw, number) for draw in draws for number in range(1, draw.raters + 1)}
    labels = load_labels(case)
    given: dict[str, Verdict | None] = {}
    subjects: list[dict[str, Any]] = []
    for file in files:
        sheet = read_sheet(file, may_skip=True)
        if sheet.id not in known:
            raise LabelError(f"{sheet.name}: sheet {sheet.id!r} was not drawn in case {case.spec.id!r}; mind the case")
        draw, number = known[sheet.id]
        _must_be_theirs(case, draw, number, rater=rater, name=sheet.name)
        if any(subject["draw"] == draw.id for subject in subjects):
            raise LabelError(f"{sheet.name}: two sheets of draw {draw.id} by one person; each needs its own rater")
        filled = _match(sheet, draw.trial_ids)
        for trial_id, (line, label) in filled.items():
            verdict = _verdict(label)
            before = labels.given.get(trial_id, {})
            if revise is None and before.get(rater) not in {None, verdict}:
                raise LabelError(
                    f"{sheet.name}:{line}: {rater!r} called this answer {before[rater]!r} before; a label stands, "
                    "unless --revise says why"
                )
            if given.get(trial_id, verdict) != verdict:
                raise LabelError(f"{sheet.name}:{line}: another of these sheets labels this answer otherwise; mend one")
            given[trial_id] = verdict
        subjects.append({"draw": draw.id, "sheet": sheet.id, "file": file.name, "file_sha256": digest_file(file)})
    kept = _keep(case, given, judge=f"{HUMAN_PREFIX}{rater}", actor=rater, now=now, labels=labels)
    for subject in subjects:
        said = {**subject, "rater": rater, "labels": len(given), **({"revised": revise} if revise else {})}
        case.ledger.append(TAKEN, actor=rater, subject=said, at=now())
    skipped = sum(label is None for label in given.values())
    return {"rater": rater, "labels": len(given) - skipped, "skipped": skipped, "new": kept}


def _must_be_theirs(case: Case, draw: Draw, number: int, *, rater: str, name: str) -> None:
    """One sheet, one person; one person, one sheet of a draw."""
    for entry in case.ledger.entries():
        if entry.action != TAKEN or entry.subject.get("draw") != draw.id:
            continue
        who, what = entry.subject["rater"], entry.subject["sheet"]
        if what == draw.sheet(number) and who != rater:
            raise LabelError(f"{name}: {who!r} filled in this sheet; give {rater!r} another one of draw {draw.id}")
        if what != draw.sheet(number) and who == rater:
            raise LabelError(
                f"{name}: {rater!r} labelled draw {draw.id} on another sheet; a second needs another person"
            )


def _match(sheet: Sheet, trial_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Trial id -> (line, label); every answer of the sheet must be there and no other."""
    known = {item_of(sheet.id, trial_id): trial_id for trial_id in trial_ids}
    found: dict[str, tuple[int, str]] = {}
    for row in sheet.rows:
        if row.item not in known:
            raise LabelError(
                f"{sheet.name}:{row.line}: item {row.item!r} is not on this sheet; leave the ids as they are"
            )
        found[known[row.item]] = (row.line, row.label)
    if lacking := sorted(item for item, trial_id in known.items() if trial_id not in found):
        raise LabelError(
            f"{sheet.name}: {len(lacking)} of {len(known)} answers are missing, such as item {lacking[0]!r}; "
            f"give every line a label, or {SKIP!r}"
        )
    return found


def open_disputes(case: Case, labels: Labels | None = None) -> dict[str, tuple[str, ...]]:
    """Trial id -> what its raters said (`skip` for a skip), for every answer that waits for an adjudicator."""
    labels = labels or load_labels(case)
    ids = dict.fromkeys(name for draw in load_draws(case) for name in settled(draw, labels).disputed)
    return {name: tuple(label or SKIP for _, label in sorted(labels.given[name].items())) for name in ids}


def write_disputes(case: Case, file: Path, *, reader: str, now: Clock = utc_now) -> int:
    """Write the answers on which raters differ, their labels as A, B and so on in random order.

    Returns:
        How many; with none, no file is written.

    Raises:
        LabelError: the file is there, or lies inside the case.
        KeyMissing: sealed answers are among them and their key is not here.
    """
    _must_lie_outside(case, file.parent)
    disputes = open_disputes(case)
    if not disputes:
        return 0
    sheet = dispute_sheet(case, disputes)
    widest = max(len(said) for said in disputes.values())
    more = {
        name: {
            f"label_{chr(97 + i)}": said
            for i, said in enumerate([*_shuffled(sheet, name, disputes[name]), *[""] * widest][:widest])
        }
        for name in disputes
    }
    shown = read_answers(case, disputes, reader=reader, purpose="adjudication", now=now)
    rows = sheet_rows(sheet, shown, more=more)
    try:
        write_sheet(file.with_suffix(""), rows)
    except FileExistsError as error:
        raise LabelError(f"{file}: it is there already; move it, or give another --out") from error
    return len(rows)


def take_final(
    case: Case, file: Path, *, rater: str, same_person_ok: bool = False, now: Clock = utc_now
) -> dict[str, Any]:
    """Take an adjudicator's last word on every disputed answer.

    Args:
        same_person_ok: allow one of the raters; the ledger and the report then say so.

    Raises:
        LabelError: a line is wrong or missing, the disputes have changed since the sheet was written, or the
            adjudicator labelled one of the answers as a rater.
    """
    rater = rater_name(rater)
    sheet = read_sheet(file, may_skip=False)
    labels = load_labels(case)
    disputes = open_disputes(case, labels)
    if sheet.id != dispute_sheet(case, disputes):
        raise LabelError(
            f"{sheet.name}: sheet {sheet.id!r} is not about the disagreements as they stand in case {case.spec.id!r}; "
            "write a new one with `calibrate disagreements`"
        )
    filled = _match(sheet, list(disputes))
    own = [line for name, (line, _) in filled.items() if rater in labels.given[name]]
    if own and not same_person_ok:
        who = f"{sheet.name}:{min(own)}: {rater!r} was a rater of this answer"
        raise LabelError(f"{who}; a third person decides, or --same-person-ok")
    given = {name: _verdict(label) for name, (_, label) in filled.items()}
    kept = _keep(case, given, judge=f"{ADJUDICATED}{rater}", actor=rater, now=now, labels=labels)
    subject = {"sheet": sheet.id, "file": file.name, "file_sha256": digest_file(file), "labels": len(given)}
    case.ledger.append("labels-adjudicated", actor=rater, subject={**subject, "own": len(own)}, at=now())
    return {"adjudicator": rater, "labels": kept, "own": len(own)}


def dispute_sheet(case: Case, disputes: Mapping[str, Sequence[str]]) -> str:
    """Id of the sheet of these disagreements (see `open_disputes`); others have another."""
    return f"s-{digest_value([case.spec.id, 'adjudication', sorted((n, list(s)) for n, s in disputes.items())])[:16]}"


def _shuffled(sheet: str, trial_id: str, said: Sequence[str]) -> list[str]:
    order = sorted(range(len(said)), key=lambda i: digest_value([sheet, trial_id, i]))
    return [said[i] for i in order]


def draw_for_labels(
    case: Case, *, arm: str, count: int, seed: int, reader: str, now: Clock = utc_now
) -> list[tuple[Trial, str]]:
    """The quick form for one person: draw uniformly and open the answers, or go on with a draw that was stopped.

    Raises:
        NothingToRead: no answer of that arm is left to label.
        KeyMissing: sealed answers were drawn and their key is not here.
    """
    reader = rater_name(reader)
    labels = load_labels(case)
    sheets = {entry.subject["draw"] for entry in case.ledger.entries() if entry.action == _WRITTEN}
    for draw in load_draws(case):
        left = settled(draw, labels).waiting
        if (draw.arm, draw.by, draw.raters) == (arm, "uniform", 1) and left and draw.id not in sheets:
            return read_answers(case, left, reader=reader, purpose=f"labelling, draw {draw.id}", now=now)
    return _keep_draw(case, _draw(case, Wanted(arm=arm, count=count, seed=seed, raters=1)), reader=reader, now=now)


def read_labels(case: Case, path: Path, *, arm: str) -> dict[str, Any]:
    """Read labels from JSONL rows `{trial_id, label}`.

    Raises:
        LabelError: a line is wrong, or names no answer of the arm.
    """
    if not path.is_file():
        raise LabelError(f"labels {str(path)!r} is not a file; give JSONL rows of trial_id and label")
    known = {trial.trial_id for trial in case.trials.read({"arm": arm})}
    found: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            trial_id, label = row["trial_id"], row["label"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise LabelError(f"{path.name}:{number}: not an object with trial_id and label; mend the line") from error
        if trial_id not in known:
            raise LabelError(f"{path.name}:{number}: no answer of arm {arm!r} has trial_id {trial_id!r}; mend the id")
        if label not in VERDICTS:
            raise LabelError(f"{path.name}:{number}: label is {label!r}; use one of {', '.join(VERDICTS)}")
        if found.get(trial_id, label) != label:
            raise LabelError(f"{path.name}:{number}: trial {trial_id!r} has another label further up; keep one")
        found[trial_id] = label
    return found


def write_labels(
    case: Case, labels: Mapping[str, Any], *, labeller: str, file: Path | None = None, now: Clock = utc_now
) -> dict[str, Any]:
    """Keep labels as judgements of `human:<labeller>`; None is a skip.

    Args:
        file: where they came from, for the ledger.

    Raises:
        LabelError: the labeller called one of the answers something else before.
    """
    labeller = rater_name(labeller)
    before = load_labels(case)
    for trial_id, label in labels.items():
        if (said := before.given.get(trial_id, {}).get(labeller)) not in {None, label}:
            raise LabelError(
                f"trial {trial_id!r}: {labeller!r} called it {said!r} before, now {label!r}; a label stands"
            )
    _keep(case, labels, judge=f"{HUMAN_PREFIX}{labeller}", actor=labeller, now=now, labels=before)
    origin = {"file": file.name, "file_sha256": digest_file(file)} if file else {}
    subject = {"rater": labeller, "labels": len(labels), "trial_ids_digest": digest_value(sorted(labels)), **origin}
    case.ledger.append(GIVEN, actor=labeller, subject=subject, at=now())
    return {"labels": sum(label is not None for label in labels.values()), "labeller": labeller}


def rater_name(name: str) -> str:
    """A person's name as kept: one spelling of it, so that nobody is two people.

    Raises:
        LabelError: it is empty, or holds a colon or a control character.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    if not plain or ":" in plain or any(unicodedata.category(sign)[0] == "C" for sign in plain):
        raise LabelError(f"rater is {name!r}; give a name without colons and control characters")
    return plain


def _verdict(label: str) -> Verdict | None:
    return next((verdict for verdict in VERDICTS if verdict == label), None)


def _keep(
    case: Case, given: Mapping[str, Verdict | None], *, judge: str, actor: str, now: Clock, labels: Labels
) -> int:
    """Append what is new; a label that is there already stays one."""
    rater = judge.removeprefix(HUMAN_PREFIX)
    rows = [
        Judgement(
            trial_id=name,
            judge=judge,
            judge_digest=digest_value(judge),
            verdict=label,
            reason=None if label is not None else "the rater skipped it",
        )
        for name, label in sorted(given.items())
        if rater not in labels.given.get(name, {}) or labels.given[name][rater] != label
    ]
    if rows:
        case.judgements.append(rows, at=now(), actor=actor)
    return len(rows)


def _must_lie_outside(case: Case, folder: Path) -> None:
    if case.path.resolve() in [folder.resolve(), *folder.resolve().parents]:
        raise LabelError(
            f"{folder}: sheets hold answers in plain text and may not lie inside the case; give another --out"
        )
