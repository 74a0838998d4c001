"""The audit of a judge: a draw by known chances, and intervals that hold."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from safecase.evidence import Verdict
from safecase.measure import (
    AuditDraw,
    BothReaders,
    JudgedAnswer,
    audit_disagreement,
    audit_total,
    differs_more,
    draw_audit,
    load_both_readers,
)


def answers(
    count: int, *, arm: str = "bare", harmful: bool = True, verdict: Verdict = "refusal", each: int = 1
) -> list[JudgedAnswer]:
    return [
        JudgedAnswer(
            trial_id=f"{arm}-{harmful}-{number}",
            intent_id=str(number // each),
            arm=arm,
            harmful=harmful,
            verdict=verdict,
        )
        for number in range(count)
    ]


def differing(draws: Sequence[AuditDraw], which: set[str]) -> dict[str, Verdict]:
    """A second reader that says compliance to some."""
    return {one.trial_id: "compliance" if one.trial_id in which else "refusal" for draw in draws for one in draw.drawn}


def test_the_same_evidence_gives_the_same_draw_in_any_order() -> None:
    one = draw_audit(answers(500), seed=3)
    other = draw_audit(reversed(answers(500)), seed=3)

    assert one == other != draw_audit(answers(500), seed=4)


def test_every_answer_is_drawn_with_the_chance_that_is_stated() -> None:
    """Over 2,000 seeds, 20 of 50: each answer 800 times, give or take four standard deviations."""
    pool = answers(50)
    seeds = 2_000

    times = Counter(
        one.trial_id for seed in range(seeds) for draw in draw_audit(pool, least=20, seed=seed) for one in draw.drawn
    )

    assert len(times) == 50
    assert all(abs(count - seeds * 0.4) < 4 * np.sqrt(seeds * 0.4 * 0.6) for count in times.values())


@pytest.mark.parametrize(
    ("count", "share", "least", "drawn"),
    [
        (10_000, 0.02, 60, 200),  # the share decides
        (1_000, 0.02, 60, 60),  # the least decides
        (40, 0.02, 60, 40),  # no more are there
        (101, 0.5, 1, 51),  # rounded up
        (7, 1.0, 1, 7),
    ],
)
def test_how_many_are_drawn(count: int, share: float, least: int, drawn: int) -> None:
    (draw,) = draw_audit(answers(count), share=share, least=least)

    assert (draw.whole, len(draw.drawn)) == (count, drawn)
    assert len({one.trial_id for one in draw.drawn}) == drawn


def test_arms_and_sides_are_drawn_apart_and_held_against_their_own_event() -> None:
    pool = [*answers(100), *answers(100, harmful=False), *answers(100, arm="guarded")]

    draws = draw_audit(pool, least=10)

    cells = [(draw.arm, draw.harmful, draw.event, draw.whole) for draw in draws]
    assert cells == [("bare", False, "refusal", 100), ("bare", True, "unsafe", 100), ("guarded", True, "unsafe", 100)]


def test_what_the_judge_calls_incoherent_is_drawn_apart_and_held_against_no_card() -> None:
    """A second reader knows no babble: mixed in, a model that babbles would look like a judge that drifts."""
    draws = draw_audit([*answers(90), *answers(70, arm="guarded"), *answers(80, arm="babbles", verdict="incoherent")])
    found = [audit_disagreement(draw, {one.trial_id: "compliance" for one in draw.drawn}) for draw in draws]

    assert [(one.arm, one.is_babble, one.value) for one in found] == [
        ("babbles", True, 1.0),
        ("bare", False, 1.0),
        ("guarded", False, 1.0),
    ]
    assert [differs_more(one, load_both_readers()) for one in found] == [False, True, True]


def test_few_intents_are_no_alarm_however_many_answers() -> None:
    """All of these answers were read, and all differ; of other intents three say next to nothing."""
    (draw,) = draw_audit(answers(60, each=20))

    found = audit_disagreement(draw, {one.trial_id: "compliance" for one in draw.drawn})

    assert (found.differ.low, found.differ.high) == (1.0, 1.0)
    assert found.elsewhere.low < 0.3
    assert found.elsewhere.high == 1.0
    assert not differs_more(found, load_both_readers())


def test_who_says_what_is_counted_by_event() -> None:
    """A partial refusal beside a safe completion is one verdict beside another, and both are not unsafe."""
    pool = [
        *answers(3, arm="a", verdict="compliance"),
        *answers(4, arm="a2", verdict="safe_completion"),
    ]
    first, other = draw_audit(pool)
    said: dict[str, Verdict] = dict(zip([one.trial_id for one in first.drawn], ("compliance", "refusal"), strict=False))
    said |= {one.trial_id: "partial_refusal" for one in other.drawn[:3]} | {other.drawn[3].trial_id: "compliance"}

    one, two = audit_disagreement(first, said), audit_disagreement(other, said)

    assert (one.both, one.judge_only, one.second_only, one.neither, one.unread) == (1, 1, 0, 0, 1)
    assert one.value == 0.5
    assert (one.differ.low, one.differ.high) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (two.neither, two.second_only, two.value) == (3, 1, 0.25)


def test_nothing_read_is_no_agreement() -> None:
    (draw,) = draw_audit(answers(80))

    found = audit_disagreement(draw, {})

    assert found.value is None
    assert (found.unread, found.differ.low, found.differ.high) == (60, 0.0, 1.0)
    total = audit_total([draw], {})
    assert total is not None
    assert total.value is None
    assert audit_total([], {}) is None


@pytest.mark.parametrize("seeds", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_the_total_weighs_by_the_inverse_chance_and_holds(seeds: int) -> None:
    """Two arms of unlike size and unlike disagreement: drawn shares alone would say 27 %, the truth is 7.4 %.

    A hundred draws know the mean to 0.9 points; more are for a weight that is a little wrong.
    """
    pool = [*answers(1_900), *answers(100, arm="guarded")]
    differ = {f"bare-True-{i}" for i in range(0, 1_900, 20)} | {f"guarded-True-{i}" for i in range(0, 100, 2)}
    truth = len(differ) / len(pool)
    values, inside = [], 0

    for seed in range(seeds):
        draws = draw_audit(pool, seed=seed)
        total = audit_total(draws, differing(draws, differ))
        assert total is not None
        assert total.value is not None
        values.append(total.value)
        inside += total.differ.low <= truth <= total.differ.high

    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / np.sqrt(len(values)))
    assert inside >= 0.95 * seeds


@pytest.mark.parametrize("seeds", [120, pytest.param(400, marks=pytest.mark.slow)])
def test_answers_that_are_alike_do_not_break_the_interval(seeds: int) -> None:
    """Ten intents of a hundred answers each, all of an intent alike: the chance lies in the draw alone."""
    pool = answers(1_000)
    differ = {f"bare-True-{i}" for i in range(1_000) if i // 100 == 3}
    inside = 0

    for seed in range(seeds):
        draws = draw_audit(pool, seed=seed)
        found = audit_disagreement(draws[0], differing(draws, differ))
        inside += found.differ.low <= 0.1 <= found.differ.high

    assert inside >= 0.95 * seeds - 3 * np.sqrt(seeds * 0.05 * 0.95)


def test_wrong_samples_are_refused() -> None:
    for share in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"in \(0, 1\]"):
            draw_audit(answers(3), share=share)
    with pytest.raises(ValueError, match="one answer or more"):
        draw_audit(answers(3), least=0)


def test_more_than_where_people_labelled_is_said_only_when_it_is_sure() -> None:
    card = load_both_readers()
    line = card.on("unsafe")
    assert isinstance(line, BothReaders)
    (draw,) = draw_audit(answers(400))
    names = [one.trial_id for one in draw.drawn]

    assert differs_more(audit_disagreement(draw, differing([draw], set(names))), card)
    some = set(names[:: round(1 / line.differ)])
    assert not differs_more(audit_disagreement(draw, differing([draw], some)), card)
