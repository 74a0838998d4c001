"""The editions of a case's report, listed and handed out file by file. What a case brings is not trusted to run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safecase.assess import Case, Edition, load_editions

_NAME = re.compile(r"(?:report\.(?:html|pdf|json)|figures/[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.svg)")
TYPES: Mapping[str, str] = {
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A report is another origin's page as far as a browser is concerned: no script, nothing fetched, no form."""
_MOST_BYTES = 200 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """What lies in `report/`.

    Attributes:
        editions: the latest first; the files are of the latest.
        files: name -> bytes.
    """

    editions: tuple[Edition, ...]
    files: Mapping[str, int]


def report_view(case: Case) -> ReportView:
    """The editions of a case, and the files of the last one."""
    folder = case.path / "report"
    names = [*sorted(folder.glob("report.*")), *sorted((folder / "figures").glob("*.svg"))]
    found = {name: path.stat().st_size for one in names if (path := report_file(case, name := _name(folder, one)))}
    return ReportView(editions=tuple(reversed(load_editions(case))), files=found)


def report_file(case: Case, name: str) -> Path | None:
    """The file of that name below `report/`; None for any other name, a link, or what leads out of the folder."""
    folder = case.path / "report"
    path = folder / name
    if not _NAME.fullmatch(name) or path.is_symlink() or path.parent.is_symlink() or folder.is_symlink():
        return None
    inside = path.is_file() and path.resolve().is_relative_to(folder.resolve())
    return path if inside and path.stat().st_size <= _MOST_BYTES else None


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
