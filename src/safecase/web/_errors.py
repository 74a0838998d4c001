"""What can go wrong at a server of pages.

WebError
├── CannotListen  the address is taken, or not this machine's
└── Refused       somebody asked for what they may not have; the server answers with its status and code
"""


class WebError(Exception):
    """A page cannot be served as asked."""


class CannotListen(WebError):
    """The server cannot have the address it was given."""


class Refused(WebError):
    """A request that is turned down.

    Attributes:
        status: HTTP status.
        code: kebab-case, stable, for programs.
        retry_after_s: when the same request may succeed; None where waiting does not help.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
