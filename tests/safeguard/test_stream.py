"""Streaming: what is allowed passes unchanged under any chunking, what is forbidden never comes out under any."""

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.evidence import Message
from safecase.safeguard import (
    REPLACED,
    ChunkGuard,
    Exchange,
    PersonalDataLayer,
    Piece,
    Post,
    Ruling,
    Stack,
    StreamGuard,
    TermsLayer,
    _stream,
    empty_stack,
    safe_completion,
)

WORD = "zanziscope"
SHORT = "zap"
ASKED = Exchange(messages=(Message(role="user", content="Hello"),))
TERMS = TermsLayer(name="terms", stage="output", terms=(WORD, SHORT), principle="no-serious-harm")


class Watching:
    """Allows everything, scores what it is told to, and remembers what it saw."""

    stage, digest, reach = "output", "w", 0

    def __init__(self, name: str = "watching", score: float = 0.0) -> None:
        self.name, self.score = name, score
        self.seen: list[Exchange] = []

    async def check(self, exchange: Exchange) -> Ruling:
        self.seen.append(exchange)
        return Ruling(action="allow", score=self.score)


def stack(*layers: object, **changes: object) -> Stack:
    return Stack(
        id="test",
        layers=layers,  # type: ignore[arg-type]
        system_prompt=None,
        timeout_s=1,
        digest="x",
        windows=frozenset({"terms", "personal"}),
        **changes,  # type: ignore[arg-type]
    )


async def stream(guard: StreamGuard, pieces: list[str], field: str = "content") -> list[str]:
    out = [one.text for piece in pieces for one in await guard.feed(Piece(field=field, text=piece))]
    return out + [one.text for one in await guard.finish()]


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, at = [], 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    return pieces


SIZES = st.lists(st.integers(1, 90), min_size=1, max_size=5)
# Letters, what parts them, and what is not seen; z and p, so that words begin as the forbidden ones do.
TEXTS = st.text(alphabet="abzanpeo \n\t.-–é“”\u200b\u0301м水😀0", max_size=400)
SPELLINGS = st.sampled_from(
    [WORD, WORD.upper(), "\u200b".join(WORD), " ".join(WORD), "zаnziscоpе", "".join(chr(ord(c) + 0xFEE0) for c in WORD)]
)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, sizes=SIZES, every=st.integers(1, 40))
async def test_allowed_text_comes_out_byte_for_byte_under_any_chunking(text, sizes, every):
    checked = stack(TERMS, every=every)
    whole = await checked.rule(Exchange(messages=ASKED.messages, reply=text, final=True))

    guard = StreamGuard(checked, ASKED)
    out = "".join(await stream(guard, cut(text, sizes)))

    if whole.withheld is None:
        assert out == text
        assert guard.withheld is None
    else:
        assert text.startswith(out)
        assert guard.withheld is not None


@settings(max_examples=60, deadline=None)
@given(before=TEXTS, spelled=SPELLINGS, after=TEXTS, sizes=SIZES, every=st.integers(1, 40))
async def test_a_forbidden_word_never_comes_out_under_any_chunking(before, spelled, after, sizes, every):
    guard = StreamGuard(stack(TERMS, every=every), ASKED)

    out = "".join(await stream(guard, cut(before + spelled + after, sizes)))

    assert guard.withheld is not None
    assert len(out) <= len(before)
    assert (before + spelled + after).startswith(out)


async def test_a_short_word_is_told_from_the_beginning_of_a_longer_one():
    harmless, harmful = StreamGuard(stack(TERMS), ASKED), StreamGuard(stack(TERMS), ASKED)

    assert "".join(await stream(harmless, ["x" * 40 + " ", "z", "ap", "ping", " on"])) == "x" * 40 + " zapping on"
    assert SHORT not in "".join(await stream(harmful, ["x" * 40 + " ", "z", "ap", " it", " on"]))


async def test_first_content_is_out_after_sixty_four_characters():
    guard = StreamGuard(stack(TERMS), ASKED)
    sent = 0
    for letter in "The sea is wide and deep, and ships go over it day and night, year after year.":
        sent += 1
        if await guard.feed(Piece(text=letter)):
            break

    assert sent <= 64


async def test_a_stack_without_output_layers_holds_nothing_back():
    guard = StreamGuard(empty_stack(), ASKED)

    assert [one.text for one in await guard.feed(Piece(text="a"))] == ["a"]


async def test_every_channel_and_choice_has_a_buffer_of_its_own():
    guard = StreamGuard(stack(TERMS), ASKED)
    for half in (WORD[:5], WORD[5:]):  # each half in a channel of its own, so that no channel holds the word
        await guard.feed(Piece(choice=0 if half == WORD[:5] else 1, text=half))
    out = await guard.finish()

    assert {(one.choice, one.text) for one in out} == {(0, WORD[:5]), (1, WORD[5:])}


async def test_the_whole_reply_is_checked_before_the_last_of_it_goes():
    watching = Watching()
    guard = StreamGuard(stack(watching, every=8), ASKED)
    await stream(guard, ["one two three ", "four"])

    assert watching.seen[-1].final
    assert watching.seen[-1].reply == "one two three four"
    assert not any(exchange.final for exchange in watching.seen[:-1])


async def test_looks_grow_rarer_as_a_reply_grows():
    watching = Watching()
    await stream(StreamGuard(stack(watching), ASKED), ["x"] * 20_000)

    assert len(watching.seen) < 160


async def test_a_heavier_judge_is_asked_only_above_a_score_and_holds_the_stream():
    for score, asked in ((0.2, 0), (0.7, 3)):
        quick, judge = Watching("quick", score), Watching("judge")
        posts = {"judge": Post(above=("quick", 0.5))}
        await stream(StreamGuard(stack(quick, judge, posts=posts), ASKED), ["x" * 40, "y" * 40])

        assert len(judge.seen) == asked


class Unsure(Watching):
    """Withholds what is shorter than so many characters, or longer."""

    def __init__(self, *, under: int = 0, over: int = 10**6) -> None:
        super().__init__("unsure")
        self.under, self.over = under, over

    async def check(self, exchange: Exchange) -> Ruling:
        return Ruling(action="allow" if self.under <= len(exchange.reply) <= self.over else "withhold")


@given(sizes=SIZES)
@settings(max_examples=20, deadline=None)
async def test_a_layer_that_reads_wholes_holds_the_stream_and_stops_it_only_at_the_end(sizes):
    text = "The sea is wide and deep. " * 20
    late, never = (StreamGuard(stack(layer), ASKED) for layer in (Unsure(under=200), Unsure(over=200)))

    out = await stream(late, cut(text, sizes))
    stopped = await stream(never, cut(text, sizes))

    assert "".join(out) == text
    assert len(out[0]) >= 200
    assert never.withheld is not None
    assert len("".join(stopped)) <= 200


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, every=st.integers(1, 40))
async def test_personal_data_is_replaced_in_a_stream_as_in_a_whole_reply(sizes, every):
    text = "Write to ada.lovelace@example.org or pay GB82 WEST 1234 5698 7654 32, which is hers. " * 2
    layer = PersonalDataLayer(name="personal", stage="output", kinds=("email", "iban"))

    out = "".join(await stream(StreamGuard(stack(layer, every=every), ASKED), cut(text, sizes)))

    assert out == f"Write to {REPLACED} or pay {REPLACED}, which is hers. " * 2


# --- Chunks of a chat completion --------------------------------------------------------------------------------------


def chunk(delta: dict[str, object], **fields: object) -> dict[str, object]:
    return {"id": "r", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, **fields}]}


async def run(checked: Stack, chunks: list[dict[str, object]]) -> list[dict[str, object]]:
    guard = ChunkGuard(checked, ASKED)
    out = [event for one in chunks for event in await guard.feed(one)]
    out += await guard.finish()
    assert await guard.feed(chunk({"content": "more"})) == ()
    return out


async def test_an_allowed_stream_keeps_its_text_its_calls_and_its_end():
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    sent = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hello  there,\n"}),
        chunk({"content": "sailor."}),
        chunk({"tool_calls": [call]}),
        chunk({}, finish_reason="stop"),
        {"id": "r", "object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 3}},
        {"event": "unknown", "note": "fine"},
    ]

    got = await run(stack(TERMS), sent)

    deltas = [choice["delta"] for event in got for choice in event.get("choices", [])]
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello  there,\nsailor."
    assert [delta["tool_calls"] for delta in deltas if "tool_calls" in delta] == [[call]]
    assert got[-3]["choices"][0]["finish_reason"] == "stop"
    assert got[-2:] == sent[-2:]


async def test_a_stream_of_calls_alone_says_once_whose_words_they_are():
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}
    sent = [
        chunk({"role": "assistant", "content": None, "tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, finish_reason="tool_calls"),
    ]

    got = await run(stack(TERMS), sent)

    deltas = [choice["delta"] for event in got for choice in event["choices"]]
    assert [delta.get("role") for delta in deltas] == ["assistant", None, None]
    assert deltas[0]["tool_calls"] == [call]


async def test_many_held_chunks_are_read_in_a_thread(monkeypatch: pytest.MonkeyPatch):
    """Log-probabilities of a few hundred tokens take a second to read, and others share the loop."""
    threads: set[int] = set()
    parts_of = _stream.parts_of

    def noted(value: object) -> object:
        threads.add(threading.get_ident())
        return parts_of(value)

    tokens = [{"token": "a", "top_logprobs": [{"token": letter} for letter in "abcdefgh"]}] * 20
    sent = [chunk({"content": "a"}, logprobs={"content": tokens}) for _ in range(100)]
    guard = ChunkGuard(stack(TERMS), ASKED)
    for one in sent:
        await guard.feed(one)
    monkeypatch.setattr(_stream, "parts_of", noted)
    out = await guard.finish()

    assert threading.get_ident() not in threads
    assert [event["choices"][0]["logprobs"] for event in out[-100:]] == [one["choices"][0]["logprobs"] for one in sent]
    assert guard.exchanges()[0].is_long


async def test_a_stopped_stream_ends_with_a_structured_chunk_that_quotes_nothing():
    got = await run(stack(TERMS), [chunk({"content": "The sea. " * 20}), chunk({"content": f"And {WORD} "}), chunk({})])

    last = got[-1]
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]
    assert last["safeguard"] == {
        "layer": "terms",
        "principle": "no-serious-harm",
        "message": safe_completion("no-serious-harm"),
    }
    assert WORD not in json.dumps(got)


async def test_a_stream_stopped_before_anything_went_out_says_what_can_be_helped_with():
    got = await run(stack(TERMS), [chunk({"content": WORD})])

    assert [event["choices"][0]["delta"].get("content") for event in got] == [safe_completion("no-serious-harm")]


@pytest.mark.parametrize(
    "event",
    [
        {"id": "r", "choices": "none"},
        {"id": "r", "choices": [{"index": "0", "delta": {"content": WORD}}]},
        {"id": "r", "choices": [{"delta": {"content": WORD}}]},
        {"id": "r", "choices": [["content", WORD]]},
        {"id": WORD, "choices": [{"index": 0, "delta": {"content": "hello"}}]},
        {"type": "response.output_text.delta", "delta": WORD},
        {"id": "r", "choices": [{"index": 0, "delta": {"content": [{"text": WORD}]}}]},
    ],
    ids=["no-choices", "text-index", "no-index", "odd-choice", "in-the-envelope", "other-protocol", "odd-content"],
)
async def test_an_event_of_unknown_shape_is_held_and_read(event):
    got = await run(stack(TERMS), [chunk({"content": "The sea. " * 20}), event])

    held = WORD in json.dumps(event)
    assert (got[-1]["choices"][0]["finish_reason"] == "content_filter") if held else got[-1] == event
    assert WORD not in json.dumps(got)
