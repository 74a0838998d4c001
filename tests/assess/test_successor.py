"""The next assessment is made beside the one that stands: the gateway goes on until people signed another decision."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from safecase.assess import (
    HANDOVER,
    HANDOVER_FILE,
    CaseExists,
    NotSupported,
    begin_successor,
    case_roster,
    decide_case,
    narrow_permit,
    open_case,
    restrictions,
    run_case,
    sign_decision,
    take_over,
    update_successor,
    verify_case,
    write_permit,
    write_roster,
)
from safecase.evidence import EvidenceError, canonical_json, digest_file, generate_key, read_envelope
from safecase.run import LEARNED_BANK
from safecase.serve import CaseAuthority, NotPermitted
from safecase.serve._permit import held_over
from safecase.testing import ScriptedModel, StubEndpoint
from tests.serve.permitted import HELPFUL, SMALL_STACK, Clock, Permitted, check, permitted_at_home, place, safe_answer


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Permitted]:
    with permitted_at_home(tmp_path_factory.mktemp("successor")) as made:
        yield made


@pytest.fixture
def made(original: Permitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Permitted:
    for name in ("case", "people", "home"):
        shutil.copytree(original.path.parent / name, tmp_path / name)
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    return Permitted(path=tmp_path / "case", keys=tmp_path / "people", root=original.root)


async def reassess(path: Path, clock: Clock, *, keys: Path | None) -> None:
    """Other safeguards, run, decided and (with keys) signed in a case."""
    (path / "stack.yaml").write_text(SMALL_STACK.replace("protocol", "treaty"), encoding="utf-8")
    async with StubEndpoint(safe_answer) as stub:
        case = open_case(path)
        await run_case(case, model_name=stub.target(), now=clock)
        await decide_case(case, now=clock)
    for name in ("one", "two") if keys else ():
        sign_decision(open_case(path), keys / f"{name}.pem", position="approve", reason="read it", now=clock)


def sha256_of_decision(path: Path) -> str:
    return digest_file(path / "decision.json")


def learn(path: Path, clock: Clock, name: str = "learned-1") -> None:
    """A scenario as a person accepts it into the case's bank."""
    case = open_case(path)
    row = {
        "id": name,
        "domain": "content-policy",
        "category": "violence",
        "subcategory": "learned",
        "severity": 3,
        "bears_on": ["violence"],
        "text": f"A question that was learned from use, number {name}.",
        "twin": None,
        "source": "incident i-1",
    }
    bank = path / LEARNED_BANK
    bank.parent.mkdir(exist_ok=True)
    bank.write_bytes((bank.read_bytes() if bank.exists() else b"") + canonical_json(row) + b"\n")
    subject = {"path": LEARNED_BANK, "sha256": digest_file(bank)}
    case.ledger.append("scenario-learned", actor="two", subject=subject, at=clock())


def test_the_gateway_serves_on_until_the_successor_is_taken_over(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    before = check(made, clock)
    authority = CaseAuthority(place(made), now=clock, open_upstream=lambda _: ScriptedModel(lambda _: HELPFUL))
    authority.start()
    try:
        successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
        asyncio.run(reassess(successor.path, clock, keys=made.keys))
        authority.check()
        assert (authority.standing().refusal, authority.standing().permit) == (None, before.sha256)
        done = take_over(made.case, successor, now=clock)
        authority.check()
        assert (authority.standing().refusal, authority.standing().permit) == (None, before.sha256)
        clock.at += HANDOVER
        authority.check()
        assert authority.standing().refusal.reason == "stack-changed", "a process that loaded the old stack serves none"
    finally:
        authority.stop()

    after = check(made, clock)
    assert after.sha256 != before.sha256
    assert done.permits == ("internal", "limited")
    assert read_envelope(made.path / "permits" / "limited.json").statement().subject[0].sha256 == done.decision_sha256
    assert verify_case(made.case).holds, verify_case(made.case).checks
    assert verify_case(open_case(successor.path)).holds


def test_a_handover_lifts_no_restriction_and_is_of_one_permit_alone(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    before = check(made, clock)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    here = place(made)
    with pytest.raises(EvidenceError):
        held_over(here, before, at=clock())  # nothing was handed over yet
    take_over(made.case, successor, now=clock)

    assert held_over(here, before, at=clock()).expires <= clock.at + HANDOVER
    with pytest.raises(NotPermitted, match="of another"):
        held_over(here, replace(before, sha256="0" * 64), at=clock())
    narrow_permit(made.case, "limited", made.key("watch"), share=0.1, reason="a report", now=clock)
    assert held_over(here, before, at=clock()).share == 0.1
    (made.path / HANDOVER_FILE).write_bytes((made.path / HANDOVER_FILE).read_bytes().replace(b'"sig":"', b'"sig":"A'))
    with pytest.raises((NotPermitted, EvidenceError)):
        held_over(here, before, at=clock())


def test_nothing_is_taken_over_before_two_people_signed_there(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    with pytest.raises(NotSupported, match="decides nothing anew"):
        take_over(made.case, successor, now=clock)
    asyncio.run(reassess(successor.path, clock, keys=None))
    before = sha256_of_decision(made.path)
    with pytest.raises(NotSupported, match="and nobody did"):
        take_over(made.case, open_case(successor.path), now=clock)
    assert sha256_of_decision(made.path) == before
    check(made, clock)


def test_signers_count_by_the_cases_own_roster(made, tmp_path):
    """Whoever can write the successor could put a roster of their own there."""
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    shutil.rmtree(successor.path / "sign-offs")
    with pytest.raises(NotSupported, match="nobody"):
        take_over(made.case, open_case(successor.path), now=clock)


def test_a_narrowing_that_came_meanwhile_stays_and_one_can_be_brought_over(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    narrow_permit(made.case, "limited", made.key("watch"), reason="alerts doubled", share=0.1, now=clock)
    assert update_successor(made.case, successor, now=clock) == 1
    assert update_successor(made.case, open_case(successor.path), now=clock) == 0
    assert len(restrictions(successor, "limited", case_roster(successor), at=clock())) == 1
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    take_over(made.case, open_case(successor.path), now=clock)
    assert check(made, clock).share == 0.1


def test_a_scenario_learned_meanwhile_has_to_be_run_first(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    learn(made.path, clock)
    with pytest.raises(NotSupported, match="learned since"):
        take_over(made.case, open_case(successor.path), now=clock)
    update_successor(made.case, open_case(successor.path), now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    assert open_case(successor.path).plan.learned == ("learned-1",)
    take_over(made.case, open_case(successor.path), now=clock)
    assert verify_case(made.case).holds


def test_what_both_sides_changed_is_named_and_nothing_happens(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    learn(made.path, clock, "learned-a")
    learn(successor.path, clock, "learned-b")
    before = made.case.ledger.head()
    with pytest.raises(NotSupported, match="changed on both sides"):
        update_successor(made.case, open_case(successor.path), now=clock)
    assert made.case.ledger.head() == before


def test_a_take_over_that_was_cut_off_goes_on(made, tmp_path, monkeypatch):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    written = []

    def cut_off(case, context, **options):
        written.append(context)
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("safecase.assess._successor.write_permit", cut_off)
        with pytest.raises(OSError, match="killed"):
            take_over(made.case, open_case(successor.path), now=clock)
    with pytest.raises(NotPermitted, match="earlier decision"):
        check(made, clock)
    entries = len(list(made.case.ledger.entries()))
    done = take_over(made.case, open_case(successor.path), now=clock)
    assert (written, done.entries, done.permits) == (["internal"], 0, ("internal", "limited"))
    later = [entry.action for entry in made.case.ledger.entries()][entries:]
    assert later == ["handover", "permitted", "permitted"]  # the time in which the old permits serve on begins anew
    assert verify_case(made.case).holds


def test_cut_off_between_files_and_entries_nothing_is_served_and_it_goes_on(made, tmp_path, monkeypatch):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    left = [3]

    def copy(source, target, path, sha256):
        left[0] -= 1
        if not left[0]:
            raise OSError("killed")
        shutil.copy(source.path / path, target.path / path)

    with monkeypatch.context() as patch:
        patch.setattr("safecase.assess._successor._copy", copy)
        with pytest.raises(OSError, match="killed"):
            take_over(made.case, open_case(successor.path), now=clock)
    assert take_over(made.case, open_case(successor.path), now=clock).permits == ("internal", "limited")
    assert verify_case(made.case).holds


def test_a_changed_file_of_the_successor_is_not_taken(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    (successor.path / "estimates.json").write_text("[]")
    with pytest.raises(NotSupported, match="does not hold"):
        take_over(made.case, open_case(successor.path), now=clock)


def test_a_roster_and_a_permit_of_the_successor_stay_there(made, tmp_path):
    """Two people sign a decision; who may sign, and to whom it is served, did not pass before them."""
    clock = Clock()
    clock.pass_days(1)
    narrower = read_envelope(write_permit(made.case, "limited", share=0.2, now=clock)).statement().predicate
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    write_permit(open_case(successor.path), "limited", now=clock)
    done = take_over(made.case, open_case(successor.path), now=clock)
    assert (narrower["share"], check(made, clock).share) == (0.2, 0.2)
    assert not [name for name in done.files if name.startswith("permits/")]

    another = begin_successor(made.case, tmp_path / "another", by="one", now=clock)
    for name in ("mine", "root"):
        generate_key(tmp_path / f"{name}.pem", demo=False)
    mine = [f"{who}:{role}:{tmp_path}/mine.pem" for who, role in (("eve", "chief-ai-officer"),)]
    write_roster(another, tmp_path / "root.pem", mine, now=clock)
    with pytest.raises(NotSupported, match=r"roster\.json"):
        update_successor(open_case(another.path), made.case, now=clock)


def test_two_take_overs_at_once_bring_everything_once(made, tmp_path):
    clock = Clock()
    clock.pass_days(1)
    successor = begin_successor(made.case, tmp_path / "next", by="one", now=clock)
    asyncio.run(reassess(successor.path, clock, keys=made.keys))
    at = clock()
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(take_over, made.case, open_case(successor.path), now=lambda: at) for _ in range(2)]
        assert min(job.result().entries for job in jobs) == 0
    assert [entry.action for entry in made.case.ledger.entries()].count("taken-over") == 1
    assert verify_case(made.case).holds


def test_a_successor_lies_beside_its_case_and_is_one_of_it(made, tmp_path):
    clock = Clock()
    with pytest.raises(CaseExists, match="inside the case"):
        begin_successor(made.case, made.path / "next", by="one", now=clock)
    with pytest.raises(CaseExists):
        begin_successor(made.case, made.path.parent, by="one", now=clock)
    shutil.copytree(made.path, tmp_path / "copy")
    with pytest.raises(NotSupported, match="no case and its successor"):
        take_over(made.case, open_case(tmp_path / "copy"), now=clock)


def test_beginning_is_a_matter_of_a_moment(made, tmp_path):
    began = time.monotonic()
    begin_successor(made.case, tmp_path / "next", by="one", now=Clock())
    assert time.monotonic() - began < 5
    assert not list((tmp_path / "next").glob("respond/registry*"))
