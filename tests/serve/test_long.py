"""What takes long to read is read beside the loop, in which others wait for their answers."""

import threading
from types import ModuleType
from typing import Any

import aiohttp
import pytest

from safecase.mark import Label
from safecase.serve import Images, Upstream, _chat, _embeddings, _guarded, _images, _responses
from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, gateway, words_stack

LONG = "All is well. " * 8_000
CHAT: dict[str, Any] = {"model": "stub", "messages": [{"role": "user", "content": "Hi"}]}
REQUESTS: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "chat/completions": (_chat, {"messages": [{"role": "user", "content": LONG}]}),
    "responses": (_responses, {"input": LONG}),
    "embeddings": (_embeddings, {"input": LONG}),
    "images/generations": (_images, {"prompt": LONG}),
}


def note_threads(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[bool]:
    """Whether each use of a module's function is in this thread."""
    function, here = getattr(module, name), threading.get_ident()
    seen: list[bool] = []

    def noted(*args: Any, **fields: Any) -> Any:
        seen.append(threading.get_ident() == here)
        return function(*args, **fields)

    monkeypatch.setattr(module, name, noted)
    return seen


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_long_request_is_read_in_a_thread_and_a_short_one_at_once(monkeypatch: pytest.MonkeyPatch, path: str):
    module, said = REQUESTS[path]
    short = CHAT if path == "chat/completions" else {"model": "stub", **dict.fromkeys(said, "Hi")}
    seen = note_threads(monkeypatch, module, "exchange_of")
    async with (
        StubEndpoint() as stub,
        gateway(
            stub.url,
            stack=words_stack(),
            embeddings=Upstream(base_url=stub.url, serves="stub"),
            images=Images(upstream=Upstream(base_url=stub.url, serves="stub"), label=Label(text="AI")),
        ) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
    ):
        for body in (short, {"model": "stub", **said}):
            async with session.post(f"{running.url}/{path}", json=body):
                pass

    assert seen == [True, False]


async def test_a_long_reply_is_read_in_a_thread_and_a_short_one_at_once(monkeypatch: pytest.MonkeyPatch):
    """A few hundred tokens with their log-probabilities are as long as a book."""
    seen = note_threads(monkeypatch, _guarded, "reply_of")
    async with (
        StubEndpoint([StubReply(text="Yes."), StubReply(text=LONG)]) as stub,
        gateway(stub.url, stack=words_stack()) as running,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
    ):
        for _ in range(2):
            async with session.post(f"{running.url}/chat/completions", json=CHAT) as got:
                assert got.status == 200

    assert seen == [True, False]
