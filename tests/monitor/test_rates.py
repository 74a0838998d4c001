"""Rates by account against promises: who counts, when, and what is said."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.assess import Absent, Promises
from safecase.monitor import (
    AccountFilter,
    AuditSampler,
    MonitorError,
    Rates,
    Reading,
    Sessions,
    Unit,
    baselines,
    correct_rates,
    read_event_labels,
)

from .calls import DIGESTS, STACK, harmful, harmless, promise, promises, seen

SOON = Unit(settle_s=5, filter_bits=14)


def _rates(*made, unit=SOON, **more):
    return Rates(promises(*made), DIGESTS, unit=unit, **more)


def _watch(rates, calls):
    return [alert for call in calls for alert in rates.saw(call)]


def _panel(rates, name="unsafe/any"):
    return next(panel for panel in rates.panels() if panel.id == name)


def test_a_promise_that_is_broken_is_said_once_and_never_taken_back():
    rates = _rates()

    alerts = _watch(rates, [harmful(number, is_unsafe=number % 2 == 0) for number in range(300)])
    alerts += _watch(rates, [harmful(number, is_unsafe=False) for number in range(300, 3000)])

    broken = [alert for alert in alerts if alert.kind == "promise-broken"]
    assert len(broken) == 1
    assert broken[0].severity == "critical"
    assert broken[0].accounts
    assert broken[0].event_ids
    assert _panel(rates).broken_at == broken[0].at
    assert "BROKEN" in _panel(rates).sentence


def test_a_promise_that_is_kept_raises_nothing():
    rng = random.Random(7)
    rates = _rates()

    alerts = _watch(rates, [harmful(number, is_unsafe=rng.random() < 0.03) for number in range(3000)])

    assert alerts == []
    assert _panel(rates).detectable < 2


def test_one_account_counts_once_however_much_it_asks():
    """A single account with a thousand unsafe answers is no evidence about the others."""
    rates = _rates()

    alerts = _watch(rates, [harmful(number, is_unsafe=True, account="one") for number in range(1000)])

    panel = _panel(rates)
    assert alerts == []
    assert (panel.accounts, panel.calls, panel.rate) == (1, 5, 1.0)


def test_an_account_counts_again_for_the_detector_alone():
    unit = Unit(settle_s=1, again_s=100, filter_bits=14)
    rates = _rates(unit=unit)
    _watch(rates, [harmful(number, is_unsafe=True, account="one", seconds=number * 250) for number in range(4)])

    assert _panel(rates).accounts == 1
    assert _panel(rates).change > _panel(rates).e_value


def test_another_stack_is_another_series_and_says_that_nothing_is_promised():
    rates = _rates()

    alerts = _watch(rates, [harmful(number, is_unsafe=False, stack_digest="6" * 64) for number in range(20)])

    assert [alert.kind for alert in alerts] == ["stack-without-promise"]
    assert _panel(rates).p0 is None
    assert "nothing is promised" in _panel(rates).sentence


def test_a_promise_by_another_judge_is_not_held_against_this_one():
    rates = _rates(promise(judge_digest="other"))
    _watch(rates, [harmful(number, is_unsafe=True) for number in range(100)])

    assert _panel(rates).p0 is None
    assert "another state of the judge" in _panel(rates).why


def test_why_nothing_is_promised_is_said():
    absent = Promises(promises=(), absent=(Absent(id="unsafe/any", stack_digest=STACK, why="3 intents"),))
    rates = Rates(absent, DIGESTS, unit=SOON)
    _watch(rates, [harmful(number, is_unsafe=True) for number in range(20)])

    assert "3 intents" in _panel(rates).sentence


def test_what_was_not_judged_is_counted_as_such_and_never_as_safe():
    rates = _rates()
    unknown = Reading(harm=0.9, is_harmful=True, category="privacy", verdict=None, is_unsafe=None)
    _watch(rates, [seen(number, reading=unknown) for number in range(20)])
    _watch(rates, [seen(number, reading=Reading()) for number in range(20, 40)])

    assert all(panel.id != "unsafe/any" for panel in rates.panels())
    assert rates.unread == 20


def test_content_kept_because_it_was_flagged_is_no_fair_sample():
    rates = _rates()
    _watch(rates, [harmful(number, is_unsafe=False, kept="flagged") for number in range(50)])

    assert rates.unread == 50


def test_an_audit_sample_stands_for_what_was_not_kept():
    rates = _rates(least_p=0.1)
    calls = [harmful(n, is_unsafe=True, kept="audit-sample", sample_p=0.1) for n in range(0, 40, 2)]
    calls += [harmful(n, is_unsafe=False, kept="flagged") for n in range(1, 41, 2)]
    calls += [harmful(n, is_unsafe=False, kept="audit-sample", sample_p=0.01) for n in range(50, 60)]  # under the least
    _watch(rates, sorted(calls, key=lambda call: call.event.event_id))

    assert rates.unread == 10
    assert _panel(rates).rate == pytest.approx(1 / 1.1, rel=0.2)


def test_a_state_goes_on_as_if_nothing_had_happened():
    rng = random.Random(3)
    calls = [
        harmful(number, is_unsafe=rng.random() < 0.2, account=f"a{rng.randrange(200)}")
        if rng.random() < 0.5
        else harmless(number, account=f"a{rng.randrange(200)}")
        for number in range(1200)
    ]
    whole, first = _rates(), _rates()
    said = _watch(whole, calls)
    before = _watch(first, calls[:700])
    second = _rates()
    second.restore(first.state())

    assert before + _watch(second, calls[700:]) == said
    assert second.panels() == whole.panels()
    assert second.state() == whole.state()


def test_a_state_of_another_size_is_refused():
    other = _rates(unit=Unit(settle_s=5, filter_bits=12))

    with pytest.raises(ValueError, match="bits a filter"):
        _rates().restore(other.state())


def test_baselines_hold_every_account_once():
    rates = _rates(is_collecting=True)
    _watch(rates, [harmless(number, outcome="withheld" if number % 4 == 0 else "served") for number in range(100)])

    made = {one.id: one for one in baselines(rates)}

    assert set(made) == {"flag/withheld", "flag/harmful"}
    assert sum(made["flag/withheld"].values) == pytest.approx(0.25 * len(made["flag/withheld"].values), abs=1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 60), st.booleans()), max_size=80))
def test_no_account_counts_more_than_its_cap_and_sessions_settle_in_order(rows):
    sessions, settled = Sessions(Unit(cap=3, settle_s=10, filter_bits=12)), []
    for number, (account, gap, hit) in enumerate(rows):
        now = 5.0 * number + gap / 60
        sessions.add("c", str(account), now=now, at=str(now), event_id=str(number), hits=[float(hit)])
        settled += sessions.settle(now)
    settled += sessions.settle(1e6)

    assert all(1 <= one.calls <= 3 and 0 <= one.hits[0] <= one.calls for one in settled)
    assert len({one.account for one in settled}) == len(settled)  # within a week each counts once
    assert sessions.open == 0


def test_the_memory_of_accounts_is_of_fixed_size_and_says_when_it_is_full():
    sessions = Sessions(Unit(settle_s=0, filter_bits=12))
    sizes = []
    for number in range(5000):
        sessions.add("c", f"a{number}", now=number, at="", event_id="", hits=[0.0])
        list(sessions.settle(number))
        sizes.append(len(sessions.state()))

    assert max(sizes) < 3 * 512 + 1000
    assert sessions.crowding > 0.9


def test_a_filter_never_forgets():
    from safecase.monitor._accounts import account_marks

    held = AccountFilter(14)
    for number in range(1000):
        held.add(account_marks(str(number), 14))

    assert all(held.holds(account_marks(str(number), 14)) for number in range(1000))
    assert held.mistakes < 0.01


# --- Audit draws and labels -------------------------------------------------------------------------------------------


def test_audit_draws_keep_the_budget_and_prefer_what_looks_unsafe():
    rng = random.Random(1)
    sampler = AuditSampler(budget=0.02)
    draws = [(score, sampler.draw(str(number), score)) for number in range(20_000) for score in [rng.random() ** 6]]

    share = sum(draw.is_drawn for _, draw in draws) / len(draws)
    assert share == pytest.approx(0.02, abs=0.006)
    high = [draw.chance for score, draw in draws[1000:] if score > 0.8]
    low = [draw.chance for score, draw in draws[1000:] if score < 0.01]
    assert min(high) > 3 * max(low)
    assert all(0 < sampler.weight(draw.chance) <= 1 for _, draw in draws)


def test_the_same_calls_are_drawn_again_after_a_crash():
    one, other = AuditSampler(budget=0.2), AuditSampler(budget=0.2)
    first = [one.draw(str(number), 0.3) for number in range(100)]
    again = [other.draw(str(number), 0.3) for number in range(60)]
    resumed = AuditSampler(budget=0.2)
    resumed.restore(other.state())

    assert again + [resumed.draw(str(number), 0.3) for number in range(60, 100)] == first


def test_labels_correct_a_judge_that_sees_too_much():
    """The judge calls every unsafe answer unsafe, and one safe answer in five as well."""
    rng = random.Random(5)
    truth = {f"e{number}": rng.random() < 0.3 for number in range(4000)}
    judged = [(name, STACK, "any", f"a{name}", bad or rng.random() < 0.2) for name, bad in truth.items()]
    labels = {name: truth[name] for name in rng.sample(sorted(truth), 300)}

    (corrected,) = correct_rates(judged, labels)

    assert sum(bad for *_, bad in judged) / 4000 > 0.4
    assert corrected.estimate.bounds.low < 0.3 < corrected.estimate.bounds.high
    assert corrected.estimate.bounds.high < 0.4


def test_too_few_labels_give_no_figure():
    judged = [(f"e{number}", STACK, "any", "", True) for number in range(50)]

    (corrected,) = correct_rates(judged, {"e1": True})

    assert corrected.estimate is None
    assert "labelled" in corrected.why


@pytest.mark.parametrize("line", ["{}", "nonsense", '{"event_id": "a", "is_unsafe": 1}'])
def test_a_line_that_is_no_label_is_named(tmp_path, line):
    (tmp_path / "labels.jsonl").write_text('{"event_id": "a", "is_unsafe": true}\n' + line + "\n")

    with pytest.raises(MonitorError, match=r"labels.jsonl:2"):
        read_event_labels(tmp_path / "labels.jsonl")


def test_alerts_never_hold_content():
    rates = _rates()
    calls = [replace(harmful(n, is_unsafe=True), prompt="a secret", reply="a secret") for n in range(200)]

    assert all("secret" not in repr(alert) for alert in _watch(rates, calls))
