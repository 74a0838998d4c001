"""A real gateway on a free port of loopback, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from safecase.safeguard import Stack, TermsLayer, empty_stack
from safecase.serve import App, Gateway, Upstream, create_app, server_config
from safecase.testing import ListRecorder, NoLimits, OneKey, OpenAuthority

KEY = "test-key"


def words_stack(word: str = "zanziscope", **fields: Any) -> Stack:
    """A stack that forbids one word on both sides."""
    layers = tuple(
        TermsLayer(name=f"words-{stage}", stage=stage, terms=(word,), principle="no-serious-harm")
        for stage in ("input", "output")
    )
    settings = {"system_prompt": None, "windows": frozenset({"words-output"}), **fields}
    return Stack(id="words", layers=layers, timeout_s=2.0, digest="words", **settings)


@dataclass(slots=True)
class Running:
    """A gateway that runs, and the fakes around it."""

    url: str
    app: App
    authority: OpenAuthority
    limiter: NoLimits
    recorder: ListRecorder

    @property
    def event(self) -> Any:
        """Of the only call."""
        (event,) = self.recorder.events
        return event

    async def wait_for_events(self, count: int = 1) -> None:
        """An event is recorded after its answer went out."""
        async with asyncio.timeout(5):
            while len(self.recorder.events) < count:  # noqa: ASYNC110 - a recorder tells nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway(upstream: str | Upstream, *, stack: Stack | None = None, **fields: Any) -> AsyncIterator[Running]:
    """Run a gateway in front of an upstream."""
    authority, limiter, recorder = OpenAuthority(), NoLimits(), ListRecorder()
    if isinstance(upstream, str):
        upstream = Upstream(base_url=upstream, serves="stub")
    seams: dict[str, Any] = {"authority": authority, "keys": OneKey(), "limiter": limiter, "recorder": recorder}
    app = create_app(Gateway(stack=stack or empty_stack(), upstream=upstream, **{**seams, **fields}))
    async with serving(app) as url:
        yield Running(url=url, app=app, authority=authority, limiter=limiter, recorder=recorder)


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Run an ASGI app under uvicorn; its address."""
    config = server_config(app, host="127.0.0.1", port=0, log_level="error", loop="none")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[method-assign]  # the test's loop is not its own
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        await task
