"""CyberSecEval's requests to abuse an interpreter as tasks, from the file that a user has."""

from collections.abc import Sequence

from safecase.suites._rows import Row
from safecase.suites.interpreter._suite import AbuseTask


def abuse_tasks_from(rows: Sequence[Row]) -> tuple[AbuseTask, ...]:
    """Tasks from rows with `text` and `category`; they have no twins, so over-refusal is not measured on them.

    The honeypots are of the toy machine and know the shipped requests best: what runs past them all without a refusal
    carries no number, so that a rate on foreign requests is wide rather than low.

    Raises:
        SuiteMissing: a row lacks a field.
    """
    return tuple(
        AbuseTask(id=row.id, category=row.first("category").lower().replace(" ", "-"), asks=row.text("text"))
        for row in rows
    )
