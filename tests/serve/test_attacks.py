"""What somebody tries who wants a forbidden word out, content into logs, or more than their allowance."""

import json
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from safecase.evidence import CallEvent
from safecase.serve import SCOPES, Account, Metrics, Refusal, Retention, Traces, Upstream, WorkerSlot
from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, Running, gateway, words_stack

sdk = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="needs the extra traces")
WORD = "zanziscope"
CANARY = "quetzalcoatlus"
PATHS = ["chat/completions", "responses"]


def asking(path: str, **fields: Any) -> dict[str, Any]:
    said = {"messages": [{"role": "user", "content": "Hi"}]} if path == PATHS[0] else {"input": "Hi"}
    return {"model": "m", **said, **fields}


def replying(**message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "Well.", **message}
    return {"id": "r", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}


async def post(running: Running, path: str, body: Any, **headers: str) -> tuple[int, str]:
    sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **headers}
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{running.url}/{path}", data=data, headers=sent) as got,
    ):
        return got.status, await got.text()


# --- The word in what comes back --------------------------------------------------------------------------------------

BESIDE: dict[str, dict[str, Any]] = {
    "the counts of a withheld reply": {**replying(content=f"a {WORD}"), "usage": {"note": WORD, "prompt_tokens": 3}},
    "the names of counts": {**replying(content=f"a {WORD}"), "usage": {WORD: 3, "prompt_tokens": 3}},
    "the id": {**replying(), "id": WORD},
    "when it was made": {**replying(), "created": WORD},
    "why it ended": {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": WORD}]},
    "our own fields": {**replying(), "safeguard": {"layer": WORD}, "provenance": WORD},
    "a second choice": {
        "choices": [{"index": n, "message": {"content": t}, "finish_reason": "stop"} for n, t in enumerate(["x", WORD])]
    },
    "a call of a custom tool": replying(tool_calls=[{"id": "c", "type": "custom", "custom": {"input": WORD}}]),
    "the id of a call": replying(tool_calls=[{"id": WORD, "type": "function", "function": {"name": "f"}}]),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("where", BESIDE)
async def test_the_word_does_not_come_back_in(where: str, stream: bool, path: str):
    async with (
        StubEndpoint([StubReply(raw=[json.dumps(BESIDE[where]).encode()])]) as stub,
        gateway(Upstream(base_url=stub.url, serves="m"), stack=words_stack(WORD)) as running,
    ):
        status, text = await post(running, path, asking(path, stream=stream))
        await running.wait_for_events()

    assert status == 200
    assert WORD not in text
    assert WORD not in repr(running.event)


CHUNKS: dict[str, list[dict[str, Any]]] = {
    "ids that change": [{"id": "a", "choices": []}, {"id": WORD, "choices": []}],
    "times that are words": [{"created": 1, "choices": []}, {"created": WORD, "choices": []}],
    "counts": [{"choices": [], "usage": {"prompt_tokens": 1, WORD: 1}}],
    "calls woven into each other": [
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": n % 2, "function": {"arguments": letter}}]}}]}
        for letter in WORD
        for n in (0, 1)
    ],
    "choices woven into each other": [
        {"choices": [{"index": n, "delta": {"content": letter}}]} for letter in WORD for n in (0, 1)
    ],
    "a field that content has not": [{"choices": [{"index": 0, "delta": {}, "text": WORD}]}],
    "a choice that is left open": [{"choices": [{"index": 7, "delta": {"content": WORD}}]}],
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("where", CHUNKS)
async def test_the_word_does_not_stream_through(where: str, path: str):
    ends = [{"choices": [{"index": n, "delta": {}, "finish_reason": "stop"}]} for n in (0, 1)]
    raw = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in [*CHUNKS[where], *ends])
    reply = StubReply(raw=[raw + b"data: [DONE]\n\n"], content_type="text/event-stream")
    async with (
        StubEndpoint([reply]) as stub,
        gateway(Upstream(base_url=stub.url, serves="m"), stack=words_stack(WORD)) as running,
    ):
        _, text = await post(running, path, asking(path, stream=True))

    events = [line for line in text.splitlines() if line.startswith("data: {")]
    letters = "".join(
        str(choice.get("delta", {}).get("content") or "")
        for line in events
        for choice in json.loads(line[6:]).get("choices", [])
    )
    assert WORD not in text
    assert WORD not in letters[::2]
    assert WORD not in letters[1::2]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("field", ["instructions", "user", "metadata", "tools", "text", "tool_choice"])
async def test_a_withheld_response_does_not_repeat_what_was_asked(field: str, stream: bool):
    values: dict[str, Any] = {
        "metadata": {"note": WORD},
        "tools": [{"type": "function", "name": WORD, "parameters": {}}],
        "text": {"format": {"type": "json_schema", "name": WORD, "schema": {}}},
        "tool_choice": {"type": "function", "name": WORD},
    }
    async with (
        StubEndpoint() as stub,
        gateway(Upstream(base_url=stub.url, serves="m"), stack=words_stack(WORD)) as running,
    ):
        body = asking("responses", stream=stream, **{field: values.get(field, WORD)})
        _, text = await post(running, "responses", body)

    assert stub.asked == []
    assert "content_filter" in text
    assert WORD not in text


# --- The word in what is asked ----------------------------------------------------------------------------------------

UNREAD: dict[str, dict[str, Any]] = {
    "a picture in a part of text": {"content": [{"type": "text", "text": "x", "image_url": {"url": "data:,AA"}}]},
    "pictures beside the content": {"content": "x", "images": ["AAAA"]},
    "sound beside the content": {"content": "x", "input_audio": {"data": "AA"}},
    "a type that is a list": {"content": [{"type": ["text", "image_url"], "text": "x"}]},
    "no type": {"content": [{"image_url": {"url": "data:,AA"}}]},
}


@pytest.mark.parametrize("how", UNREAD)
async def test_what_no_safeguard_reads_does_not_reach_the_model(how: str):
    body = {"model": "m", "messages": [{"role": "user", **UNREAD[how]}]}
    async with StubEndpoint() as stub, gateway(Upstream(base_url=stub.url, serves="m")) as running:
        status, _ = await post(running, "chat/completions", body)

    assert (status, stub.asked) == (400, [])


TWICE = {
    "the last counts": '{"model":"m","messages":[{"role":"user","content":"x","content":"a zanziscope"}]}',
    "the first does not": '{"model":"m","messages":[{"role":"user","content":"a zanziscope","content":"x"}]}',
    "the messages": '{"model":"m","messages":[{"role":"user","content":"a zanziscope"}],"messages":[]}',
}


@pytest.mark.parametrize("how", TWICE)
async def test_a_key_that_stands_twice_is_one_to_the_model_and_to_the_safeguards(how: str):
    async with (
        StubEndpoint() as stub,
        gateway(Upstream(base_url=stub.url, serves="m"), stack=words_stack(WORD)) as running,
    ):
        await post(running, "chat/completions", TWICE[how])

    assert all(WORD not in json.dumps(asked.body) for asked in stub.asked)


@pytest.mark.parametrize("depth", [150, 230, 300, 900, 5_000, 100_000])
async def test_deep_bodies_are_answered_or_refused(depth: int):
    body = '{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":' + "[" * depth + "]" * depth + "}"
    async with StubEndpoint() as stub, gateway(Upstream(base_url=stub.url, serves="m")) as running:
        status, _ = await post(running, "chat/completions", body)

    assert status == (200 if depth == 150 else 400)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_deep_replies_are_the_upstreams_fault(path: str, stream: bool):
    deep = json.dumps({**replying(), "x": 0}).replace('"x": 0', '"x": ' + "[" * 300 + "]" * 300)
    async with (
        StubEndpoint([StubReply(raw=[deep.encode()])]) as stub,
        gateway(Upstream(base_url=stub.url, serves="m")) as running,
    ):
        status, text = await post(running, path, asking(path, stream=stream))

    assert (status, json.loads(text)["error"]["code"]) == (502, "upstream-malformed")


# --- Content where none belongs ---------------------------------------------------------------------------------------


async def test_no_content_reaches_logs_metrics_traces_or_events(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Through every field that a client or an upstream chooses, in calls that are served, refused, cut and failed."""
    caplog.set_level(logging.DEBUG)
    slot = WorkerSlot.claim(tmp_path / "run")
    metrics, exporter = Metrics.open(slot), sdk.InMemorySpanExporter()
    traces = Traces(exporter, sample=1.0)
    kept: list[CallEvent] = []

    def count(event: CallEvent, _: bytes) -> None:
        metrics.count(event)
        kept.append(Retention().finish(Retention().select(event)))

    replies = [
        {**replying(content=CANARY), "id": CANARY, "system_fingerprint": CANARY, "usage": {CANARY: 1}},
        {"choices": [{"index": 0, "message": {"content": CANARY}, "finish_reason": CANARY}]},
        {"error": {"message": CANARY}},
        replying(tool_calls=[CANARY]),
        {"choices": CANARY},
    ]
    script = [StubReply(raw=[json.dumps(reply).encode()]) for reply in replies]
    script += [StubReply(raw=[CANARY.encode()]), StubReply(status=500, text=CANARY), StubReply(status=400, text=CANARY)]
    bodies: list[Any] = [
        *(asking(PATHS[0], user=CANARY, metadata={CANARY: CANARY}) for _ in script),
        asking(PATHS[0], model=CANARY),
        asking(PATHS[0], **{CANARY: 1}),
        f'{{"{CANARY}',
        asking(PATHS[0], messages=[{"role": CANARY, "content": [{"type": CANARY}]}]),
        asking(PATHS[0], n=CANARY),
    ]
    async with (
        StubEndpoint(script) as stub,
        gateway(
            Upstream(base_url=stub.url, serves="m", failures=99), observers=(count, traces.observe), stack=words_stack()
        ) as running,
    ):
        for body in bodies:
            await post(running, PATHS[0], body, traceparent=CANARY, **{f"x-{CANARY}": CANARY})
        await post(running, CANARY, {})
        await running.wait_for_events(len(bodies) + 1)
    traces.close()
    slot.release()
    spans = [span.to_json() for span in exporter.get_finished_spans()]

    assert len(spans) == len(kept) == len(bodies) + 1
    ours = [record for record in caplog.records if record.name.startswith(("safecase", "uvicorn", "asyncio"))]
    assert CANARY not in "".join(record.getMessage() + str(record.exc_text) for record in ours)
    assert CANARY not in metrics.render()[0].decode()
    assert CANARY not in "".join(spans)
    assert CANARY not in repr(kept)


# --- Somebody else's allowance ----------------------------------------------------------------------------------------


async def test_nothing_in_a_request_moves_its_cost_to_another_account():
    accounts = {name: Account(id=name, key_id=name, scopes=SCOPES) for name in ("mallory", "alice")}

    class Keys:
        def find(self, token: str) -> Account | None:
            return accounts.get(token)

    class Counted:
        def __init__(self) -> None:
            self.entered: list[str] = []

        def enter(self, account: Account) -> Refusal | None:
            self.entered.append(account.id)
            return None

        def leave(self, account: Account, *, tokens: int) -> None:
            assert tokens > 0
            self.entered.append(f"left {account.id}")

        def headers(self, account: Account) -> list[tuple[bytes, bytes]]:
            return []

    limiter = Counted()
    reply = {**replying(), "usage": {"completion_tokens": -9_999}}
    async with (
        StubEndpoint([StubReply(raw=[json.dumps(reply).encode()])]) as stub,
        gateway(Upstream(base_url=stub.url, serves="m"), keys=Keys(), limiter=limiter) as running,
    ):
        fields = {"user": "alice", "safety_identifier": "alice", "metadata": {"account": "alice"}}
        forged = {"X-Account": "alice", "X-Forwarded-User": "alice", "OpenAI-Organization": "alice", "Cookie": "alice"}
        for path in PATHS:
            await post(running, path, asking(path, **fields), **{**forged, "Authorization": "Bearer mallory"})
        await running.wait_for_events(2)

    assert limiter.entered == ["mallory", "left mallory"] * 2
    assert {event.account for event in running.recorder.events} == {"mallory"}


@pytest.mark.parametrize("wait", ["9" * 400, "-5", "1e9", "soon", "²"])
async def test_a_busy_upstream_cannot_break_the_answer_by_when_to_come_back(wait: str):
    reply = StubReply(status=429, headers={"Retry-After": wait})
    async with StubEndpoint([reply]) as stub, gateway(Upstream(base_url=stub.url, serves="m")) as running:
        status, text = await post(running, PATHS[0], asking(PATHS[0]))

    assert (status, json.loads(text)["error"]["code"]) == (429, "upstream-busy")
