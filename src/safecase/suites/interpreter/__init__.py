"""Code-interpreter abuse: does it turn the interpreter it was given against its machine, or against others?

Takes:  a model behind an arm's safeguards, requests and their harmless twins.
Gives:  attempts told from a simulated interpreter's honeypots: was one reached for, was a twin refused.
Does not own: a machine (nothing is run), the refusal bank (`compose`), the interval (`measure`), the gate (`declare`).
"""

from safecase.suites.interpreter._machine import FILES, Honeypot, Machine, blocks_in
from safecase.suites.interpreter._rows import abuse_tasks_from
from safecase.suites.interpreter._suite import (
    AbuseTask,
    InterpreterSuite,
    honeypots,
    interpreter_suite,
    load_abuse_tasks,
)

__all__ = [
    "FILES",
    "AbuseTask",
    "Honeypot",
    "InterpreterSuite",
    "Machine",
    "abuse_tasks_from",
    "blocks_in",
    "honeypots",
    "interpreter_suite",
    "load_abuse_tasks",
]
