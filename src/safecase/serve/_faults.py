"""Why a call gets an error instead of an answer, in the shape that OpenAI clients read.

Messages are ours: they name fields of the protocol and figures, and never repeat what a client or a model said.
"""

import orjson

from safecase.evidence import Outcome
from safecase.serve._values import Refusal

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Fault(Exception):
    """A call that ends in an error.

    Attributes:
        refusal: what the client is told.
        outcome: what the call's event says of it.
        param: the field of the request that is wrong.
        headers: further headers of the answer.
    """

    def __init__(self, refusal: Refusal, *, outcome: Outcome = "failed", param: str | None = None) -> None:
        super().__init__(refusal.message)
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.refusal = refusal
        self.outcome = outcome
        self.param = param


class ClientGone(Exception):
    """Whoever asked has hung up, or takes nothing of the answer; there is nobody to answer."""


def refused(status: int, reason: str, message: str, *, param: str | None = None) -> Fault:
    """A call that never reaches the stack."""
    return Fault(Refusal(status=status, reason=reason, message=message), outcome="refused", param=param)


def bad_request(message: str, *, param: str | None = None, reason: str = "bad-request") -> Fault:
    """A body that is none, or that asks for what is not served."""
    return refused(400, reason, message, param=param)


def failed(status: int, reason: str, message: str, *, retry_after_s: float | None = None) -> Fault:
    """An upstream, or the gateway itself, that failed."""
    return Fault(Refusal(status=status, reason=reason, message=message, retry_after_s=retry_after_s))


def error_json(fault: Fault) -> bytes:
    """The body of an error.

    >>> error_json(bad_request("n must be a whole number", param="n"))
    b'{"error":{"message":"n must be a whole number","type":"invalid_request_error","param":"n","code":"bad-request"}}'
    """
    told = fault.refusal
    kind = _TYPES.get(told.status, "server_error" if told.status >= 500 else "invalid_request_error")
    return orjson.dumps({"error": {"message": told.message, "type": kind, "param": fault.param, "code": told.reason}})
