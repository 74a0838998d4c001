"""Errors of the report room. Names say the condition, hence `noqa: N818` (no Error suffix).

ReportError
├── UntracedNumber
└── MissingExtras
"""


class ReportError(Exception):
    """A report cannot be rendered."""


class UntracedNumber(ReportError):
    """A template asks for a number that is not in the table of numbers."""


class MissingExtras(ReportError):
    """The packages that draw and typeset are not installed."""
