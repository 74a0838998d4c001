"""What can be wrong when a gateway is set up. A call that fails is a `Refusal`, not an exception.

ServeError
├── NotPermitted      the permit does not let the gateway serve, and why
├── CannotListen      the address is taken, or is none of this machine's
├── KeysUnusable      the file of API keys cannot be read, trusted or changed
├── SharedUnusable    a file shared by the workers is of another make, or no place in it is free
├── RetentionRefused  a retention policy that cannot be kept
└── SinkTrouble       events cannot be delivered there now; the recorder spools them and tries again
"""


class ServeError(Exception):
    """The gateway cannot be set up, or cannot go on."""


_TAMPERED = frozenset({"case-changed", "evidence-changed", "ledger-broken", "signature-broken"})


class NotPermitted(ServeError):
    """The permit does not let the gateway serve.

    Attributes:
        reason: kebab-case; what clients and events get.
        message: a sentence for clients, without its full stop; it names no file.
        detail: for the operator: the value, where it came from, the next step.
    """

    def __init__(self, reason: str, message: str, detail: str) -> None:
        super().__init__(f"{message} ({reason}): {detail}")
        self.reason, self.message, self.detail = reason, message, detail

    @property
    def is_tampering(self) -> bool:
        """Whether a file is not what was signed or recorded, rather than over, missing or withdrawn."""
        return self.reason in _TAMPERED


class CannotListen(ServeError):
    """The address is taken, or is none of this machine's."""


class KeysUnusable(ServeError):
    """The file of API keys cannot be read, trusted or changed."""


class SharedUnusable(ServeError):
    """A file shared by the workers is of another make, or no place in it is free."""


class RetentionRefused(ServeError):
    """A retention policy that cannot be kept."""


class SinkTrouble(ServeError):
    """Events cannot be delivered there now."""
