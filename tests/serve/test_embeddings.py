"""Embeddings through the gateway: texts are checked, and nothing but numbers comes back."""

import json
from typing import Any

import pytest

from safecase.serve import Upstream
from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, gateway, words_stack

openai = pytest.importorskip("openai")
VECTOR = {"object": "embedding", "index": 0, "embedding": [0.5, -1.25], "note": "words"}


async def embed(answer: Any, given: Any = "The sea", **fields: Any) -> tuple[Any, Any, StubEndpoint]:
    raw = json.dumps(answer).encode()
    async with StubEndpoint([StubReply(raw=[raw])]) as stub:
        upstream = Upstream(base_url=stub.url, serves="embedder", model="e5")
        async with (
            gateway(stub.url, stack=words_stack(), embeddings=upstream) as running,
            openai.AsyncOpenAI(base_url=running.url, api_key=KEY, max_retries=0) as client,
        ):
            made = await client.embeddings.create(model="embedder", input=given, **fields)
            await running.wait_for_events()
            return made, running.event, stub


async def test_vectors_come_through_and_words_beside_them_do_not():
    usage = {"prompt_tokens": 2, "total_tokens": 2, "note": "words"}
    made, event, stub = await embed({"data": [VECTOR], "usage": usage, "note": "words"}, encoding_format="float")

    assert made.data[0].embedding == [0.5, -1.25]
    assert "words" not in made.model_dump_json()
    assert stub.asked[0].body["model"] == "e5"
    assert (event.route, event.outcome, event.tokens_in) == ("/v1/embeddings", "served", 2)


async def test_counts_that_are_none_are_left_out():
    made, event, _ = await embed({"data": [VECTOR], "usage": ["words"]}, encoding_format="float")

    assert made.data[0].embedding == [0.5, -1.25]
    assert (event.outcome, event.tokens_in) == ("served", None)


async def test_the_client_may_ask_for_bytes():
    made, _, stub = await embed({"data": [{**VECTOR, "embedding": "AAAAPwAAoL8="}]})

    assert stub.asked[0].body["encoding_format"] == "base64"
    assert list(made.data[0].embedding) == [0.5, -1.25]


@pytest.mark.parametrize(
    "answer",
    [
        {"data": []},
        {"data": [VECTOR, VECTOR]},
        {"data": [{**VECTOR, "embedding": "words of its own"}]},
        {"data": [{**VECTOR, "embedding": ["words"]}]},
        {"data": "words"},
        ["words"],
        {"error": "words"},
    ],
)
async def test_an_answer_that_is_no_vectors_is_none(answer: Any):
    with pytest.raises(openai.InternalServerError) as caught:
        await embed(answer)

    assert caught.value.code == "upstream-malformed"
    assert "words" not in str(caught.value)


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2]], [], [""], ["a"] * 3_000])
async def test_input_that_nothing_reads_is_refused(given: Any):
    with pytest.raises(openai.BadRequestError):
        await embed({"data": [VECTOR]}, given)
