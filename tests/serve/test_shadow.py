"""A stack that only observes: told in the event, and done to nobody."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from safecase.evidence import CallEvent, decode_row, encode_event
from safecase.safeguard import Exchange, Ruling, Stack, TermsLayer, exchange_of
from safecase.serve import Shadow
from safecase.testing import StubEndpoint, StubReply

from .events import event
from .gateways import KEY, Running, gateway, words_stack

HEADERS = {"Authorization": f"Bearer {KEY}"}


class Layer:
    """A layer that does what it is told."""

    name, digest, reach = "odd", "odd", 0

    def __init__(self, stage: str = "input", *, acts: Any) -> None:
        self.stage, self.acts = stage, acts

    async def check(self, exchange: Exchange) -> Ruling:
        return await self.acts(exchange)


def shadow_of(*layers: Any, **fields: Any) -> Stack:
    return Stack(id="trial", layers=layers, system_prompt=None, timeout_s=0.2, digest="trial", **fields)


def words(word: str, stage: str = "output") -> TermsLayer:
    return TermsLayer(name=f"no-{word}", stage=stage, terms=(word,))  # type: ignore[arg-type]  # a stage


async def post(url: str, said: str = "Hello", **fields: Any) -> tuple[int, str]:
    body = {"model": "stub", "messages": [{"role": "user", "content": said}], **fields}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/chat/completions", json=body, headers=HEADERS) as response,
    ):
        return response.status, await response.text()


@asynccontextmanager
async def both(shadow: Stack, answer: str = "All is well with the umbrella.", **fields: Any) -> AsyncIterator[Running]:
    """A gateway with this shadow before a model that says this."""
    async with (
        StubEndpoint(lambda _: StubReply(text=answer)) as stub,
        gateway(stub.url, stack=words_stack(), shadow=shadow, **fields) as running,
    ):
        yield running


@pytest.mark.parametrize("streams", [False, True])
async def test_what_it_would_have_withheld_is_served_and_told(streams: bool):
    async with both(shadow_of(words("umbrella"))) as running:
        status, text = await post(running.url, stream=streams)
        await running.wait_for_events()

    told = running.event.shadow
    assert status == 200
    assert "umbrella" in text
    assert running.event.outcome == "served"
    assert {ruling.layer for ruling in running.event.rulings} == {"words-input", "words-output"}
    assert (told.stack, told.withheld_by, told.missed) == ("trial", "no-umbrella", None)
    assert [(ruling.layer, ruling.action, ruling.enforced) for ruling in told.rulings] == [
        ("trial/no-umbrella", "withhold", False)
    ]


async def test_what_it_would_have_passed_is_withheld_and_told():
    async with both(shadow_of(words("umbrella", "input"))) as running:
        _, text = await post(running.url, "What is a zanziscope?")
        await running.wait_for_events()

    assert running.event.outcome == "withheld"
    assert "content_filter" in text
    assert running.event.shadow.withheld_by is None
    assert [ruling.action for ruling in running.event.shadow.rulings] == ["allow"]


async def fails(_: Exchange) -> Ruling:
    raise RuntimeError("a fault that quotes: zanziscope")


async def sleeps(_: Exchange) -> Ruling:
    await asyncio.sleep(60)
    return Ruling(action="allow")


async def blocks(_: Exchange) -> Ruling:
    time.sleep(0.6)  # noqa: ASYNC251 - what a bad layer does
    return Ruling(action="allow")


@pytest.mark.parametrize("acts", [fails, sleeps, blocks])
async def test_one_that_errs_hangs_or_computes_for_long_touches_no_answer(acts: Any):
    async with both(shadow_of(Layer(acts=acts))) as running:
        began = time.perf_counter()
        answers = [await post(running.url) for _ in range(3)]
        took = time.perf_counter() - began
        await running.wait_for_events(3)

    assert {status for status, _ in answers} == {200}
    assert took < 0.5
    assert all(one.outcome == "served" and one.shadow is not None for one in running.recorder.events)
    assert "zanziscope" not in repr(running.recorder.events[0].shadow)


async def test_a_call_that_never_came_to_a_stack_has_none():
    async with both(shadow_of(words("umbrella"))) as running:
        status, _ = await post(running.url, model="another")
        await running.wait_for_events()

    assert status == 404
    assert running.event.shadow is None


ASKED = (exchange_of({"messages": [{"role": "user", "content": "Hello"}]}),)


async def test_beyond_its_queue_and_beyond_its_time_events_are_recorded_without_it():
    kept: list[CallEvent] = []
    shadow = Shadow(shadow_of(Layer(acts=blocks)), most=2, wait_s=0.1)
    shadow.start()

    for number in range(4):
        shadow.take(event(number), ASKED, kept.append)
    at_once = [one.shadow.missed for one in kept if one.shadow]
    await asyncio.sleep(0.5)
    in_time = [one.shadow.missed for one in kept if one.shadow]
    shadow.stop()

    assert at_once == ["queue-full", "queue-full"]
    assert in_time == ["queue-full", "queue-full", "timeout", "timeout"]
    assert sorted(one.event_id for one in kept) == [event(number).event_id for number in range(4)]


async def test_when_the_gateway_stops_what_waits_is_recorded_once():
    kept: list[CallEvent] = []
    shadow = Shadow(shadow_of(Layer(acts=sleeps)))
    shadow.start()

    shadow.take(event(1), ASKED, kept.append)
    shadow.stop()
    shadow.take(event(2), ASKED, kept.append)
    await asyncio.sleep(0.3)

    assert [(one.event_id, one.shadow and one.shadow.missed) for one in kept] == [
        (event(1).event_id, "stopped"),
        (event(2).event_id, "stopped"),
    ]


async def test_it_asks_no_layer_of_a_reply_whose_request_it_would_have_withheld():
    async with both(shadow_of(words("hello", "input"), words("umbrella"))) as running:
        await post(running.url)
        await running.wait_for_events()

    assert [ruling.layer for ruling in running.event.shadow.rulings] == ["trial/no-hello"]


async def test_the_event_travels_with_it():
    async with both(shadow_of(words("umbrella"))) as running:
        await post(running.url)
        await running.wait_for_events()

    line = encode_event(running.event, worker="w0", seq=0)

    assert json.loads(line)["event"]["shadow"]["withheld_by"] == "no-umbrella"
    assert decode_row(line).event == running.event  # type: ignore[union-attr]  # an event's row
