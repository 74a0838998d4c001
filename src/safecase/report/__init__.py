"""One evidence base -> editions: the Safety & Preparedness Report as HTML, PDF and JSON.

Takes:  `ReportInput`: framework, case, decision, estimates, totals, samples, cards, signatures.
Gives:  report.html, report.pdf, report.json, figures/*.svg; the table of every number with its way back to evidence.
Does not own: measuring, deciding, signing. No clock, and no number of its own: what it cannot trace it refuses.
"""

from safecase.report._argument_drawn import ArgumentPart, argument_overview, argument_parts, draw_argument
from safecase.report._errors import MissingExtras, ReportError, UntracedNumber
from safecase.report._frontier import frontier_figure, frontier_sketch
from safecase.report._html import themed
from safecase.report._input import (
    CampaignLine,
    Campaigns,
    EditionChange,
    EventLine,
    GateReading,
    GuardHead,
    JudgeLine,
    LayerLine,
    Redaction,
    ReferenceLine,
    ReportInput,
    SampleRow,
    Share,
    Signature,
    Since,
    StudyLine,
    Totals,
    ValidationLine,
)
from safecase.report._numbers import Number, estimate_text, measured_text
from safecase.report._render import Rendered, numbers, render
from safecase.report._samples import draw_samples, sample_row
from safecase.report._since import OF_LEDGER

__all__ = [
    "OF_LEDGER",
    "ArgumentPart",
    "CampaignLine",
    "Campaigns",
    "EditionChange",
    "EventLine",
    "GateReading",
    "GuardHead",
    "JudgeLine",
    "LayerLine",
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
    "Since",
    "StudyLine",
    "Totals",
    "UntracedNumber",
    "ValidationLine",
    "argument_overview",
    "argument_parts",
    "draw_argument",
    "draw_samples",
    "estimate_text",
    "frontier_figure",
    "frontier_sketch",
    "measured_text",
    "numbers",
    "render",
    "sample_row",
    "themed",
]
