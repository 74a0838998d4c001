"""The words of a report: titles of verdicts, tiers, choices and measures, each with a tone that print can show."""

from collections.abc import Mapping
from typing import Literal

Tone = Literal["good", "bad", "open", "none"]
"""How a label is drawn. The label's own words always say the same, so colour carries nothing alone."""

CHOICES: Mapping[str, tuple[str, Tone]] = {
    "approve": ("Deployment supported", "good"),
    "require-mitigation": ("Mitigation required", "bad"),
    "require-testing": ("More testing required", "open"),
}

VERDICTS: Mapping[str, tuple[str, Tone]] = {
    "pass": ("Pass", "good"),
    "fail": ("Fail", "bad"),
    "inconclusive": ("Inconclusive", "open"),
    "provisional-high": ("Provisionally high", "bad"),
    "not-measured": ("Not measured", "none"),
    "not-planned": ("Not planned", "none"),
    "not-applicable": ("Not applicable", "none"),
}

BARRING: Mapping[str, tuple[str, str]] = {
    "fail": ("fails", "fail"),
    "provisional-high": ("is provisionally high", "are provisionally high"),
    "inconclusive": ("is inconclusive", "are inconclusive"),
    "not-measured": ("was not measured", "were not measured"),
    "not-planned": ("was not planned", "were not planned"),
}
"""Verdicts that can bar deployment, worst first: what one gate does, what several do."""

TIERS: Mapping[str, tuple[str, Tone]] = {
    "critical": ("Critical", "bad"),
    "high": ("High", "bad"),
    "provisional-high": ("Provisionally high", "bad"),
    "moderate": ("Moderate or lower", "good"),
    "undetermined": ("Undetermined", "open"),
    "not-applicable": ("Not applicable", "none"),
}

POLICY_STATES: Mapping[str, tuple[str, Tone]] = {
    "moderate": ("Criteria met", "good"),
    "unmet": ("Criteria not met", "bad"),
    "undetermined": ("Undetermined", "open"),
    "not-applicable": ("Not applicable", "none"),
}
"""A content-policy domain has criteria, not tiers."""

MEASURES: Mapping[str, tuple[str, str]] = {
    "unsafe_rate": ("Unsafe answers", "share of harmful requests answered with compliance"),
    "safe_rate": ("Safe answers", "share of harmful requests refused or met with a safe completion"),
    "overrefusal_rate": ("Over-refusal", "share of harmless requests refused"),
    "refusal_rate": ("Refusals", "share of harmful requests refused"),
    "partial_refusal_rate": ("Partial refusals", "share of harmful requests refused in part"),
    "incoherent_rate": (
        "Incoherent answers",
        "share of harmful requests answered with babble, neither safe nor harmful",
    ),
    "partial_overrefusal_rate": ("Partial over-refusal", "share of harmless requests refused in part"),
    "incoherent_benign_rate": ("Incoherent on harmless", "share of harmless requests answered with babble"),
    "discernment": ("Telling apart", "harmful requests answered safely, less their own harmless twins refused"),
    "refusal_gap": ("Refusal gap", "difference in refusals between left and right, without its sign"),
    "effort_gap": ("Effort gap", "by how much the longer answered side is longer"),
    "pass_at_10": ("Solved in ten attempts", "share of tasks solved in at least one of ten attempts"),
    "success_rate": ("Success", "share of tasks solved"),
    "adaptation_difference": ("Adaptation", "difference between target and control evaluations, without its sign"),
    "preserved_share": ("Preserved strength", "share of single-task strength kept while doing two tasks"),
    "time_horizon_hours": ("Time horizon", "length of software task done consistently, in hours of a skilled person"),
    "honesty_rate": ("Honesty", "share of answers that keep to the stated belief under pressure"),
    "misalignment_rate": ("Misalignment", "share of workplaces in which the harmful act was taken"),
    "undetected_rate": ("Undetected", "share of staged evasions and sabotage that no monitor saw"),
    "attack_success_rate": (
        "Attack success",
        "share of attacked tasks in which the order in a tool's result was followed",
    ),
    "utility_rate": ("Utility", "share of the tasks done, nothing attacking"),
    "attacked_utility_rate": (
        "Utility under attack",
        "share of an agent's tasks done although a tool's result attacks it",
    ),
    "insecure_code_rate": ("Insecure code", "share of functions asked for that hold a known weakness"),
    "abuse_rate": ("Interpreter abuse", "share of requests to abuse an interpreter that were carried out"),
    "twin_refusal_rate": ("Twins refused", "share of the harmless twins of a suite's requests that were refused"),
    "uplift": ("Uplift", "people with the model less people without it, as a share of the outcome's scale"),
    "networks_taken": ("Networks taken", "networks taken end to end, of the whole suite"),
    "networks_taken_unseen": (
        "Networks taken unseen",
        "networks taken end to end without an alert, of the whole suite",
    ),
    "working_exploits": ("Working exploits", "working proofs of concept, of the whole suite"),
}

ARMS: Mapping[str, str] = {
    "bare": "Before safeguards",
    "trained": "Safety-trained",
    "guarded": "After safeguards",
    "guarded-bare": "Difference",
}

ANSWERS: Mapping[str, tuple[str, Tone]] = {
    "refusal": ("refusal", "good"),
    "safe_completion": ("safe completion", "good"),
    "partial_refusal": ("partial refusal", "open"),
    "compliance": ("compliance", "bad"),
    "incoherent": ("incoherent", "none"),
}

LIMIT_WORDS: Mapping[str, str] = {"at_most": "at most", "at_least": "at least", "below": "below", "above": "above"}

CALIBRATION: Mapping[str, str] = {
    "own": "own (labels on this arm's answers)",
    "transferred": "transferred (other models, interval widened)",
    "none": "none (as observed)",
}


POSITIONS: Mapping[str, tuple[str, Tone]] = {
    "approve": ("Approve", "good"),
    "require-mitigation": ("Require mitigation", "bad"),
    "require-testing": ("Require testing", "open"),
    "dissent": ("Dissent", "open"),
}

_HYPHENATED = {"non-english": "Non-English", "multi-turn": "Multi-turn", "chem-bio": "Chem-bio"}


def sentence_case(name: str) -> str:
    """An id as words.

    >>> sentence_case("criminal-wrongdoing"), sentence_case("multi-turn")
    ('Criminal wrongdoing', 'Multi-turn')
    """
    return _HYPHENATED.get(name) or name.replace("-", " ").replace("_", " ").capitalize()
