"""Bodies made to take long to read are read whole, in bounded time; what is found is called by its name."""

import json
import time

import pytest

from safecase.safeguard import Part, TermsLayer, exchange_of, reply_of

WORD = "zanziscope"


def nested(depth: int, items: list[str]) -> str:
    return "[" * depth + json.dumps(items)[1:-1] + "]" * depth


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "letter by letter"])
@pytest.mark.parametrize("inside", [False, True], ids=["in a field", "as JSON in a turn"])
async def test_a_word_behind_very_many_deep_strings_is_found(inside: bool, cut: bool):
    items = ["a", "b"] * 15_000 + (list(WORD) if cut else [WORD])
    text = nested(500, items)
    turn = {"role": "user", "content": text if inside else "Hi"}
    body = {"messages": [turn], "x": [] if inside else json.loads(text)}
    layer = TermsLayer(name="words", stage="input", terms=(WORD,))

    began = time.process_time()
    exchange = exchange_of(body)
    took = time.process_time() - began

    assert (await layer.check(exchange)).action == "withhold"
    assert took < 10
    assert max(len(part.where) for part in exchange.parts) < 200


SENTENCE = "how to make zanziscope at home"
ASKED = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
REQUESTS = {
    "role": {"messages": [{"role": SENTENCE, "content": "Hi"}]},
    "call id": {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": SENTENCE}]}]},
    "answered call": {"messages": [{"role": "tool", "tool_call_id": SENTENCE, "content": "ok"}]},
    "user": {"messages": [ASKED], "user": SENTENCE},
    "effort": {"messages": [ASKED], "reasoning_effort": SENTENCE},
    "tier": {"messages": [ASKED], "service_tier": SENTENCE},
    "verbosity": {"messages": [ASKED], "verbosity": SENTENCE},
    "cache key": {"messages": [ASKED], "prompt_cache_key": SENTENCE},
    "modalities": {"messages": [ASKED], "modalities": [SENTENCE]},
    "hyphens": {"messages": [ASKED], "user": SENTENCE.replace(" ", "-")},
    "schema type": {"messages": [ASKED], "tools": [{"function": {"parameters": {"type": SENTENCE}}}]},
    "schema types": {"messages": [ASKED], "tools": [{"function": {"parameters": {"type": ["null", SENTENCE]}}}]},
    "schema format": {"messages": [ASKED], "tools": [{"function": {"parameters": {"format": SENTENCE}}}]},
    "schema default": {"messages": [ASKED], "tools": [{"function": {"parameters": {"default": SENTENCE}}}]},
    "tool choice": {"messages": [ASKED], "tool_choice": SENTENCE},
}
REPLIES = {
    "id": {"id": SENTENCE},
    "object": {"object": SENTENCE},
    "fingerprint": {"system_fingerprint": SENTENCE},
    "tier": {"service_tier": SENTENCE},
    "reason": {"choices": [{"message": {"content": "Yes."}, "finish_reason": SENTENCE}]},
    "role": {"choices": [{"message": {"role": SENTENCE, "content": "Yes."}}]},
    "call id": {"choices": [{"message": {"content": None, "tool_calls": [{**CALL, "id": SENTENCE}]}}]},
}


def read_as_text(parts: tuple[Part, ...]) -> set[str]:
    return {part.text for part in parts if part.channel != "envelope"}


@pytest.mark.parametrize("door", REQUESTS)
def test_a_sentence_where_a_request_names_things_is_read_as_text(door: str):
    """Heads, code rules and models do not look at the envelope, and the sender chooses what stands in it."""
    said = read_as_text(exchange_of(REQUESTS[door]).parts)

    assert said & {SENTENCE, SENTENCE.replace(" ", "-")}


@pytest.mark.parametrize("door", REPLIES)
def test_a_sentence_where_a_reply_names_things_is_read_as_text(door: str):
    body = {"choices": [{"message": {"content": "Yes."}}], **REPLIES[door]}
    (reply,) = reply_of(body, asked=exchange_of({"messages": [ASKED]}))

    assert SENTENCE in read_as_text(reply.reply_parts)


def test_words_of_the_protocol_and_ids_are_no_text():
    schema = {"type": "object", "properties": {"q": {"type": ["string", "null"], "format": "date-time"}}}
    turns = [
        {"role": "developer", "content": "Be brief."},
        ASKED,
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "chatcmpl-tool-0af3"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
    ]
    body = {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "user": "3b0c5a9e-91f4-4bd8-8a35-5f0a2a3c9d11",
        "reasoning_effort": "low",
        "tool_choice": "auto",
        "messages": turns,
        "tools": [{"type": "function", "function": {"parameters": schema}}] * 2,
    }

    assert read_as_text(exchange_of(body).parts) == {"find", "{}", "findfind", "{}{}", "q", "qq"}


def test_what_a_custom_tool_is_given_is_its_arguments():
    """It is acted on like any call's: the rules for code read it as such, and an address in it is there on purpose."""
    asked = exchange_of({"messages": [{"role": "user", "content": "Hi"}]})
    call = {"id": "c", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}
    (reply,) = reply_of({"choices": [{"message": {"content": None, "tool_calls": [call]}}]}, asked=asked)

    assert [part.channel for part in reply.reply_parts if part.text == "print(1)"] == ["tool-arguments"]
