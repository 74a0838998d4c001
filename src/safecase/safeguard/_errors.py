"""What can be wrong with a safeguard stack.

SafeguardError
├── StackError      a stack file names a layer, a head or a term that cannot be
└── GoldenFailed    an exchange with a known ruling got another one
"""


class SafeguardError(Exception):
    """A safeguard stack cannot be used."""


class StackError(SafeguardError):
    """A stack file is wrong; the message names the layer."""


class GoldenFailed(SafeguardError):
    """A stack rules otherwise than it is known to; it answers nothing."""
