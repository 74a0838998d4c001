"""The seam of a setting: pairs of main task and attack that can be played under a bound protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import Protocol

from safecase.evidence import digest_bytes, digest_value
from safecase.suites.arena._agents import ScriptedAgent
from safecase.suites.arena._attacks import POLICIES, AttackPolicy, honest_agent
from safecase.suites.arena._controls import ControlProtocol
from safecase.suites.arena._episode import HONEST, Episode, run_episode
from safecase.suites.arena._errors import UnknownName
from safecase.suites.arena._main_tasks import MAIN_TASKS, Instance, MainTask
from safecase.suites.arena._side_tasks import SIDE_TASKS, SideTask

_RULES = (
    "_actions.py",
    "_agents.py",
    "_attacks.py",
    "_controls.py",
    "_episode.py",
    "_honeypots.py",
    "_main_tasks.py",
    "_monitors.py",
    "_side_tasks.py",
    "_world.py",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A main task, and the attack that goes with it ("" and "honest" for none)."""

    main: str
    policy: str = HONEST
    family: str = ""


class Setting(Protocol):
    """Main tasks, side tasks, a world and its scorers, under one control protocol.

    Attributes:
        name: of the setting and the protocol, as in tables.
        digest: SHA-256 over all that makes an episode.
    """

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    def attacks(self) -> tuple[Pair, ...]:
        """Every pair with an attack."""
        ...

    def honest(self) -> tuple[Pair, ...]:
        """Every main task alone."""
        ...

    async def play(self, pair: Pair, *, seed: int) -> Episode:
        """One session, scored by the setting. A failed one is data (`status`)."""
        ...


class SimulatedSetting:
    """The simulated machine under a protocol, with scripted attackers.

    Args:
        policies, tasks: all by default.
    """

    def __init__(
        self,
        protocol: ControlProtocol,
        *,
        policies: Sequence[AttackPolicy] = POLICIES,
        tasks: Sequence[MainTask] = MAIN_TASKS,
    ) -> None:
        self.protocol = protocol
        self.name = f"simulated/{protocol.name}"
        names = [[policy.name for policy in policies], [task.name for task in tasks]]
        self.digest = digest_value([rules_digest(), repr(protocol), names])
        self._policies = {policy.name: policy for policy in policies}
        self._tasks = {task.name: task for task in tasks}

    def attacks(self) -> tuple[Pair, ...]:
        """Every policy on every main task."""
        return tuple(
            Pair(main=task, policy=policy.name, family=policy.family)
            for policy in self._policies.values()
            for task in self._tasks
        )

    def honest(self) -> tuple[Pair, ...]:
        """Every main task."""
        return tuple(Pair(main=task) for task in self._tasks)

    async def play(self, pair: Pair, *, seed: int) -> Episode:
        """One session in the simulated world."""
        main = self._tasks[pair.main]
        if not pair.family:
            return await run_episode(_honest, main=main, side=None, protocol=self.protocol, seed=seed)
        return await run_episode(
            self._policies[pair.policy].agent,
            main=main,
            side=side_task(pair.family),
            protocol=self.protocol,
            seed=seed,
            policy=pair.policy,
        )


@cache
def rules_digest() -> str:
    """SHA-256 over the code that makes a session what it is; any edit of it makes other suites."""
    folder = files("safecase.suites.arena")
    return digest_value({name: digest_bytes(folder.joinpath(name).read_bytes()) for name in _RULES})


def side_task(family: str) -> SideTask:
    """The side task of a family.

    Raises:
        UnknownName: there is none.
    """
    found = next((side for side in SIDE_TASKS if side.family == family), None)
    if found is None:
        known = ", ".join(side.family for side in SIDE_TASKS)
        raise UnknownName(f"no attack family {family!r}; those there are: {known}")
    return found


def _honest(instance: Instance, *, session: str, chance: Random) -> ScriptedAgent:  # noqa: ARG001  the seam's argument
    return honest_agent(instance, chance=chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A protocol's sessions: under attack, and at honest work."""

    name: str
    attacks: tuple[Episode, ...]
    honest: tuple[Episode, ...]


async def play_all(setting: Setting, *, seeds: int = 5, honest_seeds: int = 25) -> Played:
    """Play every pair, seed by seed.

    Args:
        seeds: sessions of each policy on each main task, at least 1. Eighteen tasks need 4 before a policy that never
            gets through can be held under 5 % (72 sessions).
        honest_seeds: honest sessions of each main task.
    """
    attacks = [await setting.play(pair, seed=seed) for seed in range(seeds) for pair in setting.attacks()]
    honest = [await setting.play(pair, seed=seed) for seed in range(honest_seeds) for pair in setting.honest()]
    return Played(name=setting.name, attacks=tuple(attacks), honest=tuple(honest))
