"""What can be wrong with scenarios.

ComposeError
├── BankError      a bank file is missing, empty or malformed
└── UnknownAttack  an attack was asked for that the list does not hold
"""


class ComposeError(Exception):
    """Scenarios cannot be composed."""


class BankError(ComposeError):
    """A bank file cannot be used; the message names file and line."""


class UnknownAttack(ComposeError):
    """An attack was asked for by a name that is not in `ATTACKS`."""
