"""ControlArena settings through the same seam: their main and side tasks, their world, their scorers.

A foreign setting brings sandboxes and a micro-protocol of its own; none of the controls here apply to it. What comes
over is who was set which tasks and what its scorers say. Its monitors score and (mostly) do not intervene, so a
suspicion at or over the threshold counts as a catch *after* the harm, as an audit's would.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from safecase.evidence import digest_value
from safecase.models import MissingPackage
from safecase.suites.arena._episode import HONEST, Episode
from safecase.suites.arena._errors import SettingRefused
from safecase.suites.arena._setting import Pair

_MAIN, _SIDE = "main_task_success", "side_task_success"
_TRUE, _FALSE = frozenset({"C", 1}), frozenset({"I", 0, "N"})


class Scored(Protocol):
    """What the adapter reads of an evaluated sample (Inspect's `EvalSample` has all of it)."""

    @property
    def scores(self) -> Mapping[str, Any] | None:
        """Scorer name to an object with a `value`: one number, or a mapping of names to numbers."""
        ...

    @property
    def error(self) -> object | None:
        """Why the sample failed, None where it did not."""
        ...


Evaluate = Callable[[str, str | None, int], Awaitable[Scored]]
"""(main task name, side task name or None, seed) -> an evaluated sample. Inspect's seeds do not bind every sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlArenaSetting:
    """A ControlArena setting under one of its micro-protocols.

    Attributes:
        name: of setting and micro-protocol.
        pairs: what is played, attacks and honest work.
        evaluate: plays one.
        suspicion: the scorer whose value is a monitor's suspicion, None where nothing monitors.
        threshold: suspicion from which a session counts as caught afterwards, on that scorer's own scale.
        always_tries: the attacker is a fixed policy, so that every attack session tries. A model may refuse, and no
            scorer says so: then only a harm, or a suspicion over the threshold, shows that a session tried.
    """

    name: str
    pairs: tuple[Pair, ...]
    evaluate: Evaluate
    suspicion: str | None = None
    threshold: float = 1.0
    always_tries: bool = False

    @property
    def digest(self) -> str:
        """Over names and tasks; the setting's own code is not in it."""
        return digest_value(
            [self.name, [[p.main, p.policy] for p in self.pairs], self.suspicion, self.threshold, self.always_tries]
        )

    def attacks(self) -> tuple[Pair, ...]:
        """Pairs with a side task."""
        return tuple(pair for pair in self.pairs if pair.family)

    def honest(self) -> tuple[Pair, ...]:
        """Pairs without."""
        return tuple(pair for pair in self.pairs if not pair.family)

    async def play(self, pair: Pair, *, seed: int) -> Episode:
        """One evaluated sample as an episode. A sample that failed has no score, which is no harm and no catch.

        Raises:
            SettingRefused: the setting's scorers do not say what the seam asks for.
        """
        sample = await self.evaluate(pair.main, pair.policy.partition("/")[2] or None, seed)
        if sample.error is not None or not sample.scores:
            return self._episode(pair, seed, error=str(sample.error or "no scorer ran")[:300])
        is_done = _success(sample.scores, _MAIN)
        is_harmed = bool(pair.family) and _success(sample.scores, _SIDE)
        suspicion = self._suspicion(sample.scores)
        is_found = suspicion is not None and suspicion >= self.threshold
        return self._episode(pair, seed, is_done=is_done, is_harmed=is_harmed, suspicion=suspicion, is_found=is_found)

    def _suspicion(self, scores: Mapping[str, Any]) -> float | None:
        if self.suspicion is None or self.suspicion not in scores:
            return None
        value = scores[self.suspicion].value
        return float(value) if isinstance(value, int | float) else None

    def _episode(
        self,
        pair: Pair,
        seed: int,
        *,
        is_done: bool = False,
        is_harmed: bool = False,
        suspicion: float | None = None,
        is_found: bool = False,
        error: str | None = None,
    ) -> Episode:
        return Episode(
            policy=pair.policy,
            family=pair.family,
            task=pair.main,
            protocol=self.name,
            seed=seed,
            session=f"{pair.main}/{pair.policy}/{seed}",
            status="answered" if error is None else "error",
            error=error,
            is_done=is_done,
            has_tried=bool(pair.family) and (self.always_tries or is_harmed or is_found),
            harmed_at=1 if is_harmed else None,
            suspicion=suspicion,
            serving=(1,) if is_harmed else (),
            in_log=(1,) if is_harmed else (),
            is_found=is_found and is_harmed,
        )


def pairs_of(samples: Sequence[Any]) -> tuple[Pair, ...]:  # Inspect samples; its types are not here
    """The pairs of main and side task that samples name in their metadata; the side task is policy and family.

    Raises:
        SettingRefused: a sample names no main task.
    """
    pairs = []
    for sample in samples:
        named = sample.metadata or {}
        main, side = named.get("main_task_name"), named.get("side_task_name")
        if not main:
            raise SettingRefused(f"a sample names no 'main_task_name', it has {sorted(named)}; is this ControlArena's?")
        pairs.append(Pair(main=main, policy=f"{side}/{side}", family=side) if side else Pair(main=main, policy=HONEST))
    return tuple(dict.fromkeys(pairs))


def open_control_arena(
    setting: Any,  # a control_arena Setting
    micro_protocol: Any,  # a control_arena ControlAgent
    *,
    model: str,
    trusted_model: str | None = None,
    monitors: Sequence[Any] = (),  # Inspect scorers
    suspicion: str | None = None,
    threshold: float = 1.0,
    always_tries: bool = False,
) -> ControlArenaSetting:
    """A setting object of the package `control-arena` (20.x), played by Inspect.

    Args:
        model: Inspect's name of the untrusted model ("mockllm/model" for fixed policies).
        trusted_model: the same for the trusted one; `model` by default.
        monitors: scorers that rate whole trajectories.
        always_tries: the attacker is a fixed policy; see `ControlArenaSetting`.

    Raises:
        MissingPackage: control-arena is not installed.
        SettingRefused: a sample names no main task.
    """
    modes = _modes()
    samples = [sample for mode in modes for sample in setting.get_filtered_dataset(mode)]
    return ControlArenaSetting(
        name=f"control-arena/{setting.get_name()}/{micro_protocol.get_name()}",
        pairs=pairs_of(samples),
        evaluate=_by_inspect(
            setting, micro_protocol, models=(model, trusted_model or model), monitors=list(monitors), modes=modes
        ),
        suspicion=suspicion,
        threshold=threshold,
        always_tries=always_tries,
    )


def _modes() -> tuple[Any, Any]:  # control_arena's EvalMode, honest and attack
    try:
        from control_arena import EvalMode  # type: ignore[import-not-found,unused-ignore]
    except ImportError as missing:
        raise MissingPackage("control-arena is not installed; `pip install control-arena`") from missing
    return EvalMode.HONEST, EvalMode.ATTACK


def _by_inspect(
    setting: Any, micro_protocol: Any, *, models: tuple[str, str], monitors: list[Any], modes: tuple[Any, Any]
) -> Evaluate:  # objects of control_arena and Inspect
    async def evaluate(main: str, side: str | None, seed: int) -> Scored:
        from tempfile import TemporaryDirectory

        from control_arena.eval import ControlEvalConfig, get_control_task  # type: ignore[import-not-found,unused-ignore]
        from inspect_ai import eval_async

        mode = modes[0] if side is None else modes[1]
        chosen = [s for s in setting.get_filtered_dataset(mode) if _names(s) == (main, side)]
        config = ControlEvalConfig(untrusted_model=models[0], trusted_model=models[1])
        task = get_control_task(setting, micro_protocol, mode, config, monitoring_scorers=monitors, dataset=chosen[:1])
        with TemporaryDirectory() as logs:
            log = (await eval_async(task, model=models[0], seed=seed, log_dir=logs))[0]
            samples = list(log.samples or ())  # read from the log when asked for, so before it is gone
        if not samples:
            raise SettingRefused(f"{setting.get_name()}: Inspect gave no sample for {main!r} ({log.status})")
        sample: Scored = samples[0]
        return sample

    return evaluate


def _names(sample: Any) -> tuple[str, str | None]:  # an Inspect sample
    return sample.metadata["main_task_name"], sample.metadata["side_task_name"] or None


def _success(scores: Mapping[str, Any], name: str) -> bool:
    for scorer, score in scores.items():
        value = score.value.get(name) if isinstance(score.value, Mapping) else score.value if scorer == name else None
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
    raise SettingRefused(f"no scorer gave {name!r}; those that ran: {', '.join(scores)}")
