"""Account rules: what counts, what does not, and that several workers share one count."""

from safecase.evidence import RulingRecord
from safecase.models import Request
from safecase.safeguard import (
    AccountLayer,
    ChildAbuseScreen,
    Exchange,
    LocalCounts,
    Ruling,
    Stack,
    counting_in,
    empty_stack,
    exchange_of,
)
from safecase.testing import ScriptedModel

BODY = {"messages": [{"role": "user", "content": "Hello"}]}
REST = {"system_prompt": None, "timeout_s": 1, "digest": "x"}
MINE, OTHER = exchange_of(BODY, account="mine"), exchange_of(BODY, account="other")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def layer(clock: Clock, **limits: object) -> AccountLayer:
    given = {"most_asked": None, "most_withheld": None, **limits}
    return AccountLayer(name="a", stage="input", window_s=60, clock=clock, **given)  # type: ignore[arg-type]


def ruled(by: str, *, error: str | None = None) -> RulingRecord:
    return RulingRecord(
        layer=by, stage="input", action="withhold", score=None, principle=None, latency_ms=1.0, error=error
    )


async def action(one: AccountLayer, exchange: Exchange = MINE) -> str:
    return (await one.check(exchange)).action


async def test_an_account_is_let_in_so_often_and_no_more_and_others_do_not_pay_for_it():
    one = layer(Clock(), most_asked=3)

    assert [await action(one) for _ in range(5)] == ["allow"] * 3 + ["withhold"] * 2
    assert await action(one, OTHER) == "allow"
    assert [await action(one, exchange_of(BODY)) for _ in range(5)] == ["allow"] * 5  # an assessment has no account


async def test_no_window_anywhere_holds_more_than_the_limit():
    clock = Clock()
    one = layer(clock, most_asked=10)
    let_in: list[float] = []
    for _ in range(2_000):
        clock.now += 0.37
        if await action(one) == "allow":
            let_in.append(clock.now)

    assert max(sum(start <= at < start + 60 for at in let_in) for start in let_in) <= 10
    assert len(let_in) >= 0.8 * 10 * (2_000 * 0.37 / 60)  # and what it holds back beyond that is an eighth


async def test_attempts_count_when_a_layer_withheld_on_its_merits():
    clock = Clock()
    one = layer(clock, most_withheld=2)
    one.note(MINE, withheld=False)
    one.note(MINE, withheld=True, by=ruled("a"))  # its own no
    one.note(MINE, withheld=True, by=ruled("judge", error="TimeoutError"))  # not the account's doing
    one.note(MINE, withheld=True, by=ruled("heads"))
    assert await action(one) == "allow"

    one.note(MINE, withheld=True, by=ruled("heads"))
    assert await action(one) == "withhold"
    clock.now += 60 + 60 / 8 + 1
    assert await action(one) == "allow"


async def test_who_keeps_asking_while_turned_away_is_let_in_again():
    clock = Clock()
    heads = type("Heads", (), {"name": "h", "stage": "input", "digest": "h", "reach": 0})()

    async def check(exchange: Exchange) -> Ruling:
        return Ruling(action="withhold" if "bad" in exchange.messages[-1].content else "allow")

    heads.check = check
    one = Stack(id="t", layers=(layer(clock, most_withheld=1), heads), system_prompt=None, timeout_s=1, digest="x")

    async def served_by(text: str) -> str | None:
        asked = exchange_of({"messages": [{"role": "user", "content": text}]}, account="mine")
        checked = await one.rule(asked)
        one.note(asked, withheld=checked.withheld is not None, by=checked.withheld)
        return checked.withheld.layer if checked.withheld else None

    assert [await served_by(text) for text in ("bad", "good", "good")] == ["h", "a", "a"]
    clock.now += 30
    assert await served_by("good") == "a"
    clock.now += 40
    assert await served_by("good") is None


async def test_workers_that_share_a_store_share_a_limit():
    counts, clock = LocalCounts(), Clock()
    workers = [
        AccountLayer(name="a", stage="input", most_asked=4, most_withheld=None, window_s=60, clock=clock, counts=counts)
        for _ in range(2)
    ]

    assert [await action(workers[turn % 2]) for turn in range(6)] == ["allow"] * 4 + ["withhold"] * 2


async def test_workers_that_race_for_the_last_place_are_never_both_let_in():
    """The other one counts between this one's look and its own count."""
    counts, clock = LocalCounts(), Clock()

    class Raced(LocalCounts):
        def add(self, key: str, *, slot: int, slot_s: float, count: int = 1) -> None:
            if count > 0:
                counts.add(key, slot=slot, slot_s=slot_s)
            counts.add(key, slot=slot, slot_s=slot_s, count=count)

        def total(self, key: str, *, since: int) -> int:
            return counts.total(key, since=since)

    one = AccountLayer(
        name="a", stage="input", most_asked=1, most_withheld=None, window_s=60, clock=clock, counts=Raced()
    )

    assert await action(one) == "withhold"
    assert counts.total("a/asked/60/mine", since=0) == 1  # the other's alone: what was refused is not counted


async def test_a_store_that_fails_withholds():
    class Down:
        def add(self, key: str, *, slot: int, slot_s: float, count: int = 1) -> None:
            raise ConnectionError

        def total(self, key: str, *, since: int) -> int:
            raise ConnectionError

    one = AccountLayer(name="a", stage="input", most_asked=4, most_withheld=None, window_s=60, counts=Down())
    checked = await Stack(id="t", layers=(one,), system_prompt=None, timeout_s=1, digest="x").rule(MINE)

    assert checked.withheld is not None
    assert checked.withheld.error == "ConnectionError"


async def test_an_assessment_is_never_turned_away():
    one = Stack(id="t", layers=(layer(Clock(), most_asked=1),), system_prompt=None, timeout_s=1, digest="x")
    request = Request(messages=MINE.messages)

    served = [await one.answer(ScriptedModel(["hi"]), request) for _ in range(3)]
    assert [answer.withheld_by for answer in served] == [None] * 3


def test_a_stack_whose_layers_count_elsewhere_is_the_same_stack():
    screen = ChildAbuseScreen(name="s", stage="output")
    plain, opened = Stack(id="t", layers=(layer(Clock(), most_asked=1), screen), **REST), []

    shared = counting_in(plain, lambda: opened.append(1) or LocalCounts())
    alone = counting_in(empty_stack(), lambda: opened.append(2) or LocalCounts())

    assert (shared.digest, shared.layers[0].digest) == (plain.digest, plain.layers[0].digest)
    assert shared.layers[1] is screen
    assert shared.noting == (shared.layers[0],)
    assert shared.noting[0] is not plain.noting[0]
    assert alone.layers == ()
    assert opened == [1]  # nothing is opened for a stack that counts nobody


def test_what_is_old_is_forgotten():
    counts = LocalCounts()
    for slot in range(100):
        counts.add("k", slot=slot, slot_s=1.0)

    assert counts.total("k", since=95) == 5
    assert counts.total("k", since=0) == 5
    assert counts.total("unheard-of", since=0) == 0
