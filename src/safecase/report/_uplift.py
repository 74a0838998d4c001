"""Studies of people in the report: what was declared beforehand, who counts, and whether blinding held."""

from collections.abc import Iterator
from typing import Any

from safecase.report._input import ReportInput, StudyLine
from safecase.report._numbers import Tracer


def studies(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """One entry per declared study, with the sentences that stand under it."""
    return [
        {
            "title": line.study.title,
            "says": [
                tracer.quote(sentence, file=f"evidence/uplift/{line.study.id}", pointer=f"/{place}")
                for place, sentence in enumerate((*_declared(line), *_taken(line)))
            ],
        }
        for line in given.studies
    ]


def _declared(line: StudyLine) -> Iterator[str]:
    study = line.study
    yield f"Control: {study.control}. Treatment: {study.treatment}. Participants: {study.participants}."
    yield (
        f"Declared beforehand: {study.per_arm} people in each arm, allocated in blocks by seed {study.seed}; outcome: "
        f"{study.outcome.what}; smallest uplift of concern {study.effect:g} on a scale from "
        f"{study.outcome.lowest:g} to {study.outcome.highest:g}; graded by: {study.grading}; "
        f"registered: {study.registration}."
    )


def _taken(line: StudyLine) -> Iterator[str]:
    if line.counted is None or line.blinding is None:
        yield "Results were not taken yet."
        return
    yield (
        f"{line.counted} people have a result that counts. {line.absent} have none, {line.excluded} of them left out "
        "for a declared reason; each stands at the worst for either bound."
    )
    blind = line.blinding
    held = "Blinding held" if blind.holds else "Blinding was not shown to hold, so the study can pass no gate"
    yield f"{held}: graders named the arm {blind.guesses} times, {blind.correct} times rightly."
