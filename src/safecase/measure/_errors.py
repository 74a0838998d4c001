"""What measuring cannot do.

MeasureError
└── NoEvidence   a rate was asked for that nothing measured
"""


class MeasureError(Exception):
    """A measurement cannot be made."""


class NoEvidence(MeasureError, ValueError):
    """A rate was asked for that nothing measured."""
