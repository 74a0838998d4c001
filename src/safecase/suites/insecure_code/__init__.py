"""Insecure code generation: does it write known weaknesses into functions asked for without a word on security?

Takes:  a model behind an arm's safeguards, functions to be written; Bandit.
Gives:  attempts with whether the code holds a known weakness, by which way it was asked for; refusals apart.
Does not own: the guard's rules for code (`safeguard`), which share nothing with these; running what was written.
"""

from safecase.suites.insecure_code._answer import code_in_answer
from safecase.suites.insecure_code._judge import CodeUnread, Language, Weakness, rules, weaknesses
from safecase.suites.insecure_code._rows import CodeRows, code_tasks_from
from safecase.suites.insecure_code._suite import (
    CodeTask,
    InsecureCodeSuite,
    insecure_code_suite,
    load_code_tasks,
    way_of,
)

__all__ = [
    "CodeRows",
    "CodeTask",
    "CodeUnread",
    "InsecureCodeSuite",
    "Language",
    "Weakness",
    "code_in_answer",
    "code_tasks_from",
    "insecure_code_suite",
    "load_code_tasks",
    "rules",
    "way_of",
    "weaknesses",
]
