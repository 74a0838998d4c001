"""The gateway against its own description: whatever fits it, or does not, gets an answer that is described."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import hypothesis
import pytest
import schemathesis
import schemathesis.specs.openapi.schemas  # now, and not when a test first asks for it deep in its stack

from safecase.serve import Upstream, describe_api
from safecase.testing import StubEndpoint, StubReply

from .gateways import KEY, gateway, words_stack


def answers_well(body: dict[str, Any]) -> StubReply | str:
    if "input" in body:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        vectors = [{"index": n, "embedding": [0.5, 0.5]} for n, _ in enumerate(texts)]
        return StubReply(raw=[json.dumps({"data": vectors, "usage": {"prompt_tokens": 1}}).encode()])
    return "All is well."


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, dict[str, Any]]]:
    """A gateway in a loop of its own: its address, and what it says of itself."""
    found: list[tuple[str, dict[str, Any]]] = []
    ready, over = threading.Event(), threading.Event()

    async def run() -> None:
        async with StubEndpoint(answers_well) as stub:
            upstream = Upstream(base_url=stub.url, serves="stub", failures=10**9)
            async with gateway(upstream, stack=words_stack(), embeddings=upstream) as running:
                address = running.url.removesuffix("/v1")
                async with aiohttp.ClientSession() as session, session.get(f"{address}/openapi.json") as got:
                    found.append((address, await got.json()))
                ready.set()
                await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(20)
    yield found[0]
    over.set()
    thread.join()


def tried(served: tuple[str, dict[str, Any]], *, examples: int, mode: Any) -> dict[str, set[int]]:
    """Put generated requests to every operation; the statuses that came, by operation."""
    address, described = served
    schema = schemathesis.openapi.from_dict(described)
    operations = [found.ok() for found in schema.get_all_operations()]
    if mode is schemathesis.GenerationMode.NEGATIVE:
        operations = [one for one in operations if one.method == "post"]  # the others take nothing that could be wrong
    return {f"{one.method.upper()} {one.path}": put(one, address, examples, mode) for one in operations}


def put(operation: Any, address: str, examples: int, mode: Any) -> set[int]:
    """Put generated requests to one operation."""
    statuses: set[int] = set()
    many = hypothesis.settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )

    @hypothesis.seed(20261121)
    @many
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Any) -> None:
        response = case.call(base_url=address, headers={"Authorization": f"Bearer {KEY}"}, timeout=20)
        statuses.add(response.status_code)
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CHECKS)

    each()
    return statuses


schemathesis.checks.load_all_checks()
CHECKS = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
]
MODES = list(schemathesis.GenerationMode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_no_request_gets_an_answer_that_is_not_described(served: tuple[str, dict[str, Any]], mode: Any):
    seen = tried(served, examples=15, mode=mode)

    if mode is schemathesis.GenerationMode.POSITIVE:
        assert len(seen) == 8
        assert 200 in seen["POST /v1/chat/completions"]  # it reached the model
        assert 200 in seen["POST /v1/responses"]
        assert 200 in seen["POST /v1/embeddings"]
    else:
        assert {name: 400 in statuses for name, statuses in seen.items()} == dict.fromkeys(seen, True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_no_request_of_many_does(served: tuple[str, dict[str, Any]], mode: Any):
    tried(served, examples=1_000, mode=mode)


def test_the_description_is_valid_and_names_every_route(served: tuple[str, dict[str, Any]]):
    import jsonschema

    _, described = served
    for path, item in described["paths"].items():
        for operation in item.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body is not None:
                jsonschema.Draft202012Validator.check_schema(body)
            assert operation.get("security") == [] or {"401", "429", "503"} <= operation["responses"].keys(), path


async def test_routes_and_description_are_the_same():
    async with StubEndpoint() as stub, gateway(stub.url, embeddings=Upstream(base_url=stub.url, serves="e")) as running:
        routed = {path for _, path in running.app._routes}
        described = describe_api(running.app._gateway)["paths"]

    open_to_all = {"/healthz", "/readyz", "/openapi.json"}
    assert routed == {path for path in described if "{" not in path} - open_to_all | {"/v1/models/stub", "/v1/models/e"}
