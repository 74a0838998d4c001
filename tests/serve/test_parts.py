"""The small parts: events cut anywhere, the breaker's states, ids that sort by time."""

import asyncio
import itertools
import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from safecase.serve._breaker import Breaker
from safecase.serve._call import Clock, new_id
from safecase.serve._faults import ClientGone, Fault, refused
from safecase.serve._flights import Flights
from safecase.serve._sse import Splitter
from safecase.serve._tools import as_calls, without_tools

STREAM = (
    '\ufeff: ping\n\ndata: {"a": 1}\r\n\r\nevent: odd\rdata: one\rdata:two\r\rid: 7\n\n'
    "data:  «é»\n\nretry: 3\ndata: 海\n\ndata: [DONE]\n\n"
).encode()
DATA = [b'{"a": 1}', b"one\ntwo", " «é»".encode(), "海".encode(), b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_wherever_they_are_cut(cuts: list[int]):
    edges = [0, *sorted(cuts), len(STREAM)]
    splitter = Splitter(most_bytes=1_000)

    got = [data for start, end in itertools.pairwise(edges) for data in splitter.feed(STREAM[start:end])]

    assert got == DATA
    assert splitter.close() == []


def test_an_event_without_its_end_counts_when_the_stream_closes():
    splitter = Splitter(most_bytes=1_000)
    assert splitter.feed(b"data: last") == []
    assert splitter.close() == [b"last"]


def test_a_breaker_opens_tries_again_and_waits_longer():
    now = 0.0
    breaker = Breaker(failures=2, cooldown_s=1.0, clock=lambda: now)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.wait_s() is None
    breaker.failed()
    assert breaker.is_open
    assert breaker.wait_s() == 1.0
    now = 1.0
    assert breaker.wait_s() is None  # one may try
    assert breaker.wait_s() is not None  # a second may not
    breaker.undecided()
    assert breaker.wait_s() is None
    breaker.failed()
    assert breaker.wait_s() == 2.0
    now = 3.0
    assert breaker.wait_s() is None
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.wait_s() is None


def test_ids_are_uuids_of_version_7_and_sort_by_time():
    ids = []
    for _ in range(5):
        ids.append(new_id())
        time.sleep(0.002)

    assert ids == sorted(ids)
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert len({new_id() for _ in range(2_000)}) == 2_000


def test_instants_are_written_as_everywhere_else():
    assert len(Clock().now()) == len("2026-04-07T12:00:00.000000Z")


def test_a_demanded_call_is_held_to_its_schema_and_read_back():
    tools = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in ("a", "b")]
    named = {"type": "function", "function": {"name": "b"}}
    body = {"messages": [{"role": "user", "content": "x"}], "tools": tools, "stream": True}

    plain, is_call = without_tools({**body, "tool_choice": named})
    assert is_call
    schema = plain["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["name"] == {"const": "b"}
    assert "tools" not in plain
    assert not without_tools(body)[1]  # in words, where no call is demanded

    reply = {"id": "r", "choices": [{"message": {"content": '{"name": "b", "arguments": {"q": 1}}'}}]}
    as_calls(reply)
    (call,) = reply["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "b", "arguments": '{"q":1}'}
    cut = {"id": "r", "choices": [{"message": {"content": '{"name": "b", "argu'}, "finish_reason": "length"}]}
    as_calls(cut)
    assert cut["choices"][0]["finish_reason"] == "length"


async def test_a_sweep_that_breaks_is_not_the_last_one():
    """Deadlines and hang-ups of every call hang on it."""
    asked: list[str] = []

    def bars(token: str) -> Fault | None:
        asked.append(token)
        if len(asked) == 1:
            raise ValueError("a file that nobody thought of")
        return refused(401, "invalid-api-key", "no more")

    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context["exception"]))
    flights = Flights(period_s=0.01, bars=bars)

    async def fly() -> Fault | ClientGone | None:
        flight = flights.board()
        flight.token = "t"
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            flight.task.uncancel()
        flights.land(flight)
        return flight.cause

    cause = await asyncio.wait_for(asyncio.create_task(fly()), 2)

    assert isinstance(cause, Fault)
    assert len(broken) == 1
    assert len(flights) == 0
