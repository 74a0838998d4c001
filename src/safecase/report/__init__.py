"""One evidence base -> editions: the Safety & Preparedness Report as HTML, PDF and JSON.

Takes:  `ReportInput`: framework, case, decision, estimates, totals, samples, cards, signatures.
Gives:  report.html, report.pdf, report.json, figures/*.svg; the table of every number with its way back to evidence.
Does not own: measuring, deciding, signing. No clock, and no number of its own: what it cannot trace it refuses.
"""

from safecase.report._errors import MissingExtras, ReportError, UntracedNumber
from safecase.report._input import (
    EditionChange,
    GuardHead,
    JudgeLine,
    Redaction,
    ReferenceLine,
    ReportInput,
    SampleRow,
    Share,
    Signature,
    Totals,
)
from safecase.report._numbers import Number, measured_text
from safecase.report._render import Rendered, numbers, render
from safecase.report._samples import draw_samples, sample_row

__all__ = [
    "EditionChange",
    "GuardHead",
    "JudgeLine",
    "MissingExtras",
    "Number",
    "Redaction",
    "ReferenceLine",
    "Rendered",
    "ReportError",
    "ReportInput",
    "SampleRow",
    "Share",
    "Signature",
    "Totals",
    "UntracedNumber",
    "draw_samples",
    "measured_text",
    "numbers",
    "render",
    "sample_row",
]
