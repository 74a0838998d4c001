"""Shards in processes of this machine: what a cluster does, with nothing to set up."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from safecase.run._shards import Lost, PackedCase, ShardJob, ShardReport, run_shard

_PATIENCE_S = 5.0


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    number: int | None = None


class LocalExecutor:
    """Runs each shard in one of several processes; one that dies is replaced.

    Args:
        processes: how many, at least 1.
    """

    def __init__(self, processes: int) -> None:
        self._slots = processes
        self._case: PackedCase | None = None
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold

    @property
    def slots(self) -> int:
        """As many as there are processes."""
        return self._slots

    def start(self, case: PackedCase) -> None:
        """Keep the case; processes start with the first jobs."""
        self._case = case

    def submit(self, job: ShardJob) -> None:
        """Hand a job to an idle process, started if there is none."""
        for worker in [worker for worker in self._workers if worker.number is None]:
            try:
                worker.pipe.send(job)
            except OSError:  # it died while it waited
                self._dismiss(worker)
            else:
                worker.number = job.number
                return
        worker = self._hire()
        worker.number = job.number
        with contextlib.suppress(OSError):  # it died at once, which `poll` finds
            worker.pipe.send(job)

    def poll(self) -> list[ShardReport | Lost]:
        """Reports that came in, and processes that died with a job."""
        ended: list[ShardReport | Lost] = []
        for worker in list(self._workers):
            if (number := worker.number) is None:
                continue
            try:
                if worker.pipe.poll():
                    ended.append(worker.pipe.recv())
                    worker.number = None
            except (EOFError, OSError):  # the other end is gone
                worker.process.join()
                ended.append(Lost(number=number, reason=f"process ended with {worker.process.exitcode}"))
                self._dismiss(worker)
        return ended

    def close(self) -> None:
        """Interrupt every process, which writes what it has; kill those that do not end."""
        for worker in self._workers:
            if worker.process.is_alive() and worker.process.pid:
                os.kill(worker.process.pid, signal.SIGINT)
        until = time.monotonic() + _PATIENCE_S
        for worker in list(self._workers):
            worker.process.join(max(0.0, until - time.monotonic()))
            self._dismiss(worker)

    def _hire(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._case), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process=process, pipe=mine)
        self._workers.append(worker)
        return worker

    def _dismiss(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()
        worker.process.close()


def _work(pipe: Connection, case: PackedCase) -> None:
    """One job after another, until the driver is gone."""
    threading.Thread(target=_die_with_the_driver, daemon=True).start()
    try:
        while True:
            pipe.send(run_shard(case, pipe.recv()))
    except (EOFError, KeyboardInterrupt):
        return


def _die_with_the_driver() -> None:
    """A driver that was killed runs again, and would ask beside a worker that outlived it."""
    if (driver := multiprocessing.parent_process()) is not None:
        driver.join()
        os._exit(1)
