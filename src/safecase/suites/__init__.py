"""Measure what a model can do and tends to do, and whether the controls around it work.

Takes:  a model behind an arm's safeguards, a suite of tasks, what is still to be tried.
Gives:  `Tried`: a `TaskAttempt` (evidence) with its transcript and signs of spurious failure.
Does not own: the refusal campaigns (`run`), intervals (`measure`), verdicts (`decide`), the case's files (`assess`).
"""

from safecase.suites._alone import try_suite
from safecase.suites._catalogue import SHIPPED, load_suite
from safecase.suites._choice import ChoiceSuite, named_options
from safecase.suites._each import each
from safecase.suites._errors import SuiteMissing
from safecase.suites._flags import with_flags
from safecase.suites._inspect import InspectSuite, inputs_of
from safecase.suites._inspect_sample import UnreadableScore, task_of_sample, tried_of_sample
from safecase.suites._questions import Question, QuestionSet, read_questions
from safecase.suites._rows import Row, read_rows
from safecase.suites._sandbox import ExecResult, Sandbox, SandboxLimits, Service
from safecase.suites._sandbox_box import open_sandbox
from safecase.suites._sandbox_engines import Engine, find_engine
from safecase.suites._sandbox_errors import NoSandbox, SandboxBroken, SandboxError, Uncontained
from safecase.suites._sandbox_probe import check_containment, proven_engine
from safecase.suites._subject import Guarded, Subject
from safecase.suites._suite import (
    Grader,
    Limits,
    Suite,
    SuiteTask,
    Tried,
    attempts_at,
    plan_attempts,
    takes_native_tools,
)

__all__ = [
    "SHIPPED",
    "ChoiceSuite",
    "Engine",
    "ExecResult",
    "Grader",
    "Guarded",
    "InspectSuite",
    "Limits",
    "NoSandbox",
    "Question",
    "QuestionSet",
    "Row",
    "Sandbox",
    "SandboxBroken",
    "SandboxError",
    "SandboxLimits",
    "Service",
    "Subject",
    "Suite",
    "SuiteMissing",
    "SuiteTask",
    "Tried",
    "Uncontained",
    "UnreadableScore",
    "attempts_at",
    "check_containment",
    "each",
    "find_engine",
    "inputs_of",
    "load_suite",
    "named_options",
    "open_sandbox",
    "plan_attempts",
    "proven_engine",
    "read_questions",
    "read_rows",
    "takes_native_tools",
    "task_of_sample",
    "tried_of_sample",
    "try_suite",
    "with_flags",
]
