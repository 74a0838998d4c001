"""The options that spread a run over processes or machines."""

from typing import TYPE_CHECKING

import click

from safecase.cli._common import BAD_INPUT, CommandT, fail, note

if TYPE_CHECKING:
    from safecase.assess import Cluster

_LOCAL = "local"


def cluster_options(command: CommandT) -> CommandT:
    """Add --ray, --processes, --storage and --shards to a command."""
    for option in (
        click.option("--shards", type=click.IntRange(1), help="Parts of the plan; four for each process by default."),
        click.option("--storage", help="Path or URL (s3://...) that this machine and every worker reach."),
        click.option(
            "--processes",
            type=click.IntRange(1),
            help="Shards at once: on this machine, or with --ray at most this many on the cluster.",
        ),
        click.option(
            "--ray",
            is_flag=False,
            flag_value=_LOCAL,
            metavar="[ADDRESS]",
            help="Run in shards on a Ray cluster; without an address one is started on this machine (about 10 s). "
            "Write it after CASE.",
        ),
    ):
        command = option(command)
    return command


def open_cluster(
    *, ray: str | None, processes: int | None, storage: str | None, shards: int | None
) -> "Cluster | None":
    """Where the options say that shards run; None for a run in this process."""
    if ray is None and processes is None:
        if (storage or shards) is not None:
            fail("--storage and --shards are for a run in shards; add --ray or --processes", BAD_INPUT)
        return None
    from safecase.assess import Cluster
    from safecase.run import LocalExecutor, RayExecutor

    if ray is None:
        return Cluster(executor=LocalExecutor(processes or 1), storage=storage, shards=shards)
    if ray != _LOCAL and storage is None:
        fail(
            f"--ray {ray}: its workers cannot reach a folder of this machine; name a place that they and this machine "
            "reach with --storage, such as s3://bucket/folder or a shared path",
            BAD_INPUT,
        )
    return Cluster(executor=RayExecutor(ray, processes=processes, say=note), storage=storage, shards=shards)
