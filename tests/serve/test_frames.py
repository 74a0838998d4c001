"""A chunk told by the bytes around its text is the chunk that reading all of it gives."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from safecase.safeguard import ChunkGuard, Stack, TermsLayer, exchange_of
from safecase.serve import _guarded as guarded
from safecase.serve._faults import Fault
from safecase.serve._sse import Frame, frame_of

ASKED = exchange_of({"messages": [{"role": "user", "content": "Hi"}]})
WORDS = TermsLayer(name="words", stage="output", terms=("zanziscope",))
STACK = Stack(
    id="s", layers=(WORDS,), system_prompt=None, timeout_s=1, digest="d", windows=frozenset({"words"}), every=4
)
MORE = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXTS = st.sampled_from(
    ["", " ", "tide ", 'say "ebb"', "a\\b", "zanzi", "scope", "stub", "é", "😀", "\n", "r1"]
) | st.text(max_size=8)
MAKES = st.sampled_from(["plain", "ascii", "spaced", "twice"])
EXTRAS = st.sampled_from([{}, {"usage": None}, {"created": 2}, {"obfuscation": "x"}, {"usage": {"prompt_tokens": 3}}])
CHUNKS = st.lists(
    st.tuples(TEXTS, MAKES, EXTRAS, st.sampled_from([None, None, None, "stop", "length"]), st.integers(0, 1)),
    max_size=12,
)
RAW = st.sampled_from(
    [b"", b'","x":"y', b'"', b'\\"', b"\\u0041", b"\\ud800", b"\\", b"\x01", b"\xff", b'","content":"b', b'"}']
)


@dataclass
class Heard:
    id: str = "call"
    generated: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None


def written(text: str, make: str, extra: dict[str, Any], reason: str | None, index: int) -> bytes:
    chunk = {
        "id": "r1",
        "model": "stub",
        "choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}],
    }
    if make == "twice":  # the last of two counts
        return orjson.dumps(chunk | extra).replace(b'"content"', b'"content":"other","content"')
    separators = (", ", ": ") if make == "spaced" else (",", ":")
    return json.dumps(chunk | extra, ensure_ascii=make == "ascii", separators=separators).encode()


async def heard(events: list[bytes]) -> tuple[object, ...]:
    call = Heard()
    stream = guarded._Stream(ChunkGuard(STACK, ASKED), call, serves="stub")  # type: ignore[arg-type]  # as much as it needs
    stream._created = 1
    out = [chunk for data in events for chunk in await stream.take(b"data: " + data + b"\n\n")]
    try:
        out += await stream.finish(wants_usage=True)
    except Fault as fault:
        return out, fault.refusal, call
    return out, stream.withheld and stream.withheld.layer, stream.finish_reason, call


def both_ways(events: list[bytes]) -> tuple[object, object]:
    short = asyncio.run(heard(events))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarded, "frame_of", lambda *_, **__: None)
        return short, asyncio.run(heard(events))


@MORE
@given(chunks=CHUNKS)
@example([("tide ", "plain", {}, None, 0), ("zanzi", "plain", {}, None, 0), ("scope", "plain", {}, None, 0)])
def test_a_stream_comes_out_the_same(chunks: list[tuple[Any, ...]]):
    short, long = both_ways([written(*chunk) for chunk in chunks] + [b"[DONE]"])

    assert short == long


@MORE
@given(middles=st.lists(RAW | st.binary(max_size=6), max_size=6))
def test_whatever_stands_between_the_same_bytes(middles: list[bytes]):
    first = written("tide ", "plain", {}, None, 0)
    before, _, after = first.partition(b"tide ")
    events = [
        first,
        first,
        *(before + middle + after for middle in middles if b"\n" not in middle and b"\r" not in middle),
    ]
    short, long = both_ways(events)

    assert short == long


def test_a_frame_is_kept_and_told_by():
    """Else the tests above compare the long way with itself."""
    first = written("tide ", "spaced", {}, None, 0)
    frame = frame_of(first, "tide ", choice=0)

    assert frame is not None
    assert frame.text_of(written('an "ebb" é', "spaced", {}, None, 0)) == 'an "ebb" é'
    assert frame.text_of(written("ebb", "spaced", {}, "stop", 0)) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"model":"stub","choices":[{"delta":{"content":"\\u0073tub"}}]}', "stub"),  # its bytes are the model's
        (b'{"id":"stub","choices":[{"delta":{"content":"stub"}}]}', "stub"),  # they stand there twice
        (b'{"choices":[{"delta":{"content":"\\u00e9"}}]}', "é"),  # written otherwise
    ],
)
def test_a_text_that_cannot_be_placed_gives_no_frame(data: bytes, text: str):
    assert frame_of(data, text, choice=0) is None


def test_an_event_shorter_than_the_frame_is_not_of_it():
    assert Frame(b'{"a":"', b'"}', 0).text_of(b'{"a":"}') is None
