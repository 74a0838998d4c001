"""Agentic misalignment: would it do harm at work because the harm serves the task?

Takes:  a model behind an arm's safeguards, simulated workplaces.
Gives:  attempts told from the simulated world: was the harmful act done, was the goal reached.
Does not own: controls that would stop the act (`arena`), the interval (`measure`), the gate (`declare`).
"""

from safecase.suites.misalignment._suite import Day, MisalignmentSuite, misalignment_suite
from safecase.suites.misalignment._workplaces import WORKPLACES, Workplace

__all__ = ["WORKPLACES", "Day", "MisalignmentSuite", "Workplace", "misalignment_suite"]
