"""Patterns of misuse: what is raised, what is not, and that a person decides."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.evidence import Ledger
from safecase.monitor import Misuse, MonitorError, MonitorStore, decide_proposal, open_proposals, proposed_action

from .calls import harmful, harmless, seen

ASKED = "Please explain in detail how the zanzibar protocol is carried out at night by a small group of people"


def _feed(watcher, calls):
    return [alert for call in calls for alert in watcher.saw(call)]


def _attempts(account, count, *, first=0, categories=("privacy",)):
    return [
        harmful(first + n, account=account, is_unsafe=False, category=categories[n % len(categories)])
        for n in range(count)
    ]


def _risk(alerts):
    return max((alert.numbers["risk"] for alert in alerts), default=0.0)


def test_repeated_attempts_over_categories_weigh_more_than_over_one():
    one = _feed(Misuse(), _attempts("a", 12))
    many = _feed(Misuse(), _attempts("a", 12, categories=("privacy", "cyber", "hate", "violence")))

    assert _risk(many) > _risk(one) > 0.25
    assert many[-1].numbers["breadth"] == 1.0
    assert "breadth" not in one[-1].numbers


def test_a_busy_account_with_a_few_flags_is_left_alone():
    """Detectors err: a share of 3 % is what they make of ordinary traffic."""
    dice = random.Random(5)
    calls = [
        harmful(n, account="busy", is_unsafe=False) if dice.random() < 0.03 else harmless(n, account="busy")
        for n in range(3000)
    ]

    assert _feed(Misuse(), calls) == []


def test_small_edits_of_what_was_withheld_are_probing_until_one_passes():
    edits = [ASKED.replace("small", word) for word in ("tiny", "little", "minor", "slight")]
    calls = [seen(0, account="p", prompt=ASKED, outcome="withheld")]
    calls += [seen(n, account="p", prompt=text, outcome="withheld") for n, text in enumerate(edits[:3], start=1)]
    before = _feed(watcher := Misuse(), calls)
    after = _feed(watcher, [seen(9, account="p", prompt=edits[3])])

    assert "probing" in before[-1].numbers
    assert "passed" not in before[-1].numbers
    assert after[-1].numbers["passed"] == 1.0
    assert after[-1].numbers["risk"] > before[-1].numbers["risk"]


def test_another_question_after_a_refusal_is_no_probing():
    calls = [seen(0, account="p", prompt=ASKED, outcome="withheld")]
    calls += [seen(n, account="p", prompt=f"What is a good recipe for bread with {n} eggs?") for n in range(1, 9)]

    assert _feed(Misuse(), calls) == []


def test_the_same_flagged_body_from_four_accounts_links_them():
    calls = [harmful(n, account=f"a{n}", is_unsafe=False, request_sha256="b" * 64) for n in range(4)]
    alerts = _feed(Misuse(), calls)
    others = _feed(Misuse(), [harmless(n, account=f"a{n}", request_sha256="b" * 64) for n in range(9)])

    (linked,) = [alert for alert in alerts if alert.kind == "linked-accounts"]
    assert linked.accounts == ("a0", "a1", "a2", "a3")
    assert others == [], "a greeting that many send is nothing"


def test_what_was_proposed_is_not_proposed_again_until_it_grows():
    watcher = Misuse()
    first = _feed(watcher, _attempts("a", 12))

    again = _feed(watcher, _attempts("a", 12, first=12))

    assert [alert.kind for alert in first] == ["misuse"] * len(first)
    assert len({proposed_action(alert.numbers["risk"]) for alert in first}) == len(first)
    assert again == []


def test_a_day_of_calm_lowers_the_risk():
    _feed(quick := Misuse(), _attempts("a", 6))
    alerts = _feed(quick, [harmful(7, account="a", is_unsafe=False, seconds=10 * 86400)])

    assert alerts == []


def test_memory_is_bounded_and_the_worst_stay():
    watcher = Misuse(most_accounts=100, most_payloads=50)
    _feed(watcher, _attempts("worst", 8))

    for n in range(2000):
        _feed(watcher, [harmful(100 + n, account=f"once-{n}", is_unsafe=False, request_sha256=f"{n:064x}")])

    assert len(watcher) <= 100
    assert len(watcher.state()) < 200_000
    assert _feed(watcher, _attempts("worst", 4, first=3000, categories=("cyber", "hate", "violence", "privacy")))


@given(cut=st.integers(0, 30), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_going_on_from_a_state_says_what_an_undisturbed_run_says(cut, seed):
    dice = random.Random(seed)
    calls = [
        seen(n, account=f"a{dice.randrange(3)}", prompt=ASKED + "!" * dice.randrange(9), outcome=dice.choice(OUTCOMES))
        for n in range(30)
    ]
    whole, first, second = Misuse(), Misuse(), Misuse()
    said = _feed(first, calls[:cut])
    second.restore(first.state())

    assert said + _feed(second, calls[cut:]) == _feed(whole, calls)


OUTCOMES = ("served", "withheld")


def test_no_text_is_in_the_state():
    _feed(watcher := Misuse(), [seen(0, account="p", prompt=ASKED, outcome="withheld")])

    assert b"zanzibar" not in watcher.state()


@pytest.fixture
def store(tmp_path):
    made = MonitorStore(tmp_path / "monitor.sqlite")
    alerts = _feed(Misuse(), _attempts("a", 12, categories=("privacy", "cyber", "hate", "violence")))
    made.commit(positions={}, states={}, alerts=alerts)
    yield made
    made.close()


def test_a_person_decides_and_the_ledger_names_no_account(store, tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    (waiting,) = open_proposals(store, ledger)

    decide_proposal(store, ledger, waiting.alert.alert_id, action="none", actor="ana", why="a researcher")

    (entry,) = ledger.entries()
    assert (entry.action, entry.actor) == ("misuse-decided", "ana")
    assert (entry.subject["proposed"], entry.subject["action"]) == (waiting.action, "none")
    assert waiting.account not in entry.subject.values()
    assert open_proposals(store, ledger) == []
    with pytest.raises(MonitorError, match="no such proposal"):
        decide_proposal(store, ledger, waiting.alert.alert_id, action="warn", actor="ana", why="again")
    with pytest.raises(ValueError, match="who and why"):
        decide_proposal(store, ledger, waiting.alert.alert_id, action="warn", actor="ana", why=" ")


def test_two_who_decide_at_once_are_one(store, tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    (waiting,) = open_proposals(store, ledger)

    def decide(action):
        try:
            decide_proposal(store, ledger, waiting.alert.alert_id, action=action, actor="ana", why="seen")
        except MonitorError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        decided = sum(pool.map(decide, ["warn", "none", "limit", "suspend"]))

    assert decided == len(list(ledger.entries())) == 1
