"""What can go wrong at the console.

ConsoleError
├── KeysRefused   keys cannot be issued, read or revoked as asked
├── NoSuchSheet   the folder holds no such labelling sheet of this case
├── NotTheirs     a sheet is somebody else's, or this person may not label this answer
└── NotWritten    pages cannot be written where they were asked for

What the server turns down, and an address it cannot have, are `web`'s `Refused` and `CannotListen`.
"""


class ConsoleError(Exception):
    """The console cannot do what was asked."""


class KeysRefused(ConsoleError):
    """Keys cannot be issued, read or revoked as asked."""


class NoSuchSheet(ConsoleError):
    """The folder holds no such labelling sheet of this case, or one that cannot be read."""


class NotTheirs(ConsoleError):
    """A sheet is somebody else's, or this person may not label this answer."""


class NotWritten(ConsoleError):
    """Pages cannot be written where they were asked for."""
