"""The permit is looked at again and again, and what differs stops serving within a second."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from safecase.assess import lift_restriction, revoke_permit
from safecase.models import EndpointError, open_model
from safecase.serve import Account, CaseAuthority, Rhythm
from safecase.testing import ScriptedModel, StubEndpoint

from .permitted import HELPFUL, SAFE_REFUSAL, Clock, Permitted, place, safe_answer

VETTED = Account(id="acct-vetted", key_id="k", tiers=frozenset({"vetted"}))


def scripted(text: str = HELPFUL) -> ScriptedModel:
    """The upstream as the fingerprint's replay sees it."""
    return ScriptedModel(lambda request: text)


@contextmanager
def started(
    permitted: Permitted, clock: Clock, *, opens=lambda _: scripted(), **rhythm: float
) -> Iterator[CaseAuthority]:
    authority = CaseAuthority(place(permitted), rhythm=Rhythm(**rhythm), now=clock, open_upstream=opens)
    authority.start()
    try:
        yield authority
    finally:
        authority.stop()


def reason(authority: CaseAuthority) -> str | None:
    refusal = authority.standing().refusal
    assert refusal is None or refusal.status == 503
    return refusal and refusal.reason


def seconds_until(holds, *, within_s: float = 5.0) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s, "not in time"
        time.sleep(0.01)
    return time.monotonic() - began


def test_nothing_is_served_before_the_first_check_and_after_the_last(permitted, clock):
    authority = CaseAuthority(place(permitted), now=clock, open_upstream=lambda _: scripted())
    assert reason(authority) == "unchecked"
    assert authority.admits(VETTED) is not None

    authority.start()
    assert reason(authority) is None
    assert authority.standing().context == "limited"
    assert authority.admits(VETTED) is None

    authority.stop()
    assert reason(authority) == "unchecked"


def test_a_revocation_stops_serving_within_a_second_and_its_lifting_resumes_it(permitted, clock):
    with started(permitted, clock) as authority:
        revoked = revoke_permit(permitted.case, "limited", permitted.key("watch"), reason="seen to leak", now=clock)

        assert seconds_until(lambda: reason(authority) == "permit-revoked") < 1.5  # 0.5 on an idle machine
        keys = [permitted.key("one"), permitted.key("two")]
        lift_restriction(permitted.case, revoked.stem, keys, reason="mended", now=clock)
        seconds_until(lambda: reason(authority) is None)


def test_a_changed_safeguard_stops_serving_and_its_return_resumes_it(permitted, clock):
    path = permitted.path / "stack.yaml"
    kept = path.read_text()
    with started(permitted, clock) as authority:
        path.write_text(kept.replace("zanzibar", "zanzibaar"))

        assert seconds_until(lambda: reason(authority) == "stack-changed") < 4.0
        assert "stack" in str(authority.fault)
        path.write_text(kept)
        seconds_until(lambda: reason(authority) is None)


def test_an_expiry_is_seen_by_the_very_next_call(permitted, clock):
    with started(permitted, clock, look_s=60.0, stale_s=60.0) as authority:
        assert reason(authority) is None

        clock.pass_days(181)

        assert reason(authority) == "permit-expired"


def test_a_clock_set_back_brings_no_expired_permit_back(permitted, clock):
    with started(permitted, clock, look_s=60.0, stale_s=60.0) as authority:
        clock.pass_days(181)
        assert reason(authority) == "permit-expired"
        clock.pass_days(-181)

        assert reason(authority) == "permit-expired"


def test_what_cannot_be_read_is_not_served(permitted, clock):
    path = permitted.path / "permits" / "limited.json"
    with started(permitted, clock) as authority:
        path.unlink()
        path.mkdir()

        seconds_until(lambda: reason(authority) is not None)
        assert reason(authority) in {"signature-broken", "unreadable"}


def test_a_disk_that_hangs_stops_serving(permitted, clock, monkeypatch):
    """Nothing differs, and nothing was looked at for too long."""
    with started(permitted, clock, look_s=0.05, stale_s=0.4) as authority:
        monkeypatch.setattr("safecase.serve._authority.stamps", lambda _: time.sleep(3.0))

        assert 0.1 < seconds_until(lambda: reason(authority) == "unchecked") < 2.0


def test_a_check_that_breaks_in_a_way_nobody_thought_of_stops_serving(permitted, clock, monkeypatch):
    with started(permitted, clock, look_s=0.05) as authority:

        def breaks(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("safecase.serve._authority.check_permit", breaks)
        authority.check()

        assert reason(authority) == "check-failed"


def test_the_whole_check_comes_round_though_no_stamp_changes(permitted, clock, monkeypatch):
    """Whoever can set back every time of a file is found out a minute later."""
    with started(permitted, clock, look_s=0.05, check_s=0.3) as authority:
        monkeypatch.setattr("safecase.serve._authority.stamps", lambda paths: authority._seen)
        (permitted.path / "permits" / "limited.json").unlink()

        assert seconds_until(lambda: reason(authority) == "no-permit") < 3.0


def test_a_ledger_rolled_back_while_serving_is_seen(permitted, clock):
    path = permitted.path / "ledger.jsonl"
    with started(permitted, clock) as authority:
        lines = path.read_bytes().splitlines(keepends=True)
        last = next(i for i, line in enumerate(lines) if b"permits/closed.json" in line)
        path.write_bytes(b"".join(lines[:last]))  # whole in itself: what came last was never said

        seconds_until(lambda: reason(authority) == "ledger-broken")


def test_another_model_behind_the_same_name_stops_serving(permitted, clock):
    answers = {"text": HELPFUL}
    with started(permitted, clock, opens=lambda _: scripted(answers["text"]), replay_s=0.1, retry_s=0.1) as authority:
        assert reason(authority) is None

        answers["text"] = SAFE_REFUSAL

        seconds_until(lambda: reason(authority) == "fingerprint-drift")
        answers["text"] = HELPFUL
        seconds_until(lambda: reason(authority) is None)


def test_an_upstream_that_wavers_once_is_not_another_model(permitted, clock):
    asked = iter([HELPFUL] * 3 + ["Something else."] + [HELPFUL] * 200)
    model = ScriptedModel(lambda request: next(asked))
    authority = CaseAuthority(place(permitted), now=clock, open_upstream=lambda _: model)
    authority.check()

    authority.replay()

    assert reason(authority) is None


def test_an_upstream_that_was_never_reached_is_not_served_and_one_that_is_down_for_a_while_stays(permitted, clock):
    down = ScriptedModel(lambda request: EndpointError("down", retryable=False))
    never = CaseAuthority(place(permitted), now=clock, open_upstream=lambda _: down)
    never.check()
    never.replay()
    assert reason(never) == "fingerprint-unchecked"

    models = iter([scripted(), down, down])
    once = CaseAuthority(place(permitted), now=clock, open_upstream=lambda _: next(models))
    once.check()
    once.replay()
    once.replay()
    assert reason(once) is None
    once._replayed_at -= 3 * Rhythm().replay_s + 1
    once.replay()
    assert reason(once) == "fingerprint-unchecked"


async def test_the_fingerprint_is_asked_of_the_real_upstream_bare(permitted, clock):
    """Over HTTP, as an assessment asked it: no system prompt, no stack."""
    async with StubEndpoint(safe_answer) as stub:
        authority = CaseAuthority(place(permitted, upstream=stub.url), now=clock, open_upstream=open_model)
        await asyncio.to_thread(authority.check)
        await asyncio.to_thread(authority.replay)

    assert reason(authority) is None
    assert len(stub.asked) == 16
    assert {message["role"] for asked in stub.asked for message in asked.body["messages"]} == {"user"}


@pytest.mark.parametrize("context", ["internal", "controlled", "closed"])
def test_every_context_is_served_under_its_own_permit(permitted, clock, context):
    authority = CaseAuthority(place(permitted, context=context), now=clock, open_upstream=lambda _: scripted())
    authority.check()
    authority.replay()

    assert authority.standing().context == context
    assert reason(authority) is None
