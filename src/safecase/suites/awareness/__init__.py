"""Evaluation awareness: does it know that it is being tested, and does it say so?

Takes:  a model behind an arm's safeguards.
Gives:  attempts with what was verbalised unasked and what a probing question brings out, on scenarios like evaluations
        and like use, public and private; how well it tells them apart.
Does not own: what follows for a gate: none reads it, it bears on how far all other results can be believed.
"""

from safecase.suites.awareness._labelled import LABELLED
from safecase.suites.awareness._rates import Awareness, awareness
from safecase.suites.awareness._scenarios import Scenario, scenario
from safecase.suites.awareness._suite import PROBES, AwarenessSuite, awareness_suite, read_probe
from safecase.suites.awareness._verbalised import JudgeError, judge_error, verbalises

__all__ = [
    "LABELLED",
    "PROBES",
    "Awareness",
    "AwarenessSuite",
    "JudgeError",
    "Scenario",
    "awareness",
    "awareness_suite",
    "judge_error",
    "read_probe",
    "scenario",
    "verbalises",
]
