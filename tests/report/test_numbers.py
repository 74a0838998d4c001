"""The table of numbers, and sentences that others wrote."""

import re

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from safecase.report import ReportInput
from safecase.report._numbers import Tracer, measured_text, printable, split_marks


def test_every_estimate_brings_value_bounds_and_counts(given: ReportInput) -> None:
    table = printable(given)
    parts = ("", "/low", "/high", "/lower_bound", "/upper_bound", "/failure_lower", "/failure_upper", "/n", "/clusters")

    assert len(given.estimates) > 100
    assert all(estimate.estimate_id + part in table for estimate in given.estimates for part in parts)


def test_an_estimate_says_how_to_recompute_it(given: ReportInput) -> None:
    number = printable(given)["policy.violence.unsafe/guarded/all"]

    assert number.query["kind"] == "estimate"
    assert (number.query["arm"], number.query["group"]) == ("guarded", "all")
    assert number.low is not None
    assert number.high is not None


def test_gate_lines_point_into_the_pack(given: ReportInput) -> None:
    number = printable(given)["gate/policy.violence.unsafe/0/passes"]
    place = [gate.id for gate in given.framework.gates].index("policy.violence.unsafe")

    assert number.query["pointer"] == f"/gates/{place}/thresholds/0/passes/at_most"
    assert number.text == "20%"


@pytest.mark.parametrize(
    ("measure", "arm", "value", "text"),
    [
        ("unsafe_rate", "bare", 0.1234, "12.3%"),
        ("unsafe_rate", "guarded-bare", -0.367, "−36.7 pp"),
        ("time_horizon_hours", "bare", 1.5, "1.5 h"),
        ("working_exploits", "bare", 0.0, "0"),
        ("unsafe_rate", "bare", None, "not measured"),  # absence is never a number
    ],
)
def test_values_print_in_the_unit_of_their_measure(measure: str, arm: str, value: float | None, text: str) -> None:
    assert measured_text(measure, arm, value) == text


def test_a_reason_is_joined_to_the_numbers_it_speaks_of(given: ReportInput) -> None:
    tracer = Tracer(printable(given))
    near = ["gate/policy.violence.unsafe/0/passes", "policy.violence.unsafe/guarded/all/upper_bound"]
    bound = tracer.table[near[1]].text
    words = tracer.quote(
        f"keeps to at most 0.2: upper bound {bound}", file="findings.json", pointer="/0/reason", near=near
    )

    assert [text for is_id, text in split_marks(words) if is_id] == near


def test_a_number_no_one_knows_leads_to_the_sentence_it_stands_in(given: ReportInput) -> None:
    tracer = Tracer(printable(given))
    words = tracer.quote("for 14 days", file="decision.json", pointer="/conditions/0")

    assert words == "for ⟦quote/decision.json/conditions/0/0⟧ days"
    assert tracer.table["quote/decision.json/conditions/0/0"].query["kind"] == "quote"


@pytest.mark.parametrize(
    "sentence",
    [
        "SmolLM2-135M-Instruct",  # a name
        "A2 4.2.1 and TS.1.1",  # sections
        "until 2026-09-30",  # a date
        "cyber-1.ts1 and pass@10x",  # ids
    ],
)
def test_digits_of_names_are_not_numbers(sentence: str, given: ReportInput) -> None:
    tracer = Tracer(printable(given))

    assert tracer.quote(sentence, file="decision.json", pointer="/limits/0") == sentence


@forall(sentence=st.text(alphabet="ab1290.,%-+e^ /:⟦⟧\n", max_size=40))
def test_a_quoted_sentence_reads_as_it_was_written(sentence: str) -> None:
    tracer = Tracer({})
    words = tracer.quote(sentence, file="decision.json", pointer="/limits/0")
    read = "".join(tracer.num(text).text if is_id else text for is_id, text in split_marks(words))

    assert read == sentence.replace("⟦", "[").replace("⟧", "]")


def test_the_decision_leaves_no_number_of_its_reasons_unmarked(given: ReportInput) -> None:
    tracer = Tracer(printable(given))
    for place, finding in enumerate(given.decided.findings):
        words = tracer.quote(finding.reason, file="findings.json", pointer=f"/{place}/reason")
        plain = "".join(text for is_id, text in split_marks(words) if not is_id)

        assert not re.search(r"(?<![\w.^-])\d+(?:\.\d+)?%?(?![\w.-])", plain), plain
