"""What safeguards changed is said from the interval, and every figure is traced."""

from dataclasses import replace

import pytest

from safecase.evidence import Estimate
from safecase.report import ReportInput, measured_text, numbers
from safecase.report._balance import balance, balance_sketch
from safecase.report._changed import changed, changed_sketch
from safecase.report._numbers import Tracer, printable


def with_estimates(given: ReportInput, *fresh: Estimate) -> ReportInput:
    ids = {one.estimate_id for one in fresh}
    return replace(given, estimates=(*(e for e in given.estimates if e.estimate_id not in ids), *fresh))


def moved(given: ReportInput, low: float, high: float) -> ReportInput:
    found = next(e for e in given.estimates if e.estimate_id == "unsafe_rate/guarded-bare/all")
    return with_estimates(given, replace(found, low=low, high=high, value=(low + high) / 2))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.5, -0.2, "down, which is the better way"),
        (0.1, 0.4, "up, which is the worse way"),
        (-0.3, 0.1, "no change was shown either way"),
    ],
)
def test_the_sentence_is_read_off_the_interval(given: ReportInput, low: float, high: float, words: str):
    on = moved(given, low, high)

    section = changed(on, Tracer(printable(on)))

    assert section is not None
    (says,) = [row["says"] for row in section["rows"] if row["title"] == "Unsafe answers"]
    assert words in says


def test_nothing_paired_is_not_shown(given: ReportInput):
    bare = replace(given, estimates=tuple(e for e in given.estimates if e.arm == "bare"))

    assert changed(bare, Tracer(printable(bare))) is None
    assert changed_sketch(bare) is None
    assert balance(bare, Tracer(printable(bare))) is None
    assert balance_sketch(bare) is None


def test_the_dumbbells_plot_both_rates_and_their_difference(given: ReportInput):
    sketch = changed_sketch(given)

    assert sketch is not None
    assert set(sketch.numbers) == {
        f"{measure}/{arm}/all"
        for measure in ("unsafe_rate", "overrefusal_rate")
        for arm in ("bare", "guarded", "guarded-bare")
    }
    assert set(sketch.numbers) <= numbers(given).keys()


@pytest.mark.parametrize(
    ("measure", "arm", "value", "text"),
    [
        ("signed_refusal_gap", "bare", -0.1, "−10.0 pp"),
        ("refusal_gap", "bare", 0.1, "10.0%"),
        ("signed_effort_gap", "bare", 0.6931471805599453, "×2.00"),
        ("signed_effort_gap", "guarded-bare", 0.0, "×1.00"),
        ("signed_leaning", "guarded-bare", -0.0, "+0.00"),
        ("signed_leaning", "bare", 0.5, "+0.50"),
        ("discernment", "bare", 0.5, "+50.0 pp"),
        ("signed_leaning", "bare", None, "not measured"),
    ],
)
def test_a_gap_is_printed_in_its_own_unit(measure: str, arm: str, value: float | None, text: str):
    assert measured_text(measure, arm, value) == text
