"""What can be wrong with scenarios.

ComposeError
├── BankError      a bank file is missing, empty or malformed
├── NoAttacker     an attack asks an attacker model, and the case names none
└── UnknownAttack  an attack was asked for that the list does not hold
"""


class ComposeError(Exception):
    """Scenarios cannot be composed."""


class BankError(ComposeError):
    """A bank file cannot be used; the message names file and line."""


class NoAttacker(ComposeError):
    """An attack of the plan asks an attacker model, and there is none."""

    def __init__(self, attack: str) -> None:
        super().__init__(
            f"attack {attack!r} asks an attacker model and there is none; name one in `sampling.attacker` of "
            "safecase.yaml, or leave the attack out of `sampling.attacks`"
        )


class UnknownAttack(ComposeError):
    """An attack was asked for by a name that is not in `ATTACKS`."""
