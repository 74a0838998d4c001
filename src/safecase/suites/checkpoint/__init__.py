"""The loss-of-control checkpoint: software tasks by human time, selective adaptation, two tasks at once.

Takes:  a model behind an arm's safeguards.
Gives:  attempts whose estimates are the time horizon, the adaptation difference and the preserved share.
Does not own: the curve and the intervals (`measure`), the gates (`declare`), the sandbox (`suites`).
"""

from safecase.suites.checkpoint._adaptation import TOLD
from safecase.suites.checkpoint._coder import Ran, read_program, run_calls, write_program
from safecase.suites.checkpoint._dual import BOTH, pair
from safecase.suites.checkpoint._program import Call, Program, as_json
from safecase.suites.checkpoint._questions import CONTROL, TARGET, Question, draw, last_said
from safecase.suites.checkpoint._suite import PROGRAMS, CheckpointSuite, checkpoint_suite

__all__ = [
    "BOTH",
    "CONTROL",
    "PROGRAMS",
    "TARGET",
    "TOLD",
    "Call",
    "CheckpointSuite",
    "Program",
    "Question",
    "Ran",
    "as_json",
    "checkpoint_suite",
    "draw",
    "last_said",
    "pair",
    "read_program",
    "run_calls",
    "write_program",
]
