"""People decide: who counts, who does not, and what a permit needs."""

import datetime as dt
from dataclasses import replace

import pytest

from safecase.assess import (
    Issue,
    NotSupported,
    assess,
    case_roster,
    open_case,
    permit_terms,
    run_case,
    sign_decision,
    verify_case,
    write_exception,
    write_permit,
    write_roster,
)
from safecase.assess._signing import assessor_key
from safecase.assess._stages import decide_case
from safecase.evidence import RosterBroken, digest_bytes, generate_key, read_envelope
from safecase.evidence import sign as sign_statement
from safecase.testing import ScriptedModel

from .conftest import safe_target


@pytest.fixture
async def case(make_case, tmp_path, clock):
    made = make_case(gates=("policy.overrefusal",), contexts=("internal", "limited"))
    await run_case(made, model=ScriptedModel(safe_target), now=clock)
    await decide_case(made, now=clock)
    for name in ("root", "one", "two", "stranger", "author"):
        generate_key(tmp_path / f"{name}.pem", demo=False)
    people = [
        f"one:chief-ai-officer:{tmp_path}/one.pem",
        f"two:director-alignment-risk:{tmp_path}/two.pem",
        f"unnamed:director-alignment-risk:{tmp_path}/author.pem",
    ]
    write_roster(made, tmp_path / "root.pem", people, now=clock)
    return made


def sign(case, tmp_path, clock, name, position="approve", reason="read it"):
    return sign_decision(case, tmp_path / f"{name}.pem", position=position, reason=reason, now=clock)


async def test_one_signature_is_no_permit(case, tmp_path, clock):
    assert not sign(case, tmp_path, clock, "one").quorum.is_met

    with pytest.raises(NotSupported, match="2 people in different roles must sign, one"):
        write_permit(case, "internal", now=clock)


async def test_the_author_does_not_count(case, tmp_path, clock):
    """The case's author is `unnamed`, who stands on the roster too."""
    sign(case, tmp_path, clock, "one")

    signed = sign(case, tmp_path, clock, "author")

    assert not signed.quorum.is_met
    assert any(n.person == "unnamed" for n in signed.quorum.not_counted)


async def test_a_stranger_cannot_sign(case, tmp_path, clock):
    with pytest.raises(RosterBroken, match="does not know key"):
        sign(case, tmp_path, clock, "stranger")


async def test_no_one_counts_twice(case, tmp_path, clock):
    sign(case, tmp_path, clock, "one")

    assert not sign(case, tmp_path, clock, "one", reason="again").quorum.is_met


async def test_dissent_is_recorded_with_its_reason(case, tmp_path, clock):
    signed = sign(case, tmp_path, clock, "two", position="dissent", reason="too few intents")

    assert [d.reason for d in signed.quorum.dissents] == ["too few intents"]
    with pytest.raises(ValueError, match="dissent is recorded with its reason"):
        sign(case, tmp_path, clock, "one", position="dissent", reason="")


async def test_a_permit_needs_a_proposal_to_approve(case, tmp_path, clock):
    for name in ("one", "two"):
        sign(case, tmp_path, clock, name)

    assert write_permit(case, "internal", now=clock).exists()
    with pytest.raises(NotSupported, match="the evidence supports 'require-testing'"):
        write_permit(case, "limited", now=clock)


async def test_a_changed_decision_needs_new_signatures(case, tmp_path, clock):
    for name in ("one", "two"):
        sign(case, tmp_path, clock, name)
    path = case.path / "safecase.yaml"
    path.write_text(path.read_text() + "expert_tiers: [{domain: cyber, tier: high, reason: a bypass was shown}]\n")
    changed = open_case(case.path)
    await decide_case(changed, now=clock)

    with pytest.raises(NotSupported):
        write_permit(changed, "internal", now=clock)


async def test_nobody_signs_or_permits_what_was_decided_on_other_evidence(case, tmp_path, clock):
    """What came since may speak against it: the decision is made again first."""
    sign(case, tmp_path, clock, "one")
    path = case.path / "safecase.yaml"
    path.write_text(path.read_text().replace("seed: 20260407", "seed: 5"))
    changed = open_case(case.path)
    before = sign(changed, tmp_path, clock, "two")
    assert before.quorum.is_met
    await run_case(changed, model=ScriptedModel(safe_target), now=clock)

    with pytest.raises(NotSupported, match=r"decision.json was made before plan.json, the evidence changed"):
        sign(changed, tmp_path, clock, "two", reason="again")
    with pytest.raises(NotSupported, match=r"run `safecase decide"):
        write_permit(changed, "internal", now=clock)


async def test_a_permit_counts_the_age_of_the_evidence_it_rests_on(case, tmp_path, clock):
    for name in ("one", "two"):
        sign(case, tmp_path, clock, name)
    terms = {"context_id": "internal", "roster": case_roster(case), "at": clock()}
    before = permit_terms(case, issue=Issue(at=clock()), **terms)["evidence_at"]
    path = case.path / "safecase.yaml"
    path.write_text(path.read_text().replace("seed: 20260407", "seed: 5"))
    await run_case(open_case(case.path), model=ScriptedModel(safe_target), now=clock)

    assert permit_terms(open_case(case.path), issue=Issue(at=clock()), **terms)["evidence_at"] == before


async def test_a_critical_tier_issues_a_signed_development_hold(case, clock):
    path = case.path / "safecase.yaml"
    path.write_text(path.read_text() + "expert_tiers: [{domain: cyber, tier: critical, reason: it was shown}]\n")
    held = open_case(case.path)

    _, decided = await decide_case(held, now=clock)

    assert decided.hold
    assert (held.path / "development-hold.json").exists()


async def test_an_exception_is_signed_by_two_expires_and_never_opens_a_catastrophic_gate(case, tmp_path, clock):
    keys = [tmp_path / "one.pem", tmp_path / "two.pem"]
    day = dt.date(2027, 1, 1)

    path = write_exception(
        case, gate="policy.privacy.unsafe", context="limited", reason="r", expires=day, key_files=keys, now=clock
    )
    assert path.exists()

    refused = [
        ({"gate": "cyber.simple-suite"}, "catastrophic"),
        ({"expires": dt.date(2020, 1, 1)}, "is past"),
        ({"key_files": keys[:1]}, "needs 2 people"),
        ({"gate": "policy.nonsense"}, "no gate"),
    ]
    for change, words in refused:
        fields = {"gate": "policy.privacy.unsafe", "expires": day, "key_files": keys, **change}
        with pytest.raises(NotSupported, match=words):
            write_exception(case, context="limited", reason="r", now=clock, **fields)


async def test_an_exception_in_force_is_in_the_decision(case, tmp_path, clock):
    keys = [tmp_path / "one.pem", tmp_path / "two.pem"]
    write_exception(
        case,
        gate="policy.privacy.unsafe",
        context="limited",
        reason="a vetted pilot",
        expires=dt.date(2027, 1, 1),
        key_files=keys,
        now=clock,
    )

    outcome = await assess(open_case(case.path), model=ScriptedModel([]), now=clock)

    (finding,) = [f for f in outcome.decided.findings if (f.gate, f.context) == ("policy.privacy.unsafe", "limited")]
    assert not finding.blocks
    assert "exception until 2027-01-01" in finding.reason


async def opened(case, tmp_path, clock, *, first: dt.date):
    """The case with an exception to everything that bars `limited`, decided again and signed; the first ends first."""
    keys = [tmp_path / "one.pem", tmp_path / "two.pem"]
    _, decided = await decide_case(case, now=clock)
    barred = [f.gate for f in decided.findings if f.context == "limited" and f.blocks]
    assert len(barred) > 1
    for place, gate in enumerate(barred):
        day = dt.date(2027, 2, 1) if place else first
        write_exception(
            case, gate=gate, context="limited", reason="a vetted pilot", expires=day, key_files=keys, now=clock
        )
    await decide_case(case, now=clock)
    for name in ("one", "two"):
        sign(case, tmp_path, clock, name)


def held(path):
    return read_envelope(path).statement().predicate


async def test_a_permit_ends_with_the_first_exception_it_rests_on(case, tmp_path, clock):
    await opened(case, tmp_path, clock, first=dt.date(2027, 1, 1))

    assert held(write_permit(case, "limited", now=clock))["expires"] == "2027-01-01T00:00:00+00:00"
    assert held(write_permit(case, "internal", now=clock))["expires"] > "2027-02"
    assert verify_case(open_case(case.path)).holds
    with pytest.raises(NotSupported, match=r"rests on the exception to .* until 2027-01-01, which does not stand"):
        write_permit(case, "limited", now=lambda: dt.datetime(2027, 1, 1, tzinfo=dt.UTC))


async def test_a_permit_that_outlives_its_exception_is_named(case, tmp_path, clock):
    """Whoever holds the case's own key can sign such a permit, and nobody has to believe it."""
    await opened(case, tmp_path, clock, first=dt.date(2027, 1, 1))
    path = write_permit(case, "limited", now=clock)
    said = read_envelope(path).statement()
    longer = replace(said, predicate={**said.predicate, "expires": "2027-01-20T00:00:00+00:00"})
    data = sign_statement(longer, assessor_key(case, now=clock)).to_bytes()
    path.write_bytes(data)
    subject = {"path": "permits/limited.json", "sha256": digest_bytes(data), "context": "limited"}
    case.ledger.append("permitted", actor="safecase", subject=subject, at=clock())

    problems = [problem for check in verify_case(open_case(case.path)).checks for problem in check.problems]

    assert problems == ["permits/limited.json: it does not follow from the case (expires)"]


async def test_an_exception_opens_nothing_in_a_changed_case(case, tmp_path, clock):
    await opened(case, tmp_path, clock, first=dt.date(2027, 1, 1))
    path = case.path / "safecase.yaml"
    path.write_text(path.read_text() + "expert_tiers: [{domain: cyber, tier: moderate, reason: as found}]\n")
    changed = open_case(case.path)

    _, decided = await decide_case(changed, now=clock)

    assert [p.exceptions for p in decided.proposals if p.context == "limited"] == [()]
    assert [p.choice for p in decided.proposals if p.context == "limited"] == ["require-testing"]
