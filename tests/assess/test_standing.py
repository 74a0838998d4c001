"""What stands in a case, read without measuring; and a sign-off that was made elsewhere."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from safecase.assess import (
    Case,
    NotSupported,
    argue_case,
    decide_case,
    kept_estimates,
    note_concern,
    open_case,
    run_case,
    sign_decision,
    signatures,
    standing,
    standing_arguments,
    take_sign_off,
    verify_case,
)
from safecase.assess import case_roster as roster_of
from safecase.decide import Concern
from safecase.evidence import RosterBroken, StatementBroken
from safecase.testing import ScriptedModel
from tests.assess.conftest import safe_target
from tests.assess.test_argument import people


@pytest.fixture
async def case(make_case: Callable[..., Case], clock) -> Case:
    made = make_case(contexts=("closed",), gates=("policy.violence.unsafe",), intents=4)
    await run_case(made, model=ScriptedModel(safe_target), now=clock)
    return open_case(made.path)


async def test_what_stands_is_what_was_decided_and_nothing_is_written(case: Case, clock):
    assert standing(case) is None
    measured, decided = await decide_case(case, now=clock)
    before = {path: path.read_bytes() for path in case.path.rglob("*") if path.is_file()}

    found = standing(case)
    arguments = standing_arguments(case, at=clock())

    assert found is not None
    assert (found.findings, found.determinations, found.proposals) == (
        decided.findings,
        decided.determinations,
        decided.proposals,
    )
    assert found.problems == ()
    assert kept_estimates(case) == measured.estimates
    assert arguments == await argue_case(case, now=clock)
    assert {path: path.read_bytes() for path in case.path.rglob("*") if path.is_file()} == before


async def test_a_file_that_says_something_else_or_is_gone_is_told(case: Case, clock):
    await decide_case(case, now=clock)
    (case.path / "findings.json").write_bytes((case.path / "determination.json").read_bytes())

    with pytest.raises(StatementBroken, match="determination"):
        standing(case)
    (case.path / "findings.json").unlink()
    with pytest.raises(StatementBroken, match="cannot be read"):
        standing(case)


async def test_without_the_key_that_signed_them_files_do_not_hold(case: Case, clock):
    await decide_case(case, now=clock)
    for file in (case.path / "keys").glob("*.pem"):
        file.unlink()

    found = standing(case)

    assert found is not None
    assert len(found.problems) == 3


async def test_a_concern_of_now_shows_before_anybody_decides_again(case: Case, clock):
    await decide_case(case, now=clock)
    note_concern(case, Concern(concern_id="inc-7", kind="incident", what="x", touches=("privacy",)), actor="ana")

    (argument,) = standing_arguments(case, at=clock())

    assert [one.kind for one in argument.defeaters if one.state == "open"].count("open-incident") == 1


async def test_a_sign_off_made_elsewhere_counts_as_one_made_here(case: Case, clock, tmp_path: Path):
    await decide_case(case, now=clock)
    with pytest.raises(RosterBroken):
        take_sign_off(case, b"", origin="x", now=clock)
    ana, ben = people(case, tmp_path, clock)
    shutil.copytree(case.path, tmp_path / "copy")
    sign_decision(open_case(tmp_path / "copy"), ana, position="approve", reason="read it", now=clock)
    sign_decision(open_case(tmp_path / "copy"), ben, position="dissent", reason="too early", now=clock)
    files = sorted((tmp_path / "copy" / "sign-offs").glob("*.json"))

    for file in (*files, files[0]):  # the same one twice is one
        signed = take_sign_off(case, file.read_bytes(), origin=file.name, now=clock)

    assert [one.person for one in signed.quorum.counted] == ["ana"]
    assert [one.person for one in signed.quorum.dissents] == ["ben"]
    assert [entry.action for entry in case.ledger.entries()].count("signed") == 2
    assert not [problem for check in verify_case(case).checks for problem in check.problems]


async def test_a_sign_off_on_another_decision_or_by_a_stranger_is_refused(case: Case, clock, tmp_path: Path):
    await decide_case(case, now=clock)
    ana, _ = people(case, tmp_path, clock)
    shutil.copytree(case.path, tmp_path / "copy")
    sign_decision(open_case(tmp_path / "copy"), ana, position="approve", reason="read it", now=clock)
    (file,) = (tmp_path / "copy" / "sign-offs").glob("*.json")
    (tmp_path / "others").mkdir()
    people(case, tmp_path / "others", clock)  # the same names, other keys

    with pytest.raises(NotSupported, match="the roster does not know this key"):
        take_sign_off(case, file.read_bytes(), origin="given", now=clock)
    shutil.copy(tmp_path / "copy" / "roster.json", case.path / "roster.json")
    note_concern(case, Concern(concern_id="inc-7", kind="incident", what="x", touches=("privacy",)), actor="ana")
    await argue_case(case, keep=True, now=clock)
    with pytest.raises(NotSupported, match="about another version of the file"):
        take_sign_off(case, file.read_bytes(), origin="given", now=clock)
    with pytest.raises(NotSupported, match="does not count"):
        take_sign_off(case, (case.path / "decision.json").read_bytes(), origin="given", now=clock)
    assert signatures(case, roster_of(case), at=clock()).quorum.counted == ()
    assert not (case.path / "sign-offs").exists()
