"""A permit holds against the case or nothing is served; every difference has a reason of its own."""

import asyncio
import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from safecase.assess import (
    NotSupported,
    decide_case,
    lift_restriction,
    narrow_permit,
    open_case,
    revoke_permit,
    run_case,
    sign_decision,
    verify_case,
    write_permit,
    write_roster,
)
from safecase.evidence import Identity, digest_bytes, digest_file, load_private_key, read_envelope, sign
from safecase.serve import FileDigests, NotPermitted, Place, check_permit
from safecase.testing import ScriptedModel

from .permitted import CONTEXTS, HELPFUL, SAFE_REFUSAL, Clock, Permitted, check, make_permitted, place


def flip(path: Path, position: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x01
    path.write_bytes(bytes(data))


def test_a_case_with_permits_is_self_consistent_and_holds(permitted, clock):
    assert verify_case(permitted.case).holds
    for context in CONTEXTS:
        held = check(permitted, clock, context=context)
        assert (held.context, held.is_authentic, held.is_demo) == (context, True, False)


def stack_byte(permitted: Permitted, clock: Clock) -> None:
    path = permitted.path / "stack.yaml"
    path.write_text(path.read_text().replace("zanzibar protocol", "zanzibar protocole"))


def stream_mode(permitted: Permitted, clock: Clock) -> None:
    path = permitted.path / "stack.yaml"
    path.write_text(path.read_text() + "stream_every: 64\n")


def permit_byte(permitted: Permitted, clock: Clock) -> None:
    flip(permitted.path / "permits" / "limited.json")


def permit_gone(permitted: Permitted, clock: Clock) -> None:
    (permitted.path / "permits" / "limited.json").unlink()


def permit_of_another_context(permitted: Permitted, clock: Clock) -> None:
    shutil.copy(permitted.path / "permits" / "closed.json", permitted.path / "permits" / "limited.json")


def over(permitted: Permitted, clock: Clock) -> None:
    clock.pass_days(181)


def clock_set_back(permitted: Permitted, clock: Clock) -> None:
    clock.pass_days(-2)


def revoked(permitted: Permitted, clock: Clock) -> None:
    revoke_permit(permitted.case, "limited", permitted.key("one"), reason="seen to leak", now=clock)


def restriction_byte(permitted: Permitted, clock: Clock) -> None:
    narrow = narrow_permit(
        permitted.case, "limited", permitted.key("watch"), where={"region": "XX"}, reason="directive", now=clock
    )
    flip(narrow)


def restriction_gone(permitted: Permitted, clock: Clock) -> None:
    revoke_permit(permitted.case, "limited", permitted.key("one"), reason="seen to leak", now=clock).unlink()


def evidence_byte(permitted: Permitted, clock: Clock) -> None:
    flip(next((permitted.path / "evidence" / "trials").glob("*.parquet")))


def estimates_byte(permitted: Permitted, clock: Clock) -> None:
    flip(permitted.path / "estimates.json")


def plan_byte(permitted: Permitted, clock: Clock) -> None:
    flip(permitted.path / "plan.json")


def roster_by_another_root(permitted: Permitted, clock: Clock) -> None:
    people = [f"one:chief-ai-officer:{permitted.key('one')}", f"two:director-alignment-risk:{permitted.key('two')}"]
    write_roster(permitted.case, permitted.key("stranger"), people, now=clock)


def a_signer_leaves_the_roster(permitted: Permitted, clock: Clock) -> None:
    people = [f"one:chief-ai-officer:{permitted.key('one')}"]
    write_roster(permitted.case, permitted.key("root"), people, now=clock)


def a_signer_dissents(permitted: Permitted, clock: Clock) -> None:
    sign_decision(permitted.case, permitted.key("two"), position="dissent", reason="I was wrong", now=clock)


def ledger_line(permitted: Permitted, clock: Clock) -> None:
    path = permitted.path / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2] + lines[-1:]))


def framework_line(permitted: Permitted, clock: Clock) -> None:
    path = permitted.path / "pack.yaml"
    path.write_text(path.read_text().replace("at_most: 0.7", "at_most: 0.8"))


def whom_the_context_admits(permitted: Permitted, clock: Clock) -> None:
    path = permitted.path / "pack.yaml"
    path.write_text(path.read_text().replace("admits: vetted", "admits: anyone"))


def case_file_gone(permitted: Permitted, clock: Clock) -> None:
    (permitted.path / "safecase.yaml").unlink()


REASONS = [
    (stack_byte, "stack-changed"),
    (stream_mode, "stack-changed"),
    (permit_byte, "signature-broken"),
    (permit_gone, "no-permit"),
    (permit_of_another_context, "no-permit"),
    (over, "permit-expired"),
    (clock_set_back, "clock-behind"),
    (revoked, "permit-revoked"),
    (restriction_byte, "case-changed"),
    (restriction_gone, "case-changed"),
    (evidence_byte, "evidence-changed"),
    (estimates_byte, "decision-changed"),
    (plan_byte, "decision-changed"),
    (roster_by_another_root, "signature-broken"),
    (a_signer_leaves_the_roster, "not-signed"),
    (a_signer_dissents, "not-signed"),
    (ledger_line, "ledger-broken"),
    (framework_line, "framework-changed"),
    (whom_the_context_admits, "framework-changed"),
    (case_file_gone, "case-changed"),
]


@pytest.mark.parametrize(("change", "reason"), REASONS, ids=lambda value: getattr(value, "__name__", value))
def test_every_difference_stops_serving_with_its_reason(permitted, clock, change, reason):
    loaded = place(permitted)
    assert check_at(loaded, clock).context == "limited"

    change(permitted, clock)

    with pytest.raises(NotPermitted) as caught:
        check_at(loaded, clock)
    assert caught.value.reason == reason, caught.value
    assert str(permitted.path) not in caught.value.message


def check_at(loaded: Place, clock: Clock):
    """The whole check of a gateway that was started before the files changed."""
    return check_permit(loaded, at=clock(), digests=FileDigests())


def reason_of(permitted: Permitted, clock: Clock, **changes) -> str:
    with pytest.raises(NotPermitted) as caught:
        check(permitted, clock, **changes)
    return caught.value.reason


# --- Who is believed --------------------------------------------------------------------------------------------------


def test_without_a_root_from_elsewhere_only_loopback_is_served(permitted, clock):
    assert check(permitted, clock, trusted_root=None).standing_word == "self-consistent"
    assert reason_of(permitted, clock, trusted_root=None, loopback=False) == "not-authenticated"
    assert check(permitted, clock, loopback=False).standing_word == "authentic"


def test_a_ledger_and_a_revocation_rolled_back_together_need_a_head_from_elsewhere_to_be_seen(permitted, clock):
    before = (permitted.path / "ledger.jsonl").read_bytes()
    revocation = revoke_permit(permitted.case, "limited", permitted.key("one"), reason="seen to leak", now=clock)
    head = permitted.case.ledger.head()
    revocation.unlink()
    (permitted.path / "ledger.jsonl").write_bytes(before)

    assert check(permitted, clock).context == "limited"
    assert reason_of(permitted, clock, head=head) == "ledger-broken"
    with pytest.raises(NotPermitted, match="written anew"):
        check_permit(place(permitted), at=clock(), digests=FileDigests(), head=head)


def test_a_permit_by_a_key_that_is_not_the_cases_is_none(permitted, clock, monkeypatch, tmp_path):
    """Whoever makes a key of their own and signs the very same terms."""
    path = permitted.path / "permits" / "limited.json"
    held = path.read_bytes()
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "another-home"))
    write_permit(permitted.case, "limited", now=clock)
    for key in (permitted.path / "keys").glob("*.pem"):
        if key.name not in held.decode(errors="replace"):
            key.unlink()

    assert reason_of(permitted, clock) in {"signature-broken", "case-changed"}


def forge(permitted: Permitted, clock: Clock, context: str, **change: object) -> None:
    """What whoever holds the case and its assessor's key can do: sign other terms and record them properly."""
    path = permitted.path / "permits" / f"{context}.json"
    statement = read_envelope(path).statement()
    other = dataclasses.replace(statement, predicate={**statement.predicate, **change})
    data = sign(other, load_private_key(permitted.path.parent / "home" / "keys" / "assessor.pem")).to_bytes()
    path.write_bytes(data)
    said = {"path": f"permits/{context}.json", "sha256": digest_bytes(data)}
    permitted.case.ledger.append("permitted", actor="mallory", subject=said, at=clock())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"share": 1.0}, "not-supported"),
        ({"share": None}, "context-changed"),
        ({"admits": "anyone"}, "context-changed"),
        ({"minimum_identity": "name-only"}, "context-changed"),
        ({"stack_digest": "0" * 64}, "stack-changed"),
        ({"identity": {"kind": "fingerprint", "model": "m", "digest": "0" * 64}}, "model-changed"),
        ({"evidence_root": "0" * 64}, "evidence-changed"),
        ({"framework_digest": "0" * 64}, "framework-changed"),
        ({"conditions": []}, "framework-changed"),
    ],
)
def test_the_case_key_alone_cannot_permit_what_people_did_not_sign(permitted, clock, change, reason):
    forge(permitted, clock, "controlled", **change)

    assert reason_of(permitted, clock, context="controlled") == reason


def test_a_demonstration_is_served_on_this_machine_alone(permitted, clock):
    forge(permitted, clock, "limited", demo=True)

    assert check(permitted, clock).is_demo
    assert reason_of(permitted, clock, loopback=False) == "demo-keys"


def test_another_author_than_the_decisions_stops_serving(permitted, clock):
    """Else an author's own signature could be made to count afterwards."""
    path = permitted.path / "safecase.yaml"
    path.write_text(path.read_text().replace("author: unnamed", "author: nobody"))

    assert reason_of(permitted, clock) == "not-supported"


def test_a_longer_expiry_than_the_evidence_allows_is_cut(permitted, clock):
    forge(permitted, clock, "limited", expires="2099-01-01T00:00:00+00:00")

    assert check(permitted, clock).expires.year == 2027
    clock.pass_days(181)
    assert reason_of(permitted, clock) == "evidence-too-old"


# --- Narrower, and wider again ----------------------------------------------------------------------------------------


def test_one_of_a_role_that_may_narrows_and_revokes_and_no_one_else(permitted, clock):
    case = permitted.case
    narrow_permit(case, "closed", permitted.key("watch"), share=0.01, reason="alerts doubled", now=clock)
    assert check(permitted, clock, context="closed").share == 0.01

    with pytest.raises(Exception, match="does not know key"):
        revoke_permit(case, "closed", permitted.key("stranger"), reason="I want to", now=clock)
    with pytest.raises(NotSupported, match="nothing to narrow by"):
        narrow_permit(case, "closed", permitted.key("watch"), reason="because", now=clock)
    with pytest.raises(NotSupported, match="is empty"):
        revoke_permit(case, "closed", permitted.key("watch"), reason=" ", now=clock)


def test_lifting_takes_as_many_people_as_the_decision_did(permitted, clock):
    case = permitted.case
    path = revoke_permit(case, "limited", permitted.key("watch"), reason="seen to leak", now=clock)
    assert reason_of(permitted, clock) == "permit-revoked"

    for keys in (["one"], ["one", "watch"], ["one", "stranger"]):
        with pytest.raises(NotSupported, match="lifting takes 2 people"):
            lift_restriction(case, path.stem, [permitted.key(k) for k in keys], reason="mended", now=clock)
    lift_restriction(case, path.stem, [permitted.key("one"), permitted.key("two")], reason="mended", now=clock)

    assert check(permitted, clock).context == "limited"
    assert verify_case(permitted.case).holds


def test_the_same_decision_cannot_be_permitted_again_after_it_was_revoked(permitted, clock):
    revoke_permit(permitted.case, "limited", permitted.key("one"), reason="seen to leak", now=clock)

    with pytest.raises(NotSupported, match="revoked by one"):
        write_permit(permitted.case, "limited", now=clock)


def test_a_narrowing_outlives_the_decision_and_a_revocation_falls_with_it(permitted, clock):
    case = permitted.case
    narrow_permit(case, "limited", permitted.key("watch"), where={"region": "XX"}, reason="directive", now=clock)
    revoke_permit(case, "limited", permitted.key("one"), reason="seen to leak", now=clock)
    path = permitted.path / "safecase.yaml"
    path.write_text(path.read_text().replace("title: Assessment", "title: A second assessment"))
    path.write_text(path.read_text().replace("author: unnamed", "author: another"))

    async def again() -> None:
        changed = open_case(permitted.path)
        await decide_case(changed, now=clock)
        for name in ("one", "two"):
            sign_decision(changed, permitted.key(name), position="approve", reason="read again", now=clock)
        write_permit(changed, "limited", now=clock)

    asyncio.run(again())

    assert [one.reason for one in check(permitted, clock).narrowings] == ["directive"]


def test_a_share_is_decided_and_a_permit_may_only_lower_it(permitted, clock):
    assert check(permitted, clock, context="controlled").share == 0.25
    write_permit(permitted.case, "controlled", share=0.05, now=clock)
    assert check(permitted, clock, context="controlled").share == 0.05

    with pytest.raises(NotSupported, match="a wider one needs a new decision"):
        write_permit(permitted.case, "controlled", share=0.3, now=clock)


# --- The model --------------------------------------------------------------------------------------------------------


def test_local_weights_are_hashed_and_one_byte_stops_serving(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    weights = tmp_path / "weights.gguf"
    weights.write_bytes(bytes(10_000))
    known = Identity(kind="weights", model="llama-cpp/small.gguf", digest=digest_file(weights))
    model = ScriptedModel(
        lambda request: SAFE_REFUSAL if request.tags["harmful"] == "true" else HELPFUL,
        name="llama-cpp/small.gguf",
        identity=known,
    )
    made = asyncio.run(make_permitted(tmp_path, model=model, clock=Clock(), contexts=("internal", "limited")))

    held = check(made, clock, upstream="", weights=weights)
    assert (held.served_name, held.identity.kind) == ("small", "weights")
    assert reason_of(made, clock, upstream="", weights=None) == "weights-changed"
    flip(weights, 5000)
    assert reason_of(made, clock, upstream="", weights=weights) == "weights-changed"


def test_digests_are_made_again_when_a_file_changes_and_not_before(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    digests = FileDigests(clock=lambda: path.stat().st_mtime + 10)
    first = digests.of(path)

    assert digests.of(path) == first
    path.write_bytes(b"two")
    assert digests.of(path) == digest_file(path) != first
    path.unlink()
    assert digests.of(path) is None


def test_a_file_that_only_just_changed_is_read_every_time(tmp_path):
    """Its stamp could not tell another change within the same tick of the file system's clock."""
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    seen = path.stat()
    digests = FileDigests(clock=lambda: seen.st_mtime + 0.5)
    first = digests.of(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))

    assert digests.of(path) != first


def test_a_minimum_that_the_model_does_not_meet_is_no_permit(permitted, clock):
    path = permitted.path / "safecase.yaml"
    path.write_text(path.read_text() + "minimum_identity: attested\n")

    with pytest.raises(NotSupported, match="rests on 'fingerprint'"):
        write_permit(open_case(permitted.path), "limited", now=clock)


def test_evidence_added_needs_a_new_decision(permitted, clock):
    path = permitted.path / "safecase.yaml"
    kept = path.read_text()
    path.write_text(kept.replace("seed: 20260407", "seed: 5"))
    other = ScriptedModel(lambda request: HELPFUL)
    asyncio.run(run_case(open_case(permitted.path), model=other, now=clock))
    path.write_text(kept)

    assert reason_of(permitted, clock) == "decision-changed"
