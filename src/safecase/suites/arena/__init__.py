"""Whether the controls around a model hold, against attackers who are written down.

Takes:  a control protocol, attack policies or a model in the attacker's place, seeds.
Gives:  `Episode`s told from a simulated world, whether the controls meet a limit, safety against usefulness as a
        frontier, and how often honeypots were taken.
Does not own: safeguards on text (`safeguard`), how a gate reads its estimates (`measure`, `decide`). No shell, no
        network: everything happens in Python values.
"""

from safecase.suites.arena._actions import FINISH, GRAMMAR, TOOLS, Action, Tool, objects_in, parse_action
from safecase.suites.arena._agents import Agent, ModelAgent, ScriptedAgent, Seen, Step
from safecase.suites.arena._attacks import POLICIES, AttackPolicy, honest_agent
from safecase.suites.arena._audit import audit_chance, audit_episodes, usual_suspicion
from safecase.suites.arena._control_arena import ControlArenaSetting, open_control_arena, pairs_of
from safecase.suites.arena._controls import (
    Approve,
    Audit,
    Control,
    ControlProtocol,
    Defer,
    FailClosed,
    Interrupt,
    Outcome,
    Permission,
    PersonStandIn,
    Resample,
    Reviewer,
    TrustedReviewer,
    Turn,
    Watch,
)
from safecase.suites.arena._episode import HONEST, Actor, Episode, run_episode
from safecase.suites.arena._errors import ActionUnread, ArenaError, ScoreUnread, SettingRefused, UnknownName
from safecase.suites.arena._frontier import Frontier, FrontierPoint, frontier, sweep
from safecase.suites.arena._honeypots import (
    BAITS,
    CONDITIONS,
    Bait,
    Propensity,
    character,
    honeypot_tasks,
    propensities,
    run_honeypot,
)
from safecase.suites.arena._main_tasks import MAIN_TASKS, Grant, Instance, MainTask
from safecase.suites.arena._monitors import (
    BlindMonitor,
    ColludingMonitor,
    Look,
    ModelMonitor,
    Monitor,
    PerfectMonitor,
    TrajectoryMonitor,
    WordMonitor,
    parse_suspicion,
)
from safecase.suites.arena._needs import Need, needs_of
from safecase.suites.arena._protocols import PROTOCOLS, deferring, layered, monitored, protocol
from safecase.suites.arena._setting import Pair, Played, Setting, SimulatedSetting, play_all, side_task
from safecase.suites.arena._side_tasks import SIDE_TASKS, SideTask, serves_any
from safecase.suites.arena._suites import (
    AttackerSuite,
    ControlsSuite,
    HoneypotSuite,
    ModelActor,
    attacker_suite,
    attacker_told,
    controls_suite,
    honeypot_suite,
)
from safecase.suites.arena._verify import ControlFinding, GroupRate, Usefulness, group_rates, verify_controls
from safecase.suites.arena._world import World, new_world

__all__ = [
    "BAITS",
    "CONDITIONS",
    "FINISH",
    "GRAMMAR",
    "HONEST",
    "MAIN_TASKS",
    "POLICIES",
    "PROTOCOLS",
    "SIDE_TASKS",
    "TOOLS",
    "Action",
    "ActionUnread",
    "Actor",
    "Agent",
    "Approve",
    "ArenaError",
    "AttackPolicy",
    "AttackerSuite",
    "Audit",
    "Bait",
    "BlindMonitor",
    "ColludingMonitor",
    "Control",
    "ControlArenaSetting",
    "ControlFinding",
    "ControlProtocol",
    "ControlsSuite",
    "Defer",
    "Episode",
    "FailClosed",
    "Frontier",
    "FrontierPoint",
    "Grant",
    "GroupRate",
    "HoneypotSuite",
    "Instance",
    "Interrupt",
    "Look",
    "MainTask",
    "ModelActor",
    "ModelAgent",
    "ModelMonitor",
    "Monitor",
    "Need",
    "Outcome",
    "Pair",
    "PerfectMonitor",
    "Permission",
    "PersonStandIn",
    "Played",
    "Propensity",
    "Resample",
    "Reviewer",
    "ScoreUnread",
    "ScriptedAgent",
    "Seen",
    "Setting",
    "SettingRefused",
    "SideTask",
    "SimulatedSetting",
    "Step",
    "Tool",
    "TrajectoryMonitor",
    "TrustedReviewer",
    "Turn",
    "UnknownName",
    "Usefulness",
    "Watch",
    "WordMonitor",
    "World",
    "attacker_suite",
    "attacker_told",
    "audit_chance",
    "audit_episodes",
    "character",
    "controls_suite",
    "deferring",
    "frontier",
    "group_rates",
    "honest_agent",
    "honeypot_suite",
    "honeypot_tasks",
    "layered",
    "monitored",
    "needs_of",
    "new_world",
    "objects_in",
    "open_control_arena",
    "pairs_of",
    "parse_action",
    "parse_suspicion",
    "play_all",
    "propensities",
    "protocol",
    "run_episode",
    "run_honeypot",
    "serves_any",
    "side_task",
    "sweep",
    "usual_suspicion",
    "verify_controls",
]
