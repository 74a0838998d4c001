"""What can be wrong with a safeguard stack.

SafeguardError
└── StackError    a stack file names a layer or a head that is not there
"""


class SafeguardError(Exception):
    """A safeguard stack cannot be used."""


class StackError(SafeguardError):
    """A stack file is wrong; the message names the layer."""
