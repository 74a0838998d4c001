"""Labels bound a judge's error where they were drawn, and nowhere else: shown by simulation."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from safecase.measure import (
    NO_LABELS,
    PERFECT,
    Agreement,
    Candidate,
    Tally,
    agreement,
    by_verdict,
    cohen_kappa,
    draw_panel,
    exact_lower,
    exact_upper,
    judge_error,
    krippendorff_alpha,
    labels_needed,
    rate_bounds,
    settle,
    weighted_points,
)

ALPHA = 0.05
RUNS = 600
ALLOWED = int(binom.ppf(0.999, RUNS, ALPHA))


def most_misses(runs: int, alpha: float) -> int:
    """Misses that bounds which hold exceed with probability at most 0.001."""
    return int(binom.ppf(0.999, runs, alpha))


def clustered(rng: np.random.Generator, *, intents: int, size: int, sensitivity: float):
    """Answers of intents: all of an intent are unsafe or none is, and the judge finds most of an intent or little.

    Returns:
        unsafe, flagged: bool, (intent, answer).
    """
    unsafe = np.repeat(rng.random(intents) < 0.5, size).reshape(intents, size)
    finds = rng.beta(sensitivity * 0.5, (1 - sensitivity) * 0.5, intents)
    flagged = unsafe & (rng.random((intents, size)) < finds[:, None])
    return unsafe, flagged


@pytest.mark.parametrize("one_each", [True, False], ids=["one answer an intent", "whole intents"])
def test_exact_bounds_hold_for_one_answer_an_intent_and_not_for_many(one_each):
    """Ten answers to one intent are hardly more than one: counted as ten, they make bounds far too narrow."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(RUNS):
        unsafe, flagged = clustered(rng, intents=60, size=10, sensitivity=0.8)
        shown = slice(0, 1) if one_each else slice(None)
        hits, events = int(flagged[:, shown].sum()), int(unsafe[:, shown].sum())
        wrong += not exact_lower(hits, events, alpha=ALPHA / 2) <= 0.8 <= exact_upper(hits, events, alpha=ALPHA / 2)

    assert (wrong <= ALLOWED) is one_each


def test_a_uniform_draw_weighs_intents_alike_as_a_rate_does():
    """An intent with thirty answers must not weigh thirty times: the rate it serves is a mean over intents."""
    sizes = {f"i{i}": 30 if i < 10 else 1 for i in range(100)}
    candidates = [Candidate(trial_id=f"{unit}-{t}", unit=unit) for unit, n in sizes.items() for t in range(n)]
    large = [
        sum(row.trial_id.partition("-")[0] in {f"i{i}" for i in range(10)} for row in panel.rows)
        for panel in (draw_panel(candidates, by="uniform", count=50, seed=seed) for seed in range(60))
    ]

    assert 4 < np.mean(large) < 6


@pytest.mark.parametrize("by", ["uniform", "by-verdict", "by-doubt"])
def test_chances_are_what_they_are_said_to_be(by):
    """Over many seeds, an answer comes as often as the chance beside it says."""
    candidates = [
        Candidate(trial_id=f"i{i}-{t}", unit=f"i{i}", flagged=i % 5 == 0, doubt=(i % 10) / 10)
        for i in range(40)
        for t in range(1 + i % 3)
    ]
    runs, seen, said = 1500, dict.fromkeys((c.trial_id for c in candidates), 0), {}
    for seed in range(runs):
        panel = draw_panel(candidates, by=by, count=12, seed=seed)
        assert len({row.trial_id.partition("-")[0] for row in panel.rows}) == len(panel.rows)
        assert 11 <= len(panel.rows) <= 13
        for row in panel.rows:
            seen[row.trial_id] += 1
            said.setdefault(row.trial_id, []).append(row.probability)

    for name, times in seen.items():
        expected = np.mean(said[name])
        assert abs(times / runs - expected) < 5 * (expected * (1 - expected) / runs) ** 0.5 + 0.02, name


def test_a_draw_by_verdict_bounds_predictive_values_exactly_and_the_rest_by_union():
    """Two in a hundred are unsafe: half of the labels go to flagged answers, and every interval still holds."""
    rng = np.random.default_rng(11)
    rate, se, sp = 0.02, 0.8, 0.95
    q = rate * se + (1 - rate) * (1 - sp)
    truth = {"ppv": rate * se / q, "npv": (1 - rate) * sp / (1 - q), "sensitivity": se, "specificity": sp}
    wrong = dict.fromkeys(truth, 0)
    naive = 0
    for _ in range(RUNS):
        units = 2000
        unsafe = rng.random(units) < rate
        flagged = np.where(unsafe, rng.random(units) < se, rng.random(units) < 1 - sp)
        yes, no = unsafe[flagged][:60], unsafe[~flagged][:140]
        hits, misses = int(yes.sum()), int(no.sum())
        counts = Agreement(hits=hits, misses=misses, rejections=140 - misses, false_alarms=len(yes) - hits)
        found = by_verdict(counts, flagged_units=int(flagged.sum()), units=units, alpha=ALPHA)
        assert found is not None
        for name, value in truth.items():
            bounds = getattr(found, name)
            wrong[name] += not bounds.low <= value <= bounds.high
        negatives = counts.rejections + counts.false_alarms
        naive += exact_upper(counts.rejections, negatives, alpha=ALPHA / 2) < sp

    assert {name: count for name, count in wrong.items() if count > ALLOWED} == {}
    assert naive > RUNS / 2  # counted as if drawn uniformly, flagged answers fill the labels with false alarms


def test_weighted_points_undo_the_draw():
    rows = [(0.5, True, True)] * 10 + [(0.1, True, False)] * 2 + [(0.5, False, False)] * 5

    assert weighted_points(rows) == (0.5, 1.0)
    assert weighted_points([(0.5, True, True)]) == (1.0, None)


def test_labels_of_the_bare_arm_hide_what_the_guard_lets_through():
    """Guard and judge miss the same answers (latent correlation 0.7): the judge's card, measured on bare answers, shows
    less than half of what is there. Labels of the guarded arm's own answers bound the truth."""
    rng = np.random.default_rng(20260407)
    correlation, guard_misses, judge_misses, unsafe = 0.7, 0.2, 0.28, 0.3
    n = 500_000
    guard, own = rng.standard_normal(n), rng.standard_normal(n)
    judge = correlation * guard + (1 - correlation**2) ** 0.5 * own
    passes, missed = guard < norm.ppf(guard_misses), judge < norm.ppf(judge_misses)
    se_after = 1 - float(missed[passes].mean())
    se_bare = 1 - judge_misses
    truth = unsafe * guard_misses
    naive = truth * se_after / se_bare
    assert truth == pytest.approx(0.06)
    assert naive == pytest.approx(0.026, abs=0.002)

    runs, answers, held, fooled = 10, 2000, 0, 0
    for _ in range(runs):
        flags = int(rng.binomial(answers, truth * se_after))
        tallies = [Tally(flagged=1)] * flags + [Tally(unflagged=1)] * (answers - flags)
        tallies = [tallies[i] for i in rng.permutation(answers)]
        events = 200
        hits, bare_hits = int(rng.binomial(events, se_after)), int(rng.binomial(events, se_bare))
        labelled = Agreement(hits=hits, misses=events - hits, rejections=1000, false_alarms=0)
        card = Agreement(hits=bare_hits, misses=events - bare_hits, rejections=1000, false_alarms=0)
        for own_labels, transferred in ((labelled, card), (NO_LABELS, card)):
            error = judge_error(own=own_labels, transferred=transferred, margin=0.05, alpha=ALPHA * 0.2)
            high = rate_bounds(tallies, error, alpha_lower=0.03, alpha_upper=0.03, planned=answers).high
            held += high >= truth and error.level == "own"
            fooled += high < truth and error.level == "transferred"

    assert runs - held <= most_misses(runs, ALPHA)
    assert fooled > runs / 2


CHANCE_RAISERS = [(0.5, 0.9, 60), (0.9, 0.95, 60), (0.2, 0.7, 100), (0.5, 1.0, 40)]


@pytest.mark.parametrize(("common", "right", "n"), CHANCE_RAISERS, ids=str)
def test_the_interval_of_kappa_holds(common, right, n):
    """Two readers of a truth, each right with probability `right`, else at random between two labels."""
    rng = np.random.default_rng(5)

    def read(size: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.random(size) < common
        return tuple(np.where(rng.random(size) < right, truth, rng.random(size) < 0.5) for _ in range(2))  # type: ignore[return-value]

    wanted = cohen_kappa(zip(*read(200_000), strict=True)).value
    assert wanted is not None
    wrong = 0
    for _ in range(RUNS):
        found = cohen_kappa(zip(*read(n), strict=True))
        wrong += found.low is not None and found.high is not None and not found.low <= wanted <= found.high

    assert wrong <= ALLOWED


def test_agreement_is_what_a_hand_computation_gives():
    """Cohen's own example (1960): 0.44 + 0.20 + 0.06 agree, 0.41 by chance."""
    table = {("a", "a"): 88, ("a", "b"): 14, ("a", "c"): 18, ("b", "a"): 10, ("b", "b"): 40, ("b", "c"): 10}
    table |= {("c", "a"): 2, ("c", "b"): 6, ("c", "c"): 12}
    pairs = [pair for pair, count in table.items() for _ in range(count)]

    found = cohen_kappa(pairs)

    assert found.value == pytest.approx((0.70 - 0.41) / 0.59)
    assert found.low < found.value < found.high
    assert found.n == 200


def test_krippendorffs_own_example():
    """Krippendorff (2011), example C: four readers, twelve units, gaps; nominal alpha 0.743."""
    readers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = [[label for label in unit if label is not None] for unit in zip(*readers, strict=True)]

    found = krippendorff_alpha(units)

    assert found.value == pytest.approx(0.743, abs=0.001)
    assert found.low < 0.743 < found.high
    assert found.n == 11


def test_agreement_without_anything_to_agree_on_is_not_a_number():
    assert cohen_kappa([]).value is None
    assert cohen_kappa([("a", "a")] * 20).value is None
    assert krippendorff_alpha([("a",), ("b",)]).value is None
    perfect = cohen_kappa([("a", "a")] * 10 + [("b", "b")] * 10)
    assert perfect.value == 1.0
    assert perfect.low < 0.8


def test_labels_settle_only_when_all_who_were_asked_agree():
    asked = ["agreed", "differ", "skipped", "one", "none", "final"]
    given = {
        "agreed": {"ana": "refusal", "bo": "refusal"},
        "differ": {"ana": "refusal", "bo": "compliance"},
        "skipped": {"ana": "refusal", "bo": None},
        "one": {"ana": "refusal"},
        "final": {"ana": "refusal", "bo": "compliance"},
    }

    found = settle(asked, raters=2, given=given, final={"final": "compliance"})

    assert found.labels == {"agreed": "refusal", "final": "compliance"}
    assert found.disputed == ("differ", "skipped")
    assert found.waiting == ("one", "none")
    assert not found.is_complete


def test_labels_still_needed_are_counted_or_not_promised():
    none = labels_needed(NO_LABELS, share=0.1)
    half = labels_needed(Agreement(hits=5, misses=0, rejections=45, false_alarms=0), share=0.1)
    never = labels_needed(Agreement(hits=0, misses=0, rejections=50, false_alarms=0), share=0.0)
    done = labels_needed(Agreement(hits=100, misses=0, rejections=100, false_alarms=0), share=0.5)

    assert none[0] == 100
    assert half[0] == 50
    assert none[1] > none[0]
    assert never == (None, None)
    assert done == (0, 0)


def test_a_narrow_box_is_reached_with_the_labels_that_were_asked_for():
    seen = Agreement(hits=18, misses=2, rejections=180, false_alarms=0)
    _, more = labels_needed(seen, share=0.1)
    assert more is not None
    events = 20 + round(more * 0.1)
    grown = Agreement(hits=round(events * 0.9), misses=events - round(events * 0.9), rejections=180, false_alarms=0)

    error = judge_error(own=grown, transferred=NO_LABELS, margin=0.0, alpha=0.01)

    assert error.sensitivity.high - error.sensitivity.low <= 0.21


def test_agreement_counts_an_event_not_a_label():
    counts = agreement("safe", [("refusal", "safe_completion"), ("compliance", "refusal")])

    assert (counts.hits, counts.false_alarms, counts.labels) == (1, 1, 2)
    assert PERFECT.level == "own"
