"""What measuring cannot do.

MeasureError
├── NoEvidence            a rate was asked for that nothing measured
└── JudgeNotIndependent   the judge is a model that an attack optimises against
"""


class MeasureError(Exception):
    """A measurement cannot be made."""


class NoEvidence(MeasureError, ValueError):
    """A rate was asked for that nothing measured."""


class JudgeNotIndependent(MeasureError, ValueError):
    """The judge is a model that an attack optimises against."""
