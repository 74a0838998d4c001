"""What measuring cannot do.

MeasureError
├── JudgeNotIndependent   the judge is a model that an attack optimises against
├── NoEvidence            a rate was asked for that nothing measured
└── TooFewEvents          a method was asked for that needs more labelled events
"""


class MeasureError(Exception):
    """A measurement cannot be made."""


class NoEvidence(MeasureError, ValueError):
    """A rate was asked for that nothing measured."""


class JudgeNotIndependent(MeasureError, ValueError):
    """The judge is a model that an attack optimises against."""


class TooFewEvents(MeasureError, ValueError):
    """A method was asked for that needs more labelled events than there are."""
