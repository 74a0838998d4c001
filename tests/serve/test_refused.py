"""Calls that get no answer: each with a status, a reason, an event, and nothing of what was said."""

import json
from typing import Any

import aiohttp
import pytest

from safecase.serve import Account, ExtraRoute, Limits, Refusal
from safecase.testing import OneKey, StubEndpoint

from .gateways import KEY, Running, gateway, words_stack

CHAT = {"model": "stub", "messages": [{"role": "user", "content": "Hello"}]}
SECRET = "x-secret-words-of-the-client"


async def call(
    running: Running, path: str = "/chat/completions", *, method: str = "POST", key: str | None = KEY, **kwargs: Any
) -> tuple[int, dict[str, Any], Any]:
    headers = {**({"Authorization": f"Bearer {key}"} if key is not None else {}), **kwargs.pop("headers", {})}
    url = running.url.removesuffix("/v1") + path if path.startswith("/!") else running.url + path
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url.replace("/!", "/"), headers=headers, **kwargs) as got,
    ):
        text = await got.text()
        return got.status, json.loads(text), got.headers


BODIES: list[tuple[Any, int, str]] = [
    (b"", 400, "bad-request"),
    (b"[1]", 400, "bad-request"),
    (b'{"model": "stub", "messages"', 400, "bad-request"),
    (b'{"model": "\xff"}', 400, "bad-request"),
    (b"[" * 100_000, 400, "bad-request"),
    ({**CHAT, "model": SECRET}, 404, "model-not-found"),
    ({**CHAT, "model": 5}, 400, "bad-request"),
    ({**CHAT, SECRET: 1}, 400, "unknown-field"),
    ({**CHAT, "chat_template": "{{ x }}"}, 400, "unknown-field"),
    ({**CHAT, "messages": []}, 400, "bad-request"),
    ({**CHAT, "messages": [SECRET]}, 400, "bad-request"),
    ({**CHAT, "messages": [{"role": 7, "content": ""}]}, 400, "bad-request"),
    ({**CHAT, "messages": [{"role": "user", "content": 7}]}, 400, "bad-request"),
    ({**CHAT, "messages": [{"role": "user", "content": [SECRET]}]}, 400, "bad-request"),
    ({**CHAT, "n": 9}, 400, "bad-request"),
    ({**CHAT, "n": True}, 400, "bad-request"),
    ({**CHAT, "stream": "yes"}, 400, "bad-request"),
    ({**CHAT, "stream": True, "stream_options": 3}, 400, "bad-request"),
    ({**CHAT, "tools": [{"type": "web_search"}]}, 400, "bad-request"),
    ({**CHAT, "tools": {}}, 400, "bad-request"),
    ({**CHAT, "modalities": ["text", "audio"]}, 400, "bad-request"),
    ({**CHAT, "response_format": "json"}, 400, "bad-request"),
    ({**CHAT, "store": True}, 400, "bad-request"),
    ({**CHAT, "store": "yes"}, 400, "bad-request"),
    *[
        (
            {**CHAT, "messages": [{"role": "user", "content": [{"type": kind, kind: {"url": SECRET}}]}]},
            400,
            "unread-content",
        )
        for kind in ("image_url", "input_audio", "file", SECRET)
    ],
    ({**CHAT, "messages": [{"role": "assistant", "audio": {"id": SECRET}}]}, 400, "unread-content"),
]


@pytest.mark.parametrize(("body", "status", "reason"), BODIES, ids=lambda value: str(value)[:40])
async def test_a_body_that_is_none_is_refused_without_repeating_it(body: Any, status: int, reason: str):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running:
        got, told, _ = await call(running, data=data)
        await running.wait_for_events()

    assert (got, told["error"]["code"]) == (status, reason)
    assert set(told["error"]) == {"message", "type", "param", "code"}
    assert SECRET not in json.dumps(told)
    assert stub.asked == []
    assert (running.event.outcome, running.event.reason, running.event.status) == ("refused", reason, status)
    assert running.limiter.inside == 0


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + " "])
async def test_without_a_valid_key_nothing_is_read(key: str | None):
    async with StubEndpoint() as stub, gateway(stub.url) as running:
        status, told, _ = await call(running, key=key, data=b"no json")
        await running.wait_for_events()

    expected = (400, "bad-request") if key == KEY + " " else (401, "invalid-api-key")  # a blank at the end is none
    assert (status, told["error"]["code"]) == expected
    assert running.event.account == ("tester" if status == 400 else "")


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/models", "/models/stub"])
async def test_a_key_opens_what_its_scopes_say(path: str):
    keys = OneKey(account=Account(id="a", key_id="k", scopes=frozenset({"embeddings"})))
    async with StubEndpoint() as stub, gateway(stub.url, keys=keys) as running:
        status, told, _ = await call(running, path, method="GET" if "models" in path else "POST", json=CHAT)

    assert (status, told["error"]["code"]) == (403, "scope")


async def test_each_seam_refuses_with_its_own_reason():
    class Full:
        def enter(self, account: Account) -> Refusal:
            return Refusal(status=429, reason="over-limit", message="slower", retry_after_s=2.4)

        def leave(self, account: Account, *, tokens: int) -> None:
            raise AssertionError("nobody entered")

        def headers(self, account: Account) -> list[tuple[bytes, bytes]]:
            return [(b"x-ratelimit-remaining-requests", b"0")]

    async with StubEndpoint() as stub, gateway(stub.url, limiter=Full()) as running:
        status, told, headers = await call(running, json=CHAT)
        assert (status, told["error"]["code"], headers["retry-after"]) == (429, "over-limit", "2")
        running.authority.denied["tester"] = Refusal(status=403, reason="not-vetted", message="no")
        assert (await call(running, json=CHAT))[1]["error"]["code"] == "not-vetted"
        running.authority.refusal = Refusal(status=503, reason="no-permit", message="no")
        assert (await call(running, json=CHAT))[0] == 503
        assert (await call(running, "/!readyz", method="GET"))[1] == {"status": "unready", "reasons": ["no-permit"]}
        running.recorder.why = Refusal(status=503, reason="no-record", message="no")
        assert (await call(running, json=CHAT))[1]["error"]["code"] == "no-record"
        assert (await call(running, "/!healthz", method="GET"))[:2] == (200, {"status": "alive"})
        await running.wait_for_events(4)

    assert [event.reason for event in running.recorder.events] == ["over-limit", "not-vetted", "no-permit", "no-record"]
    assert stub.asked == []


async def test_ready_says_so():
    async with StubEndpoint() as stub, gateway(stub.url, stack=words_stack()) as running:
        status, told, _ = await call(running, "/!readyz", method="GET")

    assert (status, told) == (200, {"status": "ready"})
    assert running.recorder.events == []


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
async def test_a_body_may_only_be_so_large(declared: bool):
    async def pieces() -> Any:
        for _ in range(40):
            yield b" " * 1_000

    data: Any = b" " * 40_000 if declared else pieces()
    async with StubEndpoint() as stub, gateway(stub.url, limits=Limits(body_bytes=10_000)) as running:
        status, told, _ = await call(running, data=data)

    assert (status, told["error"]["code"]) == (413, "too-large")


@pytest.mark.parametrize("headers", [{f"x-{n}": "1" for n in range(70)}, {"x-long": "a" * 40_000}])
async def test_headers_may_only_be_so_many_and_so_large(headers: dict[str, str]):
    async with StubEndpoint() as stub, gateway(stub.url) as running:
        status, told, _ = await call(running, json=CHAT, headers=headers)

    assert (status, told["error"]["code"]) == (431, "headers-too-large")


async def test_a_compressed_body_is_refused():
    async with StubEndpoint() as stub, gateway(stub.url) as running:
        status, told, _ = await call(running, data=b"x", headers={"Content-Encoding": "gzip"})

    assert (status, told["error"]["code"]) == (415, "compressed")


async def test_a_body_that_does_not_come_is_not_waited_for():
    async with StubEndpoint() as stub, gateway(stub.url, limits=Limits(body_timeout_s=0.3)) as running:
        import asyncio

        port = int(running.url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 9\r\n\r\n"
        )
        writer.write(head.encode())
        line = await asyncio.wait_for(reader.readline(), 5)
        writer.close()

    assert b"408" in line


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/chat/completions", 405, "method"),
        ("POST", "/models", 405, "method"),
        ("POST", "/completions", 404, "no-route"),
        ("POST", "/embeddings", 404, "no-route"),
        ("POST", "/images/generations", 404, "no-route"),
        ("GET", f"/models/{SECRET}", 404, "no-route"),
        ("POST", "/chat/completions/", 404, "no-route"),
    ],
)
async def test_only_what_is_served_has_a_route(method: str, path: str, status: int, reason: str):
    async with StubEndpoint() as stub, gateway(stub.url) as running:
        got, told, _ = await call(running, path, method=method, json=CHAT)
        await running.wait_for_events()

    assert (got, told["error"]["code"]) == (status, reason)
    assert running.event.route == ""  # a path that is none of ours is the sender's words


async def test_models_are_those_that_are_served():
    async with StubEndpoint() as stub, gateway(stub.url) as running:
        _, listed, _ = await call(running, "/models", method="GET")
        _, one, _ = await call(running, "/models/stub", method="GET")

    assert [model["id"] for model in listed["data"]] == ["stub"] == [one["id"]]
    assert stub.asked == []


async def test_an_extra_route_is_behind_its_scope():
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    routes = {"/metrics": ExtraRoute(app=page, scope="metrics"), "/open": ExtraRoute(app=page, scope=None)}
    async with StubEndpoint() as stub, gateway(stub.url, extra_routes=routes) as running:
        assert (await call(running, "/!metrics", method="GET", key=None))[0] == 401
        assert (await call(running, "/!metrics", method="GET"))[0] == 200
        assert (await call(running, "/!open", method="GET", key=None))[0] == 200
