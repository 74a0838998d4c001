"""A server for `gateway.py`: a bare pass-through proxy, or the gateway with one of several stacks. Prints its base URL
and a key.

Both run under the same uvicorn (uvloop, httptools), call the upstream with aiohttp and take one process.
"""

import argparse
import socket
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

STACKS = ("none", "rules", "default")
_DROPPED = {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding", b"authorization"}


class Bare:
    """Passes a request on and the answer back, unread."""

    def __init__(self, upstream: str) -> None:
        self.url = upstream + "/chat/completions"
        self.session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.live(receive, send)
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name not in _DROPPED}
        assert self.session is not None
        async with self.session.post(self.url, data=body, headers=headers) as response:
            kind = response.headers["Content-Type"].encode()
            if kind.startswith(b"text/event-stream"):
                head = {"type": "http.response.start", "status": response.status, "headers": [(b"content-type", kind)]}
                await send(head)
                async for piece in response.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                return await send({"type": "http.response.body", "body": b"", "more_body": False})
            data = await response.read()
            heads = [(b"content-type", kind), (b"content-length", str(len(data)).encode())]
            await send({"type": "http.response.start", "status": response.status, "headers": heads})
            return await send({"type": "http.response.body", "body": data, "more_body": False})

    async def live(self, receive: Any, send: Any) -> None:
        await receive()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.session.close()
        await send({"type": "lifespan.shutdown.complete"})


def stack_of(name: str) -> Any:
    """Rules (words on both sides, a count per account, personal data), the stack that ships, or nothing."""
    from safecase.declare import load_model_spec
    from safecase.safeguard import AccountLayer, PersonalDataLayer, Stack, TermsLayer, empty_stack, load_stack

    if name == "none":
        return empty_stack()
    if name == "default":
        return load_stack("default", load_model_spec("default"))
    terms = ("zanziscope", "quellbarrow paste", "umbrel seven")
    words = (TermsLayer(name=f"words-{at}", stage=at, terms=terms) for at in ("input", "output"))
    personal = PersonalDataLayer(name="personal", stage="output", kinds=("card", "email", "iban", "phone", "ssn"))
    account = AccountLayer(name="account", stage="input", most_asked=None, most_withheld=100, window_s=600)
    layers = (account, *words, personal)
    windows = frozenset({"words-output", "personal"})
    return Stack(id="rules", layers=layers, system_prompt=None, timeout_s=2, digest="rules", windows=windows)


def gateway_of(upstream: str, name: str, folder: Path) -> tuple[Any, str, Any]:
    """A gateway with keys, limits, metrics, events into files and traces of one call in a hundred, a key to it, and
    its recorder, which is to be started."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from safecase import serve
    from safecase.testing import OpenAuthority

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - as the library has it
            return SpanExportResult.SUCCESS

    slot = serve.WorkerSlot.claim(folder / "run")
    metrics = serve.Metrics.open(slot)
    traces = serve.Traces(Nowhere(), sample=0.01)

    def count(event: Any, _: bytes) -> None:
        metrics.count(event)

    allowance = serve.Allowance(requests_per_minute=1e9, tokens_per_minute=1e12, concurrent=10_000)
    issued = serve.add_key(folder / "keys.json", at=datetime.now(UTC), account="bench", allowance=allowance)
    recorder = serve.EventRecorder(serve.JsonlSink(folder / "events"), slot)
    described = serve.Gateway(
        stack=stack_of(name),
        upstream=serve.Upstream(base_url=upstream, serves="stub"),
        authority=OpenAuthority(),
        keys=serve.FileKeyBook(folder / "keys.json"),
        limiter=serve.SharedLimiter.open(slot),
        recorder=recorder,
        observers=(count, traces.observe),
    )
    return described, issued.token, recorder


def gateway(upstream: str, name: str, folder: Path) -> tuple[Any, str]:
    """It as an app, and the key."""
    from safecase import serve

    described, token, recorder = gateway_of(upstream, name, folder)
    app = serve.create_app(described)

    async def recorded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await recorder.start()
            serve.settle()  # as a worker does
        await app(scope, receive, send)

    return recorded, token


def main() -> None:
    """Parse, listen, serve until killed."""
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("what", choices=("bare", *STACKS))
    parser.add_argument("upstream")
    parser.add_argument("--profile", type=Path, help="write a profile here when stopped")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        app, key = Bare(options.upstream), "none"
        if options.what != "bare":
            app, key = gateway(options.upstream, options.what, Path(folder))
        serve(app, key, options)


def serve(app: Any, key: str, options: argparse.Namespace) -> None:
    """Listen on a free port, say where and with which key."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/v1 {key}\n")
    sys.stdout.flush()
    if isinstance(app, Bare):
        same = {"access_log": False, "proxy_headers": False, "server_header": False, "date_header": False}
        config = uvicorn.Config(app, http="httptools", loop="uvloop", ws="none", log_level="error", **same)
    else:
        from safecase.serve import server_config

        config = server_config(app)
    server = uvicorn.Server(config)
    if options.profile is None:
        server.run(sockets=[listening])
        return
    import cProfile
    import signal

    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn ends by it, and then raises it again
    profile = cProfile.Profile()
    profile.enable()
    try:
        server.run(sockets=[listening])
    finally:
        profile.disable()
        profile.dump_stats(options.profile)


if __name__ == "__main__":
    main()
