"""Calls taken in blocks: what is said and known afterwards is what one call after the other gives, to the last bit."""

import random
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.monitor import Changes, EDetector, EProcess, Layer, Misuse, Place, Rates, SideBySide, Stakes, Unit, Usual

from .calls import DIGESTS, STACK, harmful, harmless, promise, promises, ruled
from .unexpected import clusters, places

TIGHT = Unit(cap=2, settle_s=20.0, again_s=90.0, most_open=12, filter_bits=10)
LAYERS = {STACK: [Layer(name=name, stage="input", is_always_asked=True) for name in ("screen", "last")]}
PROMISES = promises(
    promise(p0=0.05, arl=30.0),
    promise(id="flag/withheld", outcome="withheld", p0=0.02, alpha=0.2, arl=25.0),
    promise(id="flag/harmful", outcome="harmful", p0=0.1, arl=40.0),
)
USUAL = {
    STACK: [
        Usual(id=name, direction=direction, bound=0.05, rate=0.05, accounts=999)
        for name, direction in (
            ("silence/screen", "falling"),
            ("errors/screen", "rising"),
            ("drift/harmful", "rising"),
            ("drift/short", "rising"),
        )
    ]
}
LOOKER = places()


def calls(seed, count=220):
    """Bursty accounts under two stacks; some calls lack what others have."""
    rng = random.Random(seed)
    drawn = np.random.default_rng(seed)
    middles = drawn.normal(size=(5, 256)).astype(np.float32)
    for number in range(count):
        vector = rng.choice(middles) + 0.3 * drawn.normal(size=256).astype(np.float32)
        said = {
            "account": rng.choice(["", *(f"a{rng.randrange(count // 3)}" for _ in range(9))]),
            "seconds": number * rng.choice([0.5, 1.0]),
            "stack_digest": rng.choice([STACK, STACK, STACK, "6" * 64]),
            "outcome": rng.choice(["served"] * 6 + ["withheld", "refused", "failed"]),
            "rulings": ruled(*rng.choice([("screen", "last"), ("last",)]), fired=rng.choice([(), (), ("screen",)])),
            "request_sha256": rng.choice(["", "b" * 64]),
            "prompt": rng.choice(["hello", "a request that is longer than forty characters are, as most of them"]),
        }
        made = harmful(number, is_unsafe=rng.random() < 0.5, **said) if rng.random() < 0.3 else harmless(number, **said)
        place = Place(vector=vector / np.linalg.norm(vector), is_beyond=rng.random() < 0.7, is_attack_like=True)
        yield made if rng.random() < 0.1 else replace(made, place=place)


def watchers():
    return [
        Rates(PROMISES, DIGESTS, unit=TIGHT),
        Misuse(most_accounts=20, most_payloads=3),
        Changes(LAYERS, ("privacy",), USUAL, unit=TIGHT, missing_after=2),
        clusters(LOOKER, min_accounts=2, most=4),
    ]


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_blocks_of_any_size_say_and_know_what_single_calls_do(seed, sizes):
    every = list(calls(seed))
    ends = [0]
    while ends[-1] < len(every):
        ends.append(ends[-1] + sizes[len(ends) % len(sizes)])

    kinds = set()
    for single, blocked in zip(watchers(), watchers(), strict=True):
        one_by_one = [alert for one in every for alert in single.saw(one)]
        in_blocks = [alert for first, end in pairwise(ends) for alert in blocked.saw_all(every[first:end])]

        assert in_blocks == one_by_one
        assert blocked.state() == single.state()
        kinds |= {alert.kind for alert in one_by_one}
    assert {"rate-changed", "misuse", "layer-missing"} <= kinds  # it looked at something


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rates_are_the_plain_reckoning_account_by_account(seed):
    """Sets in place of filters, and the e-values of simulations, say the same."""
    roomy = Unit(cap=2, settle_s=20.0, again_s=1e9, filter_bits=22)
    rates = Rates(promises(promise(id="flag/harmful", outcome="harmful", p0=0.1, arl=1e250)), DIGESTS, unit=roomy)
    process, detector = EProcess(Stakes(0.1)), EDetector(Stakes(0.1))
    known, opened, accounts = set(), OrderedDict(), 0
    every = [one for one in calls(seed) if one.event.stack_digest == STACK]
    now = 0.0
    for one in every:
        now = max(now, datetime.fromisoformat(one.event.at).timestamp())
        account = one.event.account or one.event.event_id
        if one.event.outcome not in {"refused", "failed"}:
            if account not in known:
                known.add(account)
                opened[account] = (now, [])
            if account in opened and len(opened[account][1]) < 2:
                opened[account][1].append(float(one.reading.is_harmful))
        while opened and next(iter(opened.values()))[0] + 20.0 <= now:
            _, (_, hits) = opened.popitem(last=False)
            gain = sum(hits) / len(hits) - 0.1
            process.bet(gain)
            detector.bet(gain)
            accounts += 1

    list(rates.saw_all(every))
    (panel,) = [one for one in rates.panels() if one.id == "flag/harmful"]

    assert panel.accounts == accounts > 10
    assert np.isclose(panel.e_value, np.exp(process.total[0]), rtol=1e-9)
    assert np.isclose(panel.change, detector.values[0] @ Stakes(0.1).shares, rtol=1e-9)


def test_rates_side_by_side_alarm_at_the_same_account_in_a_block():
    """Both ways of a block: none came near its goal, and some alarmed and started again."""
    rng = np.random.default_rng(3)
    one, other = SideBySide(USUAL[STACK], of=1), SideBySide(USUAL[STACK], of=1)
    alarms = 0
    for share in (0.05, 0.6):
        hits = (rng.random((150, 4)) < share).astype(float)
        weights, divisors = rng.choice([0.5, 1.0], 150), rng.choice([1.0, 2.0], 150)
        each = [one.bet(hits[row], weights[row], divisors[row]).tolist() for row in range(150)]
        found = {row: over.tolist() for row, over in other.bet_all(hits, weights, divisors)}

        assert found == {row: over for row, over in enumerate(each) if over}
        assert np.array_equal(one.values, other.values)
        alarms += len(found)
    assert alarms
