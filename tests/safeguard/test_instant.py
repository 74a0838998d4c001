"""A layer that never waits is asked by its rule, and ruled with as any other is."""

import pickle
import threading

import pytest

from safecase.evidence import Message
from safecase.safeguard import Exchange, Post, Ruling, Stack, TermsLayer, exchange_of, reply_of
from safecase.safeguard._values import instant, rule_of

SAID = Exchange(messages=(Message(role="user", content="the zanziscope"),))
CLEAN = Exchange(messages=(Message(role="user", content="the sea"),))
WORDS = TermsLayer(name="words", stage="input", terms=("zanziscope",))


class Ruled:
    """Rules as it is told to."""

    name, stage, digest, reach = "ruled", "input", "d", 0

    def __init__(self, said: object) -> None:
        self.said = said

    @instant
    def check(self, _: Exchange) -> Ruling:
        """Rule."""
        if isinstance(self.said, Exception):
            raise self.said
        return self.said  # type: ignore[return-value]  # anything, as a layer of anyone's may


class Waiting(Ruled):
    """Has a check of its own."""

    async def check(self, _: Exchange) -> Ruling:
        """Rule otherwise."""
        return Ruling(action="withhold", principle="other")


def stack_of(layer, **post) -> Stack:
    posts = {layer.name: Post(**post)}
    return Stack(id="s", layers=(layer,), system_prompt=None, timeout_s=0.1, digest="d", posts=posts)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (ValueError("x"), "ValueError"),
        (TimeoutError(), "no ruling within 0.1 s"),
        (None, "gave no ruling"),
        (Ruling(action="allow", score=2.0), "gave a score outside 0 to 1"),
        (Ruling(action="allow", score="high"), "TypeError"),
        (Ruling(action="allow", error="broke"), "broke"),
        (Ruling(action="replace"), "would replace what has no place in a reply"),
    ],
)
async def test_what_cannot_be_acted_on_withholds(said, error):
    checked = await stack_of(Ruled(said)).rule(SAID)
    passed = await stack_of(Ruled(said), required=False).rule(SAID)

    assert checked.withheld is not None
    assert (checked.withheld.error, checked.withheld.action) == (error, "withhold")
    assert passed.withheld is None
    assert [record.error for record in passed.rulings] == [error]


@pytest.mark.parametrize("ask", ["until-withheld", "all"])
async def test_what_says_more_than_to_allow_is_recorded(ask):
    said = Ruling(action="allow", score=0.5, principle="p")
    checked = await Stack(id="s", layers=(Ruled(said),), system_prompt=None, timeout_s=1, digest="d", ask=ask).rule(
        SAID
    )

    assert [(one.action, one.score, one.principle) for one in checked.rulings] == [("allow", 0.5, "p")]


async def test_a_check_of_its_own_is_asked():
    checked = await stack_of(Waiting(Ruling(action="allow"))).rule(SAID)

    assert rule_of(Waiting(None)) is None
    assert checked.withheld is not None
    assert checked.withheld.principle == "other"


async def test_rule_and_check_say_the_same():
    for exchange, action in ((SAID, "withhold"), (CLEAN, "allow")):
        assert (await WORDS.check(exchange)).action == rule_of(WORDS)(WORDS, exchange).action == action


async def test_a_stack_travels():
    stack = pickle.loads(pickle.dumps(stack_of(WORDS)))

    assert (await stack.rule(SAID)).withheld.layer == "words"
    assert (await stack.rule(CLEAN)).withheld is None


async def test_a_long_exchange_is_read_in_a_thread_and_its_reply_too(monkeypatch: pytest.MonkeyPatch):
    """Whoever shares the loop would wait for it: a body of 4 MiB takes seconds to read."""
    threads: list[int] = []

    def stand_in(layer: TermsLayer, exchange: Exchange) -> bool:
        threads.append(threading.get_ident())
        return False

    monkeypatch.setattr(TermsLayer, "stand_in", stand_in)
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    for is_long in (False, True):
        asked = exchange_of(body, is_long=is_long)
        (replied,) = reply_of({"choices": [{"message": {"content": "Yes."}}]}, asked=asked)
        both = (
            TermsLayer(name="in", stage="input", terms=("sea",)),
            TermsLayer(name="out", stage="output", terms=("sea",)),
        )
        stack = Stack(id="s", layers=both, system_prompt=None, timeout_s=1, digest="d")
        await stack.rule(asked)
        await stack.rule(replied)

    assert [one == threading.get_ident() for one in threads] == [True, True, False, False]
