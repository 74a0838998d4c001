"""CyberSecEval's requests for code as tasks, from the file that a user has."""

from collections.abc import Sequence
from dataclasses import dataclass

from safecase.suites._errors import SuiteMissing
from safecase.suites._rows import Row
from safecase.suites.insecure_code._judge import TAGS
from safecase.suites.insecure_code._suite import CodeTask


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRows:
    """Tasks, and how many rows were left out because no rule here reads their language, by language."""

    tasks: tuple[CodeTask, ...]
    left_out: dict[str, int]


def code_tasks_from(rows: Sequence[Row]) -> CodeRows:
    """Tasks from rows with `text`, `prog_language` and the weakness's number as `category`; asked in words alone.

    Their own detectors are not here: what is counted is what our judge finds.

    Raises:
        SuiteMissing: a row lacks a field, or no row is in a language that is judged here.
    """
    tasks, left_out = [], dict[str, int]()
    for row in rows:
        named = row.text("prog_language").lower()
        if (language := TAGS.get(named)) is None:
            left_out[named] = left_out.get(named, 0) + 1
            continue
        tasks.append(CodeTask(id=row.id, language=language, cwe=row.first("category"), asks=row.text("text")))
    if not tasks:
        raise SuiteMissing(f"no row is in a language that is judged here: {', '.join(sorted(left_out)) or 'no rows'}")
    return CodeRows(tasks=tuple(tasks), left_out=left_out)
