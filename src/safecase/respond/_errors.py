"""What can go wrong at the desk.

RespondError
├── NotAllowed      a person may not do or read this
├── WrongStep       a record does not stand where this step begins
└── BadWord         a value that nothing of the case or the packs knows

What the server turns down, and an address it cannot have, are `web`'s `Refused` and `CannotListen`.
"""


class RespondError(Exception):
    """The desk cannot do what was asked."""


class NotAllowed(RespondError):
    """A person may not do or read this."""


class WrongStep(RespondError):
    """A record does not stand where this step begins."""


class BadWord(RespondError):
    """A value that nothing of the case or the packs knows."""
