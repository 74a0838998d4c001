"""One changed byte in any file that counts is named; authenticity needs what is kept elsewhere."""

import asyncio
import base64
import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from safecase.assess import (
    Case,
    NothingToRead,
    assess,
    bundle_case,
    new_case,
    open_case,
    run_case,
    sign_decision,
    verify_case,
    write_permit,
    write_roster,
)
from safecase.evidence import canonical_json, digest_bytes, generate_key
from safecase.testing import ScriptedModel

from .conftest import safe_target


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small case with everything in it: report, roster, sign-offs, permit. Made once, not to be changed."""
    folder = tmp_path_factory.mktemp("signed")
    moments = (dt.datetime(2026, 11, 21, tzinfo=dt.UTC) + dt.timedelta(seconds=n) for n in range(10**6))

    def clock() -> dt.datetime:
        return next(moments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFECASE_HOME", str(folder / "home"))
        patch.setenv("SAFECASE_HAZARD_KEY_FILE", str(folder / "home" / "hazard.key"))
        options = {"gates": ("policy.overrefusal",), "attacks": ("none",), "contexts": ("internal", "limited")}
        new_case(folder / "case", **options)  # type: ignore[arg-type]
        spec = folder / "case" / "safecase.yaml"
        spec.write_text(spec.read_text().replace("llama-cpp/smollm2-135m-instruct", "scripted/fake"))
        case = open_case(folder / "case")
        asyncio.run(assess(case, model=ScriptedModel(safe_target), now=clock))
        for name in ("root", "one", "two"):
            generate_key(folder / f"{name}.pem", demo=False)
        people = [f"one:chief-ai-officer:{folder}/one.pem", f"two:director-alignment-risk:{folder}/two.pem"]
        write_roster(case, folder / "root.pem", people, now=clock)
        for name in ("one", "two"):
            sign_decision(case, folder / f"{name}.pem", position="approve", reason="read", now=clock)
        write_permit(case, "internal", now=clock)
    return folder


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Case:
    """A copy of the case, with the home that holds its assessor's key."""
    for name in ("case", "home"):
        shutil.copytree(original / name, tmp_path / name)
    return open_case(tmp_path / "case")


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x01
    path.write_bytes(bytes(data))


async def test_an_untouched_case_is_self_consistent_and_no_more(signed):
    found = verify_case(open_case(signed.path))

    assert found.sentence == "self-consistent, not authenticated"
    assert all(check.looked_at for check in found.checks)


def test_a_case_before_its_first_run_says_so(tmp_path, clock):
    new_case(tmp_path / "case", gates=("policy.overrefusal",), contexts=("internal",))
    case = open_case(tmp_path / "case")
    with pytest.raises(NothingToRead, match="nothing to verify yet; run `safecase assess"):
        verify_case(case)

    generate_key(tmp_path / "root.pem", demo=False)
    write_roster(case, tmp_path / "root.pem", [f"one:chief-ai-officer:{tmp_path}/root.pem"], now=clock)

    found = verify_case(case)
    assert found.holds
    assert "the case holds no trials yet" in found.notes


async def test_a_roster_and_a_head_from_elsewhere_authenticate_it(signed, tmp_path):
    shutil.copy(signed.path / "roster.json", tmp_path / "kept.json")
    head = signed.ledger.head()

    found = verify_case(open_case(signed.path), trust=tmp_path / "kept.json", head=head)

    assert found.sentence == "verified and authenticated"
    assert not verify_case(open_case(signed.path), head="0" * 63 + "1").holds


async def test_one_changed_byte_in_any_file_is_named(signed):
    """Every file of the case, at its start, middle and end."""
    names = sorted(p.relative_to(signed.path).as_posix() for p in signed.path.rglob("*") if p.is_file())
    assert len(names) > 15
    missed = []
    for name in names:
        path = signed.path / name
        kept = path.read_bytes()
        for position in (0, len(kept) // 2, len(kept) - 1):
            flip(path, position)
            try:
                found = verify_case(open_case(signed.path))
                problems = [problem for check in found.checks for problem in check.problems]
                if not any(Path(name).name in problem for problem in problems):
                    missed.append((name, position))
            except Exception as fault:  # noqa: BLE001 - a case file that no longer parses is named by its own error
                if Path(name).name not in str(fault):
                    missed.append((name, position, str(fault)))
            path.write_bytes(kept)

    assert missed == []


async def test_a_removed_or_an_added_file_is_named(signed):
    (signed.path / "stray.txt").write_text("x")
    (signed.path / "report" / "report.pdf").unlink()

    problems = "\n".join(p for check in verify_case(open_case(signed.path)).checks for p in check.problems)

    assert "stray.txt" in problems
    assert "report.pdf" in problems


async def test_a_stored_pass_is_not_trusted(signed, monkeypatch):
    """Whoever re-records a rosier estimate, ledger entry and all, is found out by recomputing."""
    path = signed.path / "estimates.json"
    rows = json.loads(path.read_bytes())
    rows[0]["upper_bound"] = 0.0
    path.write_bytes(canonical_json(rows) + b"\n")
    entry = next(e for e in reversed(list(signed.ledger.entries())) if e.subject.get("path") == "estimates.json")
    subject = {**entry.subject, "sha256": digest_bytes(path.read_bytes())}
    signed.ledger.append("measured", actor="safecase", subject=subject, at=entry.at)

    problems = [p for check in verify_case(open_case(signed.path)).checks for p in check.problems]

    assert any("estimates.json" in problem and "does not follow" in problem for problem in problems)


def written_anew(case, kind, rows, clock):
    """Rows as whoever holds the disk can write them, ledger entry and all."""
    shutil.rmtree(case.path / "evidence" / kind)
    lines = [
        entry
        for entry in case.ledger.entries()
        if not str(entry.subject.get("path", "")).startswith(f"evidence/{kind}")
    ]
    case.ledger.path.unlink()
    for entry in lines:
        case.ledger.append(entry.action, actor=entry.actor, subject=entry.subject, at=entry.at)
    again = open_case(case.path)
    (again.trials if kind == "trials" else again.judgements).append(rows, at=clock())
    return [problem for check in verify_case(again).checks for problem in check.problems]


async def test_a_trial_under_another_arm_is_named(signed, clock):
    """A safe answer of the guarded arm, said to be of the bare one, would count there."""
    rows = list(signed.trials.read())
    changed = [replace(rows[0], arm="bare" if rows[0].arm == "guarded" else "guarded"), *rows[1:]]

    problems = written_anew(signed, "trials", changed, clock)

    assert f"evidence/trials: trial {rows[0].trial_id} is not as planned (arm)" in problems


async def test_a_verdict_under_another_judges_name_is_named(signed, clock):
    """It carries the digest by which estimates know their judge, and a name that nobody makes again."""
    rows = list(signed.judgements.read())
    place = next(place for place, row in enumerate(rows) if row.judge == "embedded")
    rows[place] = replace(rows[place], judge="llm/other", verdict="refusal")

    problems = written_anew(signed, "judgements", rows, clock)

    (named,) = [one for one in problems if "'llm/other'" in one]
    assert "whose digest is that of 'embedded'" in named


async def test_a_changed_stack_is_named(signed, clock):
    path = signed.path / "safecase.yaml"
    (signed.path / "stack.yaml").write_text("id: other\nversion: '2'\n")
    path.write_text(path.read_text().replace("safeguards: default", "safeguards: stack.yaml"))

    problems = [p for check in verify_case(open_case(signed.path)).checks for p in check.problems]

    assert any("safecase.yaml" in problem for problem in problems)


async def test_evidence_added_later_is_stale_not_broken(signed, clock):
    path = signed.path / "safecase.yaml"
    path.write_text(path.read_text().replace("seed: 20260407", "seed: 5"))
    await run_case(open_case(signed.path), model=ScriptedModel(safe_target), now=clock)

    found = verify_case(open_case(signed.path))

    assert found.holds
    assert any("evidence was added" in note for note in found.notes)


async def test_signatures_are_looked_at_whatever_came_since(signed, clock):
    """A permit made with a text editor is none, also in a case whose evidence has grown."""
    case_file = signed.path / "safecase.yaml"
    case_file.write_text(case_file.read_text().replace("seed: 20260407", "seed: 5"))
    path = signed.path / "permits" / "internal.json"
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"expires":"2027', b'"expires":"2037')
    data = canonical_json({**envelope, "payload": base64.b64encode(payload).decode()})
    path.write_bytes(data + (b"\n" if path.read_bytes().endswith(b"\n") else b""))
    subject = {"path": "permits/internal.json", "sha256": digest_bytes(path.read_bytes()), "context": "internal"}
    signed.ledger.append("permitted", actor="safecase", subject=subject, at=clock())
    await run_case(open_case(signed.path), model=ScriptedModel(safe_target), now=clock)

    found = verify_case(open_case(signed.path))

    problems = [problem for check in found.checks for problem in check.problems]
    assert problems == ["permits/internal.json: no key of the case signed it as it stands"]


async def test_a_bundle_leaves_sealed_answers_out_and_says_so(tmp_path, clock):
    new_case(tmp_path / "case", gates=("chem-bio.refusal", "policy.overrefusal"), intents=4, attacks=("none",))
    case = open_case(tmp_path / "case")
    await assess(case, model=ScriptedModel(safe_target), now=clock)
    sealed = [trial for trial in case.trials.read() if trial.sealed is not None]
    assert sealed

    path, left_out = bundle_case(case, tmp_path / "out.zip")
    shutil.unpack_archive(path, tmp_path / "unpacked")
    copy = open_case(tmp_path / "unpacked" / "case")

    assert left_out
    data = b"".join(p.read_bytes() for p in copy.path.rglob("*") if p.is_file())
    assert not any(trial.sealed in data for trial in sealed)
    found = verify_case(copy)
    assert found.holds
    assert any("bundle without" in note for note in found.notes)
