"""The PDF edition, set by Typst with its own fonts: nothing on the machine changes a byte."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safecase.evidence import disk_full_names
from safecase.report._errors import MissingExtras, ReportError, UntracedNumber
from safecase.report._figures import EXTRAS, Figure
from safecase.report._html import appendix
from safecase.report._numbers import Tracer

_TEMPLATE = Path(__file__).parent / "templates" / "report.typ"


def render_pdf(content: Mapping[str, Any], tracer: Tracer, figures: Sequence[Figure], *, date: dt.date) -> bytes:
    """Render a document.

    Raises:
        UntracedNumber: the template asks for a number without an id in the table.
        ReportError: Typst refused it for another reason.
        MissingExtras: typst is not installed.
    """
    try:
        import typst
    except ImportError as fault:
        raise MissingExtras(EXTRAS) from fault
    with TemporaryDirectory(prefix="safecase-report-") as folder:
        with disk_full_names(Path(folder)):
            _lay_out(Path(folder), content, tracer, figures)
        try:
            made = typst.Compiler(
                Path(folder) / "report.typ",
                root=folder,
                ignore_system_fonts=True,
                package_path=folder,
                package_cache_path=folder,
            ).compile(format="pdf", pdf_standards=["a-2a"], timestamp=_midnight(date))
        except typst.TypstError as fault:
            if "no number has the id" in fault.message:
                raise UntracedNumber(fault.message) from fault
            raise ReportError(f"the PDF cannot be set: {fault.diagnostic}") from fault
    return made if isinstance(made, bytes) else b"".join(made or ())


def _lay_out(folder: Path, content: Mapping[str, Any], tracer: Tracer, figures: Sequence[Figure]) -> None:
    """Put what the template reads beside it."""
    (folder / "report.typ").write_bytes(_TEMPLATE.read_bytes())
    _write_json(folder / "document.json", content)
    _write_json(folder / "numbers.json", tracer.to_json())
    _write_json(folder / "appendix.json", appendix(tracer))
    drawn = [{"name": f.name, "title": f.title, "note": f.note, "description": f.description} for f in figures]
    _write_json(folder / "figures.json", drawn)
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:  # JSON
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _midnight(date: dt.date) -> dt.datetime:
    return dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC)
