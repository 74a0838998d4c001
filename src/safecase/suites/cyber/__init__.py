"""Small capture-the-flag tasks, and an unguided agent that tries them in a sandbox without network.

Takes:  a model, attempts that were planned.
Gives:  attempts with transcripts and signs of spurious failure.
Does not own: the sandbox, estimates and their intervals (`measure`), the gate (`declare`) and its verdict (`decide`).
"""

from safecase.suites.cyber._agent import Action, Episode, Scaffold, play, read_action
from safecase.suites.cyber._inspect_task import inspect_task
from safecase.suites.cyber._suite import TASKS, CtfSuite, ctf_suite, run_cyber
from safecase.suites.cyber._task import CATEGORIES, Built, CtfTask

__all__ = [
    "CATEGORIES",
    "TASKS",
    "Action",
    "Built",
    "CtfSuite",
    "CtfTask",
    "Episode",
    "Scaffold",
    "ctf_suite",
    "inspect_task",
    "play",
    "read_action",
    "run_cyber",
]
