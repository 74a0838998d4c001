"""People's labels of an arm's own answers: drawn at random, read under the log, kept as evidence."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safecase.assess._case import Case, Clock, NothingToRead, utc_now
from safecase.evidence import VERDICTS, Judgement, Trial, digest_bytes, digest_value
from safecase.measure import HUMAN_PREFIX


class LabelError(Exception):
    """Labels cannot be taken; the message names file and line, and none of the file were kept."""


def draw_for_labels(
    case: Case, *, arm: str, count: int, seed: int, reader: str, now: Clock = utc_now
) -> list[tuple[Trial, str]]:
    """Draw an arm's answers at random, without those labelled already, and open sealed ones under the log.

    Raises:
        NothingToRead: no answer of that arm is left to label.
    """
    labelled = {row.trial_id for row in case.judgements.read() if row.judge.startswith(HUMAN_PREFIX)}
    fit = [
        trial
        for trial in case.trials.read({"arm": arm, "status": "answered"})
        if trial.trial_id not in labelled and trial.label is None and trial.withheld_by is None
    ]
    fit.sort(key=lambda trial: digest_bytes(f"{seed}/{trial.trial_id}".encode()))
    drawn = fit[:count]
    if not drawn:
        raise NothingToRead(f"no answer of arm {arm!r} is left to label in {str(case.path)!r}")
    sealed = [trial for trial in drawn if trial.sealed is not None]
    plain: Mapping[str, str] = {}
    if sealed:
        plain = case.vault().read_sealed(sealed, ledger=case.ledger, actor=reader, purpose="labelling", at=now())
    subject = {"arm": arm, "count": len(drawn), "trial_ids_digest": digest_value(sorted(t.trial_id for t in drawn))}
    case.ledger.append("answers-shown", actor=reader, subject=subject, at=now())
    return [(trial, trial.response if trial.response is not None else plain[trial.trial_id]) for trial in drawn]


def read_labels(case: Case, path: Path, *, arm: str) -> dict[str, Any]:
    """Read labels from JSONL rows `{trial_id, label}`.

    Raises:
        LabelError: a line is wrong, or names no answer of the arm.
    """
    if not path.is_file():
        raise LabelError(f"labels {str(path)!r} is not a file; give JSONL rows of trial_id and label")
    known = {trial.trial_id for trial in case.trials.read({"arm": arm})}
    found: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
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
        found[trial_id] = label
    return found


def write_labels(case: Case, labels: Mapping[str, Any], *, labeller: str, now: Clock = utc_now) -> dict[str, Any]:
    """Keep labels as judgements of `human:<labeller>`."""
    judge = f"{HUMAN_PREFIX}{labeller}"
    rows = [
        Judgement(trial_id=trial_id, judge=judge, judge_digest=digest_value(judge), verdict=label)
        for trial_id, label in sorted(labels.items())
    ]
    if rows:
        case.judgements.append(rows, at=now(), actor=labeller)
    return {"labels": len(rows), "labeller": labeller}
