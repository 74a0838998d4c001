"""Shards in processes of this machine: what a cluster does, with nothing to set up."""

import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from safecase.run._shards import Lost, PackedCase, ShardJob, ShardReport, run_shard


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
        worker = next((worker for worker in self._workers if worker.number is None), None) or self._hire()
        worker.number = job.number
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
        """Kill every process."""
        for worker in list(self._workers):
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
    try:
        while True:
            pipe.send(run_shard(case, pipe.recv()))
    except (EOFError, KeyboardInterrupt):
        return
