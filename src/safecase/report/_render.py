"""Render every edition of a report into a directory."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.decide import Argument
from safecase.evidence import digest_bytes, write_atomic
from safecase.report._argument_drawn import argument_overview, argument_parts
from safecase.report._balance import balance_sketch
from safecase.report._campaigns import campaign_numbers
from safecase.report._changed import changed_sketch
from safecase.report._document import document
from safecase.report._figures import Figure, Sketch, sketches
from safecase.report._html import render_html
from safecase.report._input import ReportInput
from safecase.report._numbers import Number, Tracer, printable
from safecase.report._pdf import render_pdf
from safecase.report._since import since_numbers
from safecase.report._suites import suite_numbers

SCHEMA = "safecase.report/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What was written.

    Attributes:
        paths: `html`, `pdf`, `json` and `figures/<name>.svg` -> file.
        digests: the same names -> SHA-256 of the file.
    """

    paths: Mapping[str, Path]
    digests: Mapping[str, str]


def render(given: ReportInput, out_dir: Path) -> Rendered:
    """Write report.html, report.pdf, report.json and figures/*.svg. The same input gives the same bytes.

    Each file is replaced whole or not at all; figures of an earlier edition that no longer exist are removed.

    Raises:
        UntracedNumber: an edition asks for a number that the table does not hold.
        MissingExtras: a package of `safecase[report]` is not installed.
        DiskFull: no space left, here or where temporary files lie.
        OSError: the directory cannot be written.
    """
    tracer, content, planned = _compose(given)
    drawn = (
        *(sketch.draw() for sketch in planned),
        *(sheet for argument in given.arguments for sheet in _argument_figures(given, argument)),
    )
    files: dict[str, tuple[str, bytes]] = {
        "html": ("report.html", render_html(content, tracer, drawn).encode()),
        "pdf": ("report.pdf", render_pdf(content, tracer, drawn, date=given.date)),
        **{f"figures/{figure.name}.svg": (f"figures/{figure.name}.svg", figure.svg.encode()) for figure in drawn},
    }
    files["json"] = ("report.json", report_json(content, tracer, drawn))
    return _write(files, out_dir)


def numbers(given: ReportInput) -> dict[str, Number]:
    """Every number that a report on this input prints, by id: what report.json holds. Needs no extra package.

    Raises:
        UntracedNumber: the document asks for a number that the table does not hold.
    """
    tracer, _, _ = _compose(given)
    return {number_id: tracer.table[number_id] for number_id in tracer.printed}


def report_json(content: Mapping[str, Any], tracer: Tracer, drawn: tuple[Figure, ...]) -> bytes:
    """The JSON edition: the document, every printed number with the way to its evidence, every figure."""
    value = {
        "schema": SCHEMA,
        "document": dict(content),
        "numbers": tracer.to_json(),
        "figures": [
            {
                "name": figure.name,
                "title": figure.title,
                "description": figure.description,
                "file": f"figures/{figure.name}.svg",
                "sha256": digest_bytes(figure.svg.encode()),
                "numbers": list(figure.numbers),
            }
            for figure in drawn
        ],
    }
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def _compose(given: ReportInput) -> tuple[Tracer, dict[str, Any], tuple[Sketch, ...]]:
    """The document and the figures to draw, with every number of either noted as printed."""
    beside_gates = (suite_numbers, since_numbers, campaign_numbers)
    tracer = Tracer(printable(given) | {name: number for part in beside_gates for name, number in part(given)})
    content = document(given, tracer)
    beside = (changed_sketch(given), balance_sketch(given))
    planned = (*sketches(given), *(sketch for sketch in beside if sketch is not None))
    for number_id in (number_id for sketch in planned for number_id in sketch.numbers):
        tracer.num(number_id)
    return tracer, content, planned


def _argument_figures(given: ReportInput, argument: Argument) -> Iterator[Figure]:
    yield from argument_overview(argument)
    for part in argument_parts(argument, given.framework):
        yield from part.sheets


def _write(files: Mapping[str, tuple[str, bytes]], out_dir: Path) -> Rendered:
    (out_dir / "figures").mkdir(parents=True, exist_ok=True)
    for name, data in files.values():
        write_atomic(out_dir / name, data)
    kept = {out_dir / name for name, _ in files.values()}
    for stale in set((out_dir / "figures").glob("*.svg")) - kept:
        stale.unlink()
    return Rendered(
        paths={key: out_dir / name for key, (name, _) in files.items()},
        digests={key: digest_bytes(data) for key, (_, data) in files.items()},
    )
