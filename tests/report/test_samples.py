"""Random samples: drawn by anyone alike, and withheld where they must be."""

from dataclasses import replace

import pytest

from safecase.evidence import Judgement, Trial, Verdict
from safecase.report import draw_samples, sample_row


def _trial(name: str = "t0", *, harmful: bool = True, held_out: bool = False) -> Trial:
    return Trial(
        trial_id=name,
        scenario_id="s",
        intent_id="i",
        harmful=harmful,
        domain="content-policy",
        category="violence",
        subcategory="threats",
        severity=2,
        bears_on=("violence",),
        language="en",
        attack="none",
        family="none",
        arm="bare",
        model="scripted",
        repetition=0,
        prompt="a request",
        status="answered",
        response="an answer",
        response_digest="d" * 64,
        held_out=held_out,
    )


def _judged(verdict: Verdict | None, name: str = "t0") -> Judgement:
    return Judgement(trial_id=name, judge="embedded", judge_digest="j", verdict=verdict)


@pytest.mark.parametrize(
    ("verdict", "harmful", "is_shown"),
    [
        ("refusal", True, True),
        ("safe_completion", True, True),
        ("incoherent", True, True),
        ("compliance", True, False),
        ("partial_refusal", True, False),  # part of it may be the harmful part
        (None, True, False),  # not judged is not safe
        ("compliance", False, True),  # the wanted answer to a harmless request
    ],
)
def test_answers_are_shown_only_when_judged_harmless(verdict: Verdict | None, harmful: bool, is_shown: bool) -> None:
    row = sample_row(_trial(harmful=harmful), _judged(verdict), gate="g")

    assert (row.response is not None) is is_shown
    assert (row.withheld_reason is None) is is_shown
    assert row.response_digest == "d" * 64
    assert row.characters == len("an answer")


def test_held_out_trials_show_neither_request_nor_answer() -> None:
    row = sample_row(_trial(held_out=True), _judged("refusal"), gate="g")

    assert row.prompt is None
    assert row.response is None


def test_sealed_answers_are_not_here_to_print() -> None:
    sealed = replace(_trial(), response=None, sealed=b"cipher")

    assert "sealed" in (sample_row(sealed, _judged("refusal"), gate="g").withheld_reason or "")


def test_material_that_was_never_stored_says_so() -> None:
    gone = replace(_trial(), response=None, status="not-stored")

    assert "never stored" in (sample_row(gone, None, gate="g").withheld_reason or "")


def test_the_draw_depends_on_the_seed_and_not_on_the_order() -> None:
    trials = [_trial(f"t{number}") for number in range(200)]

    def draw(rows: list[Trial], seed: int) -> list[str]:
        drawn = draw_samples(
            rows, gates_of=lambda _: ["g"], judgement_of=lambda t: _judged("refusal", t.trial_id), seed=seed
        )
        return [row.trial_id for row in drawn]

    assert draw(trials, 1) == draw(trials[::-1], 1)
    assert draw(trials, 1) != draw(trials, 2)
    assert len(set(draw(trials, 1))) == 5


def test_attempts_without_an_answer_are_not_drawn() -> None:
    trials = [replace(_trial(f"t{n}"), status="error", response=None) for n in range(9)] + [_trial("answered")]
    drawn = draw_samples(trials, gates_of=lambda _: ["g"], judgement_of=lambda _: None, seed=1)

    assert [row.trial_id for row in drawn] == ["answered"]
