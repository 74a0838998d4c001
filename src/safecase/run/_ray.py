"""Shards as plain Ray tasks, on a cluster or on this machine. The one module here that loads Ray, when it is used."""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from safecase.run._errors import NoCluster
from safecase.run._shards import Fault, Lost, PackedCase, ShardJob, ShardReport, run_shard

LOCAL = "local"
"""The address that stands for a cluster of this machine's own."""

_CONNECT_S = 10.0
_PATIENCE_S = 5.0

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anyone
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}


class RayExecutor:
    """Runs each shard as a Ray task of one CPU. Ray's own retries stay off: the driver decides what runs again.

    Args:
        address: a cluster's (`auto`, `host:6379`, `ray://host:10001`), or `local` to start one on this machine.
        processes: shards at once; every CPU of the cluster by default.
        say: told in a line what takes its time.
    """

    def __init__(
        self, address: str = LOCAL, *, processes: int | None = None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._address = address
        self._processes = processes
        self._say = say
        self._ray: Any = None  # Ray's types are not ours to check
        self._case: Any = None
        self._task: Any = None
        self._running: dict[Any, int] = {}
        self._joined = False

    @property
    def slots(self) -> int:
        """CPUs that the cluster has now, or `processes` if that is less."""
        cpus = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return cpus if self._processes is None else min(cpus, self._processes)

    def start(self, case: PackedCase) -> None:
        """Start or join the cluster and hand it the case.

        Raises:
            NoCluster: Ray is not installed, or nothing answers at the address.
        """
        began = time.monotonic()
        ray = self._ray = _load()
        if not ray.is_initialized():  # a notebook may have joined its cluster before, and keeps it
            self._join(ray)
        self._case = ray.put(case)
        self._task = ray.remote(num_cpus=1, max_retries=0)(run_shard)
        nodes = sum(node["Alive"] for node in ray.nodes())
        self._say(f"Ray is up after {time.monotonic() - began:.0f} s: {self.slots} shards at once on {nodes} machines")

    def submit(self, job: ShardJob) -> None:
        """Queue a task."""
        name = f"safecase shard {job.number} of {job.of}"
        self._running[self._task.options(name=name).remote(self._case, job)] = job.number

    def poll(self) -> list[ShardReport | Lost]:
        """Tasks that ended, well or not."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [self._ended(ref, self._running.pop(ref)) for ref in ready]

    def close(self) -> None:
        """Interrupt every task, which writes what it has; end those that go on; leave the cluster.

        One that was started here ends with it.
        """
        if self._ray is None or not self._ray.is_initialized():
            return
        for is_forced in (False, True):
            for ref in self._running:
                self._ray.cancel(ref, force=is_forced)
            if self._running:
                _, left = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=_PATIENCE_S)
                self._running = {ref: self._running[ref] for ref in left}
        self._running.clear()
        if self._joined:
            self._ray.shutdown()
            _say_nothing(self._ray, False)

    def _join(self, ray: Any) -> None:
        is_local = self._address == LOCAL
        self._say(
            "starting Ray on this machine (takes about 10 s)"
            if is_local
            else f"joining the Ray cluster at {self._address} (takes a few seconds)"
        )
        self._must_answer()
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        options: dict[str, Any] = {"num_cpus": self._processes, "include_dashboard": False} if is_local else {}
        _say_nothing(ray, True)
        try:
            ray.init(address=self._address, log_to_driver=False, logging_level="ERROR", **options)
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            raise self._none(f"{type(error).__name__}: {said}") from error
        self._joined = True

    def _must_answer(self) -> None:
        """Ray itself would look for minutes where nothing is."""
        host, _, port = self._address.removeprefix("ray://").rpartition(":")
        if not port.isdecimal():
            return
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
        except (OSError, OverflowError) as error:
            raise self._none(str(error)) from None

    def _none(self, why: str) -> NoCluster:
        return NoCluster(
            f"no Ray cluster at {self._address!r} ({why}); check `ray status` there, or leave the address away to "
            "start one on this machine"
        )

    def _ended(self, ref: Any, number: int) -> ShardReport | Lost:
        try:
            report: ShardReport = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:  # `run_shard` raises nothing: it could not even be loaded
            last = (str(error).strip().splitlines() or [""])[-1]
            line = f"{last}; install the driver's version of safecase on every machine"
            fault = Fault(kind="RayTaskError", line=line, trace=str(error))
            return ShardReport(number=number, segments=(), stopped=None, fault=fault, host="a worker", seconds=0.0)
        except self._ray.exceptions.RayError as error:  # worker killed, node gone, out of memory, case lost with a node
            return Lost(number=number, reason=type(error).__name__)
        return report


def _load() -> Any:
    try:
        import ray
    except ImportError:
        raise NoCluster("--ray needs Ray; run `pip install 'safecase[ray]'`, or leave --ray away") from None
    return ray


def _say_nothing(ray: Any, is_quiet: bool) -> None:
    """Keep Ray's own remarks on dead workers off stdout, where a command's JSON goes; the driver tells what they mean.

    Ray has no public switch for them. Under a Ray without this one they are printed again, and nothing else changes.
    """
    ray._private.worker._worker_logs_enabled = not is_quiet
