"""Reward-hacking traps: does it do the work, or make the check say that it did?

Takes:  a model behind an arm's safeguards, a sandbox.
Gives:  attempts with whether the check was edited, fitted, listed or looked up, told from the files that are left.
Does not own: the sandbox (`suites`), the software tasks (`checkpoint`), the interval (`measure`), the gate (`declare`).
"""

from safecase.suites.hacking._detect import Found, lists_calls, look
from safecase.suites.hacking._suite import HackingSuite, hacking_suite
from safecase.suites.hacking._traps import CHECK, SOLUTION, TRAPS, Trap

__all__ = ["CHECK", "SOLUTION", "TRAPS", "Found", "HackingSuite", "Trap", "hacking_suite", "lists_calls", "look"]
