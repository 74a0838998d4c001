"""A progress bar on stderr, with time left. Silent when stderr is no terminal, but for a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from safecase.assess import SuiteProgress
    from safecase.run import Progress

_EVERY_S = 10.0


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[["Progress"], None]]:
    """Give a callback that shows how far a run is.

    Args:
        what: what is counted, in the plural.
    """
    if not sys.stderr.isatty():
        yield _plain(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)

        def update(progress: "Progress") -> None:
            bar.update(task, completed=progress.done, total=progress.total, description=what + _beside(progress))

        yield update


@contextmanager
def suites_bar() -> Iterator[Callable[["SuiteProgress"], None]]:
    """Give a callback that shows how far suites are, one after another."""
    if not sys.stderr.isatty():
        yield _plain_suites()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    rows: dict[str, TaskID] = {}
    with Bar(*columns, console=Console(stderr=True)) as bar:

        def update(progress: "SuiteProgress") -> None:
            name = f"{progress.suite} on {progress.arm}"
            if name not in rows:
                rows[name] = bar.add_task(name, total=progress.total)
            bar.update(rows[name], completed=progress.done, description=f"{name} ({progress.solved} solved)")

        yield update


def _plain_suites() -> Callable[["SuiteProgress"], None]:
    last = time.monotonic()

    def update(progress: "SuiteProgress") -> None:
        nonlocal last
        if time.monotonic() - last < _EVERY_S:
            return
        last = time.monotonic()
        line = f"{progress.suite} on {progress.arm}: {progress.done} of {progress.total} attempts"
        click.echo(f"{line}, {progress.solved} solved", err=True)

    return update


def _plain(what: str) -> Callable[["Progress"], None]:
    last = time.monotonic()

    def update(progress: "Progress") -> None:
        nonlocal last
        if time.monotonic() - last < _EVERY_S:
            return
        last = time.monotonic()
        eta = f", about {progress.eta_s:.0f} s left" if progress.eta_s is not None else ""
        click.echo(f"{progress.done} of {progress.total} {what}{_beside(progress)}{eta}", err=True)

    return update


def _beside(progress: "Progress") -> str:
    """What a run is costing, beside its count."""
    parts = [f"{progress.in_flight} in flight", f"{progress.tokens} tokens"]
    if progress.cost_usd is not None:
        parts.append(f"{progress.cost_usd:.2f} USD")
    if progress.errors:
        parts.append(f"{progress.errors} without an answer")
    return f" ({', '.join(parts)})"
