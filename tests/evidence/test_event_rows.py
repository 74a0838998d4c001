"""An event written quickly is the event that Pydantic writes."""

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.evidence import CallEvent, EventRow, decode_row, encode_event
from safecase.evidence import _event_rows as rows

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
MORE = settings(max_examples=300, deadline=None)


def event(**fields: Any) -> CallEvent:
    required = {"at": "", "account": "", "key_id": "", "route": "/", "permit": "", "context": "", "stack_digest": ""}
    return CallEvent(**required | {"event_id": "e", "model": "m", "outcome": "served", "status": 200} | fields)


@MORE
@given(said=st.builds(CallEvent, latency_s=FLOATS, first_s=FLOATS | st.none(), sample_p=FLOATS | st.none()))
def test_it_says_the_same(said: CallEvent):
    line = encode_event(said, worker="w0", seq=7)

    assert orjson.loads(line)["event"] == orjson.loads(rows._slowly(said))


@MORE
@given(said=st.builds(CallEvent, latency_s=FLOATS, first_s=FLOATS | st.none(), sample_p=st.none(), shadow=st.none()))
def test_it_comes_back(said: CallEvent):
    said = replace(said, rulings=tuple(replace(one, score=None, latency_ms=0.5) for one in said.rulings))

    assert decode_row(encode_event(said, worker="w0", seq=7)) == EventRow(worker="w0", seq=7, event=said)


def test_a_number_beyond_64_bits_is_written_all_the_same():
    said = event(tokens_in=1 << 70)

    assert decode_row(encode_event(said, worker="w0", seq=7)) == EventRow(worker="w0", seq=7, event=said)


def test_what_a_default_says_is_left_out():
    assert orjson.loads(encode_event(event(), worker="w0", seq=7))["event"].keys() == {
        "event_id", "at", "account", "key_id", "route", "permit", "context", "stack_digest", "model", "outcome",
        "status",
    }  # fmt: skip
