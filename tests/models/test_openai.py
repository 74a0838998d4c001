"""An OpenAI-compatible endpoint, well-behaved and not, on loopback."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safecase.evidence import Message
from safecase.models import (
    BadKey,
    EndpointError,
    EndpointOptions,
    EndpointTimeout,
    Model,
    Options,
    Request,
    UnparsedAnswer,
    Unreachable,
    open_model,
)
from safecase.models._openai import OpenAIModel
from safecase.testing import StubEndpoint, StubReply, check_model

Ask = Callable[..., Request]


def _open(stub: StubEndpoint, options: EndpointOptions) -> Model:
    return open_model(stub.target(), options=Options(endpoint=options))


def _json(value: object) -> StubReply:
    return StubReply(raw=[json.dumps(value).encode()])


def _events(*lines: str) -> StubReply:
    return StubReply(raw=[f"data: {line}\n\n".encode() for line in lines], content_type="text/event-stream")


async def test_it_keeps_the_promises_of_a_target(quick: EndpointOptions) -> None:
    async with StubEndpoint() as stub:
        await check_model(_open(stub, quick))


async def test_what_is_sent_is_the_conversation_and_the_settings_and_nothing_else(
    ask: Ask, quick: EndpointOptions
) -> None:
    """Tags and trace say which trial this is; an endpoint that saw them could behave for the test."""
    request = replace(ask("Hi", system="Be kind.", temperature=0.5, stop=("\n",)), tags={"harmful": "SECRET-TAG"})

    async with StubEndpoint() as stub, _open(stub, quick) as model:
        await model.generate(request)
        asked = stub.asked[0]

    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "stub",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 16,
        "temperature": 0.5,
        "top_p": 1.0,
        "seed": 1,
        "stop": ["\n"],
    }
    assert "SECRET-TAG" not in str(asked)
    assert not {"authorization", "cookie"} & set(asked.headers)


async def test_usage_and_finish_reason_are_recorded_and_absent_ones_are_none(ask: Ask, quick: EndpointOptions) -> None:
    script = [StubReply(text="one two three", finish_reason="length"), StubReply(usage=False)]

    async with StubEndpoint(script) as stub, _open(stub, quick) as model:
        counted, uncounted = await model.generate(ask()), await model.generate(ask())

    assert (counted.text, counted.finish_reason) == ("one two three", "length")
    assert (counted.tokens_in, counted.tokens_out) == (7, 3)
    assert (uncounted.tokens_in, uncounted.tokens_out) == (None, None)


async def test_settings_an_endpoint_refuses_can_be_left_out(ask: Ask, quick: EndpointOptions) -> None:
    async with StubEndpoint() as stub, _open(stub, replace(quick, leave_out=("seed", "top_p"))) as model:
        await model.generate(ask())

    assert not {"seed", "top_p"} & set(stub.asked[0].body)


@pytest.mark.parametrize(
    ("status", "says", "refused"),
    [
        (400, "Unsupported value: 'temperature' does not support 0.0 with this model.", ["temperature"]),
        (400, "Unsupported parameter: 'top_p' is not supported with this model.", ["top_p"]),
        (400, "`temperature` and `top_p` cannot both be specified for this model.", ["top_p"]),
        (422, '{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}', ["seed"]),
    ],
)
async def test_a_setting_that_an_endpoint_refuses_by_name_is_left_out_and_told(
    ask: Ask, quick: EndpointOptions, status: int, says: str, refused: list[str]
) -> None:
    def script(body: dict[str, object]) -> StubReply:
        return StubReply() if not set(refused) & set(body) else StubReply(status=status, raw=[says.encode()])

    async with StubEndpoint(script) as stub, OpenAIModel(stub.target().removeprefix("openai/"), options=quick) as model:
        await model.generate(ask())
        await model.generate(ask())

    assert model.left_out == set(refused)
    assert len(stub.asked) == 3


async def test_a_filter_that_quotes_a_prompt_changes_no_setting(ask: Ask, quick: EndpointOptions) -> None:
    said = StubReply(status=400, text="blocked by policy: at which temperature does it burn")

    async with StubEndpoint([said]) as stub, OpenAIModel(stub.target().removeprefix("openai/"), options=quick) as model:
        with pytest.raises(EndpointError, match="blocked by policy"):
            await model.generate(ask())

    assert model.left_out == frozenset()


async def test_an_endpoint_that_wants_max_completion_tokens_gets_it(ask: Ask, quick: EndpointOptions) -> None:
    def script(body: dict[str, object]) -> StubReply:
        if "max_tokens" in body:
            return StubReply(status=400, text="Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return StubReply()

    async with StubEndpoint(script) as stub, _open(stub, quick) as model:
        await model.generate(ask())
        await model.generate(ask())

    assert [("max_tokens" in a.body, a.body.get("max_completion_tokens")) for a in stub.asked] == [
        (True, None),
        (False, 16),
        (False, 16),
    ]


@pytest.mark.parametrize("status", [400, 422])
async def test_an_endpoint_that_takes_no_tool_turn_without_a_call_gets_it_as_the_user_s(
    ask: Ask, quick: EndpointOptions, status: int
) -> None:
    def script(body: dict[str, Any]) -> StubReply:
        if any(turn["role"] == "tool" for turn in body["messages"]):
            return StubReply(status=status, text="messages with role 'tool' must follow 'tool_calls'")
        return StubReply()

    said = (Message(role="user", content="Look."), Message(role="tool", content="It is there."))
    request = replace(ask(), messages=said)
    async with StubEndpoint(script) as stub, _open(stub, quick) as model:
        await asyncio.gather(*(model.generate(request) for _ in range(6)))  # refused side by side
        await model.generate(request)

    assert [turn["role"] for turn in stub.asked[-1].body["messages"]] == ["user", "user"]
    assert len(stub.asked) <= 13


async def test_an_endpoint_that_takes_neither_says_so(ask: Ask, quick: EndpointOptions) -> None:
    said = (Message(role="user", content="Look."), Message(role="tool", content="It is there."))
    async with StubEndpoint(lambda _: StubReply(status=400, text="no tools")) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError, match="400"):
            await model.generate(replace(ask(), messages=said))

    assert len(stub.asked) == 2


# What an answer may look like


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "Hi"}, "Hi", None),
        ({"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}, "Hi", None),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", None),  # a refusal is an answer
        ({"content": "Hi", "reasoning_content": "hm"}, "Hi", "hm"),
        ({"content": "Hi", "reasoning": "hm"}, "Hi", "hm"),
        ({"content": "a\ud800b"}, "a\ufffdb", None),  # half a pair, which no file can keep
    ],
)
async def test_the_shapes_that_vendors_use_are_read(
    ask: Ask, quick: EndpointOptions, message: dict[str, object], text: str, reasoning: str | None
) -> None:
    async with StubEndpoint([_json({"choices": [{"message": message}]})]) as stub, _open(stub, quick) as model:
        answer = await model.generate(ask())

    assert (answer.text, answer.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    "reply",
    [
        StubReply(raw=[b"<html>busy</html>"]),
        StubReply(raw=[b""]),
        StubReply(raw=[b'"text"']),
        _json({}),
        _json({"choices": []}),
        _json({"choices": [{}]}),
        _json({"choices": [{"message": {"content": 7}}]}),
        _json({"choices": [{"message": {"content": ""}}]}),
        _json({"choices": [{"message": {"content": " \n "}}]}),
        _json({"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}),
        StubReply(headers={"Content-Encoding": "gzip"}, raw=[b"\x1f\x8b"]),
    ],
)
async def test_what_is_not_an_answer_is_unparsed_and_never_a_text(
    ask: Ask, quick: EndpointOptions, reply: StubReply
) -> None:
    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        with pytest.raises(UnparsedAnswer):
            await model.generate(ask())

    assert len(stub.asked) == 1


async def test_a_reply_without_end_is_bounded(ask: Ask, quick: EndpointOptions) -> None:
    """100 MB announced; the client lets go after eight."""
    reply = StubReply(raw=[b"x" * 2**20] * 100)

    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        with pytest.raises(UnparsedAnswer, match="larger than"):
            await model.generate(ask())


# What may pass, and what does not


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_what_may_pass_is_tried_again(ask: Ask, quick: EndpointOptions, status: int) -> None:
    async with StubEndpoint([StubReply(status=status), StubReply()]) as stub, _open(stub, quick) as model:
        answer = await model.generate(ask())

    assert answer.text == "All is well."
    assert len(stub.asked) == 2


async def test_a_dropped_connection_is_tried_again_also_midway(ask: Ask, quick: EndpointOptions) -> None:
    midway = StubReply(raw=[b'{"choices": [', b"]}"], then="drop", headers={"Content-Length": "15"})
    script = [StubReply(then="drop"), midway, StubReply()]

    async with StubEndpoint(script) as stub, _open(stub, quick) as model:
        answer = await model.generate(ask())

    assert (answer.text, answer.lost) == ("All is well.", 2)
    assert len(stub.asked) == 3


async def test_attempts_end(ask: Ask, quick: EndpointOptions) -> None:
    async with StubEndpoint([StubReply(status=503, text="overloaded")]) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError, match="overloaded") as caught:
            await model.generate(ask())

    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert len(stub.asked) == quick.retries + 1


async def test_a_bad_request_is_not_tried_again(ask: Ask, quick: EndpointOptions) -> None:
    async with StubEndpoint([StubReply(status=400, text="context too long")]) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError, match="context too long") as caught:
            await model.generate(ask())

    assert caught.value.ours == f"{model.name}: HTTP 400"
    assert not caught.value.retryable
    assert len(stub.asked) == 1


async def test_retry_after_holds_back_every_attempt_in_flight(ask: Ask, quick: EndpointOptions) -> None:
    """Or the others would run into the same limit one after another."""
    script = [StubReply(status=429, headers={"Retry-After": "0.6"}), StubReply()]

    async with StubEndpoint(script) as stub, _open(stub, quick) as model:
        first = asyncio.create_task(model.generate(ask()))
        await asyncio.sleep(0.2)  # the refusal is in by now
        await asyncio.gather(first, model.generate(ask()))
        times = [asked.at_s for asked in stub.asked]

    assert min(later - times[0] for later in times[1:]) >= 0.55


async def test_a_used_up_limit_holds_back_before_it_is_hit(ask: Ask, quick: EndpointOptions) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "500ms"}

    async with StubEndpoint([StubReply(headers=headers), StubReply()]) as stub, _open(stub, quick) as model:
        await model.generate(ask())
        await model.generate(ask())
        times = [asked.at_s for asked in stub.asked]

    assert times[1] - times[0] >= 0.45


async def test_an_endpoint_that_asks_for_an_hour_gets_no_further_attempt(ask: Ask, quick: EndpointOptions) -> None:
    reply = StubReply(status=429, headers={"Retry-After": "3600"})

    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError, match="asks to wait 3600 s"):
            await model.generate(ask())

    assert len(stub.asked) == 1


async def test_no_answer_in_time_is_a_timeout(ask: Ask, quick: EndpointOptions) -> None:
    options = replace(quick, timeout_s=0.3)

    async with StubEndpoint([StubReply(delay_s=5)]) as stub, _open(stub, options) as model:
        with pytest.raises(EndpointTimeout, match=r"0\.3 s"):
            await model.generate(ask())


async def test_silence_in_the_middle_of_an_answer_is_a_timeout(ask: Ask, quick: EndpointOptions) -> None:
    options = replace(quick, timeout_s=30, read_timeout_s=0.2)
    started = time.monotonic()

    async with StubEndpoint([StubReply(raw=[b"{", b"}"], pause_s=5)]) as stub, _open(stub, options) as model:
        with pytest.raises(EndpointTimeout):
            await model.generate(ask())

    assert time.monotonic() - started < 4


# Platform faults


@pytest.mark.parametrize("status", [401, 402])
async def test_a_refused_key_is_a_platform_fault_that_names_the_variable(
    ask: Ask, quick: EndpointOptions, status: int
) -> None:
    async with StubEndpoint([StubReply(status=status, text="no")]) as stub, _open(stub, quick) as model:
        with pytest.raises(BadKey, match="SAFECASE_API_KEY_127_0_0_1") as caught:
            await model.generate(ask())

    assert "no key was found" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(stub.asked) == 1


async def test_a_forbidden_request_is_one_attempt_that_failed(ask: Ask, quick: EndpointOptions) -> None:
    """Filters in front of a model answer so to one prompt; before anything was answered it may be the key as well."""
    replies = [StubReply(status=403, text="barred"), StubReply(), StubReply(status=403, text="barred")]

    async with StubEndpoint(replies) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError, match=r"HTTP 403 \(barred\); no key was found, set the key of this host in"):
            await model.generate(ask())
        await model.generate(ask())
        with pytest.raises(EndpointError, match=r"HTTP 403 \(barred\)$"):
            await model.generate(ask())


async def test_an_account_without_credit_stops_a_run(ask: Ask, quick: EndpointOptions) -> None:
    body = json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}).encode()

    async with StubEndpoint([StubReply(status=429, raw=[body])]) as stub, _open(stub, quick) as model:
        with pytest.raises(BadKey, match="exceeded your quota"):
            await model.generate(ask())

    assert len(stub.asked) == 1


async def test_a_key_is_sent_to_its_host_and_never_shown(
    ask: Ask, quick: EndpointOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFECASE_API_KEY_127_0_0_1", "sk-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")

    async with StubEndpoint([StubReply(status=401, text="bad key sk-secret")]) as stub, _open(stub, quick) as model:
        with pytest.raises(BadKey, match="was refused") as caught:
            await model.generate(ask())

    assert stub.asked[0].headers["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(caught.value)
    assert "sk-other" not in str(stub.asked)


async def test_a_redirect_is_refused_and_carries_no_key(
    ask: Ask, quick: EndpointOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFECASE_API_KEY_127_0_0_1", "sk-secret")

    async with StubEndpoint() as elsewhere:
        moved = StubReply(status=307, headers={"Location": f"{elsewhere.url}/chat/completions"})
        async with StubEndpoint([moved]) as stub, _open(stub, quick) as model:
            with pytest.raises(Unreachable, match="not followed"):
                await model.generate(ask())

        assert elsewhere.asked == []


async def test_an_address_where_nothing_answers_is_named(ask: Ask, quick: EndpointOptions) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        started = time.monotonic()

        async with open_model(f"openai/m@http://127.0.0.1:{port}/v1", options=Options(endpoint=quick)) as model:
            with pytest.raises(Unreachable, match=f"127.0.0.1:{port}") as caught:
                await model.generate(ask())

    assert time.monotonic() - started < 1
    assert "mend the base URL" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_wrong_path_or_model_is_a_platform_fault(ask: Ask, quick: EndpointOptions) -> None:
    async with (
        StubEndpoint([StubReply(status=404, text="model 'stub' not found")]) as stub,
        _open(stub, quick) as model,
    ):
        with pytest.raises(Unreachable, match="not found"):
            await model.generate(ask())


async def test_an_endpoint_that_restarts_is_worth_another_attempt(ask: Ask, quick: EndpointOptions) -> None:
    """Nothing answers, but it did before: one attempt is lost, not the run."""
    async with StubEndpoint() as stub:
        model = _open(stub, quick)
        await model.generate(ask())

    async with model:
        with pytest.raises(EndpointError, match="nothing answers") as caught:
            await model.generate(ask())

    assert caught.value.retryable


async def test_control_characters_of_an_endpoint_do_not_reach_the_terminal(ask: Ask, quick: EndpointOptions) -> None:
    reply = StubReply(status=400, text="\x1b[31mred\nsecond line" + "x" * 5000)

    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError) as caught:
            await model.generate(ask())

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# Streams


async def _read(model: Model, request: Request) -> tuple[str, str | None, int | None]:
    text, finish, tokens = "", None, None
    async with aclosing(model.stream(request)) as stream:
        async for delta in stream:
            text += delta.text
            finish, tokens = delta.finish_reason or finish, delta.tokens_out or tokens
    return text, finish, tokens


async def test_a_stream_gives_the_text_in_pieces_and_then_the_counts(ask: Ask, quick: EndpointOptions) -> None:
    async with StubEndpoint(["one two  three"]) as stub, _open(stub, quick) as model:
        assert await _read(model, ask()) == ("one two  three", "stop", 4)

    assert stub.asked[0].body["stream"] is True


async def test_a_stream_cut_inside_a_letter_is_put_together(ask: Ask, quick: EndpointOptions) -> None:
    event = 'data: {"choices":[{"delta":{"content":"é😀"},"finish_reason":"stop"}]}\r\n\r\n'.encode()
    reply = StubReply(raw=[bytes([byte]) for byte in b": ping\r\n\r\n" + event], content_type="text/event-stream")

    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        assert (await _read(model, ask()))[0] == "é😀"


async def test_a_stream_that_breaks_off_is_an_error_and_not_a_short_answer(ask: Ask, quick: EndpointOptions) -> None:
    reply = _events('{"choices":[{"delta":{"content":"To begin"}}]}')

    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError, match="broke off"):
            await _read(model, ask())

    assert len(stub.asked) == 1


async def test_an_error_in_the_stream_is_an_error(ask: Ask, quick: EndpointOptions) -> None:
    reply = _events('{"choices":[{"delta":{"content":"To"}}]}', '{"error":{"message":"out of memory"}}')

    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        with pytest.raises(EndpointError, match="out of memory"):
            await _read(model, ask())


@pytest.mark.parametrize(
    "lines",
    [
        ["[DONE]"],
        ['{"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}', "[DONE]"],
        ["not json"],
        ['{"choices": 7}'],
    ],
)
async def test_a_stream_that_says_nothing_or_nonsense_is_unparsed(
    ask: Ask, quick: EndpointOptions, lines: list[str]
) -> None:
    async with StubEndpoint([_events(*lines)]) as stub, _open(stub, quick) as model:
        with pytest.raises(UnparsedAnswer):
            await _read(model, ask())


async def test_a_stream_without_end_is_bounded(ask: Ask, quick: EndpointOptions) -> None:
    """One line of any length, which a line reader would buffer."""
    reply = StubReply(raw=[b"data: ", *[b"x" * 2**20] * 20], content_type="text/event-stream")
    patient = replace(quick, timeout_s=30.0, read_timeout_s=10.0)

    async with StubEndpoint([reply]) as stub, _open(stub, patient) as model:
        with pytest.raises(UnparsedAnswer, match="larger than"):
            await _read(model, ask())


async def test_an_endpoint_that_does_not_stream_is_read_whole(ask: Ask, quick: EndpointOptions) -> None:
    reply = _json({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})

    async with StubEndpoint([reply]) as stub, _open(stub, quick) as model:
        assert await _read(model, ask()) == ("Hi", "stop", None)


async def test_a_refused_stream_is_tried_again_before_it_begins(ask: Ask, quick: EndpointOptions) -> None:
    async with StubEndpoint([StubReply(status=503), StubReply(text="Hi")]) as stub, _open(stub, quick) as model:
        assert (await _read(model, ask()))[0] == "Hi"


async def test_a_stream_refused_as_too_much_cuts_the_level_and_gives_its_place_back(
    ask: Ask, quick: EndpointOptions
) -> None:
    async with StubEndpoint([StubReply(status=429), StubReply(text="Hi")]) as stub, _open(stub, quick) as model:
        assert isinstance(model, OpenAIModel)
        before = model.level.limit
        await _read(model, ask())

        assert model.level.limit < before
        assert model.level.in_flight == 0


async def test_retry_after_holds_back_those_who_stand_in_line_for_a_place(ask: Ask, quick: EndpointOptions) -> None:
    """Eight may be in flight at first; sixteen more wait behind them and must not be sent into the closed door."""
    hold = StubReply(status=429, headers={"Retry-After": "0.4"}, delay_s=0.05)

    async with StubEndpoint(lambda _: hold if len(stub.asked) <= 8 else StubReply()) as stub, _open(stub, quick) as m:
        began = time.monotonic()
        waiting = [asyncio.create_task(m.generate(ask())) for _ in range(24)]
        await asyncio.sleep(0.3)
        early = len(stub.asked)
        await asyncio.gather(*waiting)

    assert early == 8
    assert time.monotonic() - began > 0.4


async def test_an_attempt_cut_off_gives_its_place_back_wherever_it_was(ask: Ask, quick: EndpointOptions) -> None:
    async with StubEndpoint([StubReply(delay_s=5.0)]) as stub, _open(stub, quick) as model:
        assert isinstance(model, OpenAIModel)
        tasks = [asyncio.create_task(model.generate(ask())) for _ in range(12)]
        stream = model.stream(ask())
        tasks.append(asyncio.create_task(anext(stream)))  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        assert model.level.in_flight == 8
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stream.aclose()

        assert model.level.in_flight == 0


async def test_the_number_in_flight_climbs_to_what_is_asked_at_once(ask: Ask, quick: EndpointOptions) -> None:
    patient = replace(quick, timeout_s=60.0, read_timeout_s=30.0, connect_timeout_s=30.0)  # the machine may be busy
    async with StubEndpoint([StubReply(delay_s=0.05)]) as stub, _open(stub, patient) as model:
        await asyncio.gather(*(model.generate(ask()) for _ in range(300)))

    assert stub.most_in_flight >= 32


async def test_waiting_for_a_place_is_told_apart_from_the_answer(ask: Ask) -> None:
    async with StubEndpoint([StubReply(delay_s=0.1)]) as stub, _open(stub, EndpointOptions(concurrency=1)) as model:
        answers = await asyncio.gather(*(model.generate(ask()) for _ in range(3)))

    waits = sorted(answer.queued_s for answer in answers)
    assert waits[0] < 0.05
    assert waits[2] > 0.15


# Identity


async def test_without_more_a_name_is_all_there_is(quick: EndpointOptions) -> None:
    async with StubEndpoint() as stub, _open(stub, quick) as model:
        identity = await model.identity()

    assert (identity.kind, identity.digest) == ("name-only", None)
    assert stub.asked == []


async def test_a_fingerprint_changes_with_the_model_behind_the_name(quick: EndpointOptions) -> None:
    options = replace(quick, fingerprint=True)

    def small(body: dict[str, object]) -> str:
        return f"small {body['messages']}"

    def other(body: dict[str, object]) -> str:
        return f"other {body['messages']}"

    found = []
    async with StubEndpoint(small) as stub:
        for script in (small, small, other):
            stub._script = script
            async with _open(stub, options) as model:
                found.append(await model.identity())

    assert found[0].kind == "fingerprint"
    assert found[0] == found[1] != found[2]
    assert stub.most_in_flight == 1  # under load a greedy answer may differ
    assert all(asked.body["temperature"] == 0 for asked in stub.asked)


async def test_an_endpoint_that_does_not_repeat_itself_has_no_fingerprint(quick: EndpointOptions) -> None:
    options = replace(quick, fingerprint=True)

    async with StubEndpoint() as stub:
        stub._script = lambda _: f"answer number {len(stub.asked)}"
        async with _open(stub, options) as model:
            identity = await model.identity()

    assert identity.kind == "name-only"
    assert "differ" in identity.details["fingerprint"]


async def test_a_fingerprint_is_not_made_of_failures(quick: EndpointOptions) -> None:
    options = replace(quick, fingerprint=True)

    async with StubEndpoint([StubReply(text="")]) as stub, _open(stub, options) as model:
        with pytest.raises(UnparsedAnswer, match="no fingerprint"):
            await model.identity()


def _attest(path: Path, stub: StubEndpoint, **change: str) -> EndpointOptions:
    from safecase.evidence import Statement, Subject, generate_key, sign, write_envelope

    key = generate_key(path.with_suffix(".key"), demo=False)
    about = {"model": "stub", "endpoint": stub.url.removesuffix("/v1"), "type": _ATTESTATION, **change}
    statement = Statement(
        subject=(Subject(name=about["model"], sha256="a" * 64),),
        predicate_type=about["type"],
        predicate={"endpoint": about["endpoint"]},
    )
    write_envelope(path, sign(statement, key))
    return EndpointOptions(attestation=path, trusted=(key.public,))


_ATTESTATION = "https://safecase.dev/model-attestation/v1"


async def test_a_trusted_statement_attests_the_model(tmp_path: Path) -> None:
    async with StubEndpoint() as stub, _open(stub, _attest(tmp_path / "a.json", stub)) as model:
        identity = await model.identity()

    assert identity.kind == "attested"
    assert identity.details["weights"] == "a" * 64


@pytest.mark.parametrize(
    "change",
    [{"model": "other"}, {"endpoint": "https://elsewhere.example"}, {"type": "https://safecase.dev/permit/v1"}],
)
async def test_a_statement_about_something_else_attests_nothing(tmp_path: Path, change: dict[str, str]) -> None:
    from safecase.models import PlatformFailed

    async with StubEndpoint() as stub, _open(stub, _attest(tmp_path / "a.json", stub, **change)) as model:
        with pytest.raises(PlatformFailed, match=r"a\.json"):
            await model.identity()


async def test_a_statement_by_an_untrusted_key_attests_nothing(tmp_path: Path) -> None:
    from safecase.models import PlatformFailed

    async with StubEndpoint() as stub:
        options = replace(_attest(tmp_path / "a.json", stub), trusted=())
        async with _open(stub, options) as model:
            with pytest.raises(PlatformFailed, match="trusted keys"):
                await model.identity()
