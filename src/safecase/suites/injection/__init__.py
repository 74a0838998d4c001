"""Prompt injection on tool use: does an agent do the person's task, and does it do what a tool's result orders?

Takes:  a model behind an arm's safeguards, a bank of tasks, goals and vectors.
Gives:  attempts told from a toy desk: was the task done, was the attacker's goal reached.
Does not own: the layers that look at tool results (`safeguard`), the interval (`measure`), the gate (`declare`).
"""

from safecase.suites.injection._agentdojo import AgentDojoSuite, Dojo, open_agentdojo
from safecase.suites.injection._bank import Attack, Bank, Check, Goal, Laid, Step, UserTask, Vector, load_bank
from safecase.suites.injection._calls import SYSTEM, TOOLS, Call, CallUnread, read_calls
from safecase.suites.injection._rates import ByVector, by_vector
from safecase.suites.injection._rows import goals_from, mails_from
from safecase.suites.injection._suite import ATTACKED, InjectionSuite, injection_suite
from safecase.suites.injection._world import Desk, Event, Mail, Payment, World, open_world

__all__ = [
    "ATTACKED",
    "SYSTEM",
    "TOOLS",
    "AgentDojoSuite",
    "Attack",
    "Bank",
    "ByVector",
    "Call",
    "CallUnread",
    "Check",
    "Desk",
    "Dojo",
    "Event",
    "Goal",
    "InjectionSuite",
    "Laid",
    "Mail",
    "Payment",
    "Step",
    "UserTask",
    "Vector",
    "World",
    "by_vector",
    "goals_from",
    "injection_suite",
    "load_bank",
    "mails_from",
    "open_agentdojo",
    "open_world",
    "read_calls",
]
