"""`/metrics` as an ASGI app: behind a key with the scope `metrics`, or open, for a port of its own."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from safecase.serve._metrics import Metrics
from safecase.serve._values import KeyBook

Message = MutableMapping[str, Any]  # as ASGI has it
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class MetricsPage:
    """Answers GET with what all workers counted.

    Args:
        keys: who may read; None lets everyone, for an app on a loopback port.
        refresh: called first, so that this worker's gauges are of now.
    """

    def __init__(self, metrics: Metrics, *, keys: KeyBook | None, refresh: Callable[[], None] | None = None) -> None:
        self._metrics, self._keys, self._refresh = metrics, keys, refresh

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """One request."""
        headers = dict(scope["headers"])
        status = self._status(headers.get(b"authorization", b"").decode("latin-1"))
        if status == 200:
            if self._refresh is not None:
                self._refresh()
            accept = headers.get(b"accept", b"").decode("latin-1")
            body, kind = await asyncio.to_thread(self._metrics.render, accept)
        else:
            body, kind = b"a key with the scope metrics is needed\n", "text/plain; charset=utf-8"
        about = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        if status == 401:
            about.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": about})
        await send({"type": "http.response.body", "body": body})

    def _status(self, authorization: str) -> int:
        if self._keys is None:
            return 200
        scheme, _, token = authorization.partition(" ")
        account = self._keys.find(token.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            return 401
        return 200 if "metrics" in account.scopes else 403
