"""Server-sent events, however they are cut."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from safecase.models._sse import Event, EventParser

_STREAM = (
    b"\xef\xbb\xbf: a comment\r\n\r\n"
    b"data: caf\xc3\xa9 \xf0\x9f\x98\x80\r\n\r\n"
    b'event: error\ndata:{"a":\ndata: 1}\n\n'
    b"id: 7\nretry: 10\rdata: lone CR\r\r"
    b"data: unfinished"
)
_EVENTS = [
    Event(type="message", data="café 😀"),
    Event(type="error", data='{"a":\n1}'),
    Event(type="message", data="lone CR"),
    Event(type="message", data="unfinished"),
]


@given(st.lists(st.integers(min_value=0, max_value=len(_STREAM)), max_size=12))
def test_the_events_do_not_depend_on_where_the_bytes_are_cut(cuts: list[int]) -> None:
    """A network cuts anywhere: inside a letter, between a carriage return and its line feed."""
    edges = [0, *sorted(cuts), len(_STREAM)]
    parser = EventParser()

    events = [event for start, end in itertools.pairwise(edges) for event in parser.feed(_STREAM[start:end])]
    events += parser.close()

    assert events == _EVENTS


def test_bytes_that_are_not_utf8_do_not_break_it() -> None:
    parser = EventParser()

    assert parser.feed(b"data: a\xffb\n\n") == [Event(type="message", data="a\ufffdb")]
