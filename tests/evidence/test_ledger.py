"""The ledger: a chain that only grows, one writer at a time, and a crash that loses nothing silently."""

import errno
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.evidence import (
    GENESIS,
    DiskFull,
    Ledger,
    LedgerBroken,
    canonical_json,
    digest_bytes,
    verify_consistency,
    verify_inclusion,
)

from .conftest import AT

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def ledger(case: Path) -> Ledger:
    ledger = Ledger(case / "ledger.jsonl")
    for number in range(5):
        ledger.append("counted", actor="ada", subject={"n": number, "é": [1.5, None]}, at=AT)
    return ledger


def test_each_entry_holds_the_hash_of_the_one_before(ledger: Ledger) -> None:
    entries = list(ledger.entries())

    assert [entry.prev for entry in entries] == [GENESIS, *(entry.hash for entry in entries[:-1])]
    assert [entry.seq for entry in entries] == [0, 1, 2, 3, 4]
    assert ledger.head() == entries[-1].hash
    assert ledger.check() == []


def test_what_append_returns_is_what_a_reader_finds(ledger: Ledger) -> None:
    entry = ledger.append("counted", actor="ada", subject={"pair": (1, 2)}, at=AT)

    assert entry == list(ledger.entries())[-1]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), json_values, max_size=4))
def test_any_json_subject_comes_back(tmp_path_factory: pytest.TempPathFactory, subject: dict[str, object]) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("l") / "ledger.jsonl")
    ledger.append("any", actor="a", subject=subject, at=AT)

    assert ledger.check() == []
    assert [entry.subject for entry in ledger.entries()] == [subject]


def test_an_empty_ledger_has_the_genesis_head_and_a_missing_one_is_a_problem(case: Path) -> None:
    ledger = Ledger(case / "ledger.jsonl")

    assert ledger.head() == GENESIS
    assert "no ledger" in str(ledger.check()[0])


@pytest.mark.parametrize(
    ("action", "actor", "subject", "at"),
    [
        ("", "ada", {}, AT),
        ("acted", "", {}, AT),
        ("acted", "ada", {"n": float("nan")}, AT),  # absence is never a number
        ("acted", "ada", {}, datetime(2026, 1, 1)),  # noqa: DTZ001 - the fault under test
    ],
)
def test_a_bad_entry_is_refused_and_nothing_is_written(
    ledger: Ledger, action: str, actor: str, subject: dict[str, object], at: datetime
) -> None:
    before = ledger.path.read_bytes()

    with pytest.raises(ValueError, match=r"."):
        ledger.append(action, actor=actor, subject=subject, at=at)
    assert ledger.path.read_bytes() == before


def test_every_flipped_bit_is_named_with_its_line(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    for position in range(len(whole)):
        line = whole[:position].count(b"\n") + 1
        ledger.path.write_bytes(
            whole[:position] + bytes([whole[position] ^ (1 << position % 8)]) + whole[position + 1 :]
        )

        problems = ledger.check()

        assert problems, position
        assert problems[0].file == ledger.path
        assert problems[0].line == line, (position, problems)


@pytest.mark.parametrize("removed", [0, 2, 4])
def test_a_removed_line_is_noticed_unless_it_was_the_last(ledger: Ledger, removed: int) -> None:
    """Cutting the end off shows only against a head kept elsewhere."""
    head = ledger.head()
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:removed] + lines[removed + 1 :]))

    assert bool(ledger.check()) == (removed < 4)
    assert ledger.check(head=head)


def test_two_lines_swapped_are_noticed(ledger: Ledger) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))

    assert ledger.check()[0].line == 2


def test_a_ledger_written_anew_passes_alone_and_fails_against_a_head_kept_elsewhere(ledger: Ledger) -> None:
    head = ledger.head()
    ledger.path.unlink()
    for number in range(5):
        ledger.append("counted", actor="mallory", subject={"n": number}, at=AT)

    assert ledger.check() == []
    assert head[:12] in str(ledger.check(head=head)[0])


def test_a_head_kept_elsewhere_still_holds_after_more_was_added(ledger: Ledger) -> None:
    head = ledger.head()
    ledger.append("counted", actor="ada", subject={}, at=AT)

    assert ledger.check(head=head) == []


def test_a_line_cut_short_is_set_aside_and_said(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"action":"cou')
    assert "cut short" in str(ledger.check()[0])

    warning = ledger.recover(at=AT)

    assert warning is not None
    assert "ledger.jsonl.torn" in warning
    assert ledger.path.with_name("ledger.jsonl.torn").read_bytes() == b'{"action":"cou\n'
    assert list(ledger.entries())[-1].action == "torn-line"
    assert ledger.path.read_bytes().startswith(whole)
    assert ledger.check() == []
    assert ledger.recover(at=AT) is None


@pytest.mark.parametrize("kept", [1, 40, 150])
def test_a_crash_anywhere_in_a_line_costs_that_line_only(ledger: Ledger, kept: int) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:4]) + lines[4][:kept])

    ledger.append("counted", actor="ada", subject={}, at=AT)

    assert [entry.action for entry in ledger.entries()] == ["counted"] * 4 + ["torn-line", "counted"]
    assert ledger.check() == []


def test_a_whole_line_without_its_newline_is_kept(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[:-1])

    ledger.append("counted", actor="ada", subject={}, at=AT)

    assert ledger.path.read_bytes().startswith(whole)
    assert ledger.check() == []
    assert not ledger.path.with_name("ledger.jsonl.torn").exists()


@pytest.mark.parametrize("end", [b"x", b" "])
def test_a_damaged_end_is_no_crash_and_stops_the_writer(ledger: Ledger, end: bytes) -> None:
    ledger.path.write_bytes(ledger.path.read_bytes()[:-1] + end)

    with pytest.raises(LedgerBroken, match="not merely cut short"):
        ledger.append("counted", actor="ada", subject={}, at=AT)


def test_nothing_is_added_after_an_edited_last_line(ledger: Ledger) -> None:
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"n":4', b'"n":5'))

    with pytest.raises(LedgerBroken, match="was changed"):
        ledger.append("counted", actor="ada", subject={}, at=AT)


APPEND_MANY = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from safecase.evidence import Ledger

for number in range(40):
    Ledger(Path(sys.argv[1])).append("counted", actor=sys.argv[2], subject={"n": number}, at=datetime.now(UTC))
"""


def test_two_processes_cannot_fork_the_chain(case: Path) -> None:
    path = case / "ledger.jsonl"
    workers = [subprocess.Popen([sys.executable, "-c", APPEND_MANY, str(path), who]) for who in ("ada", "bob", "cyd")]

    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert Ledger(path).check() == []
    assert len(list(Ledger(path).entries())) == 120


@pytest.mark.parametrize("kept", [0, 7])
def test_a_full_disk_leaves_the_ledger_as_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    before = ledger.path.read_bytes()
    write = os.write
    calls = []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if kept and len(calls) == 1:
            return write(descriptor, data[:kept])  # the disk takes the first bytes only
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFull, match="nothing was written"):
        ledger.append("counted", actor="ada", subject={}, at=AT)
    monkeypatch.undo()

    assert calls
    assert ledger.path.read_bytes() == before


def test_root_and_proofs_are_over_the_lines(ledger: Ledger) -> None:
    old_root, entries = ledger.root(), list(ledger.entries())
    ledger.append("counted", actor="ada", subject={}, at=AT)

    assert ledger.root(5) == old_root
    assert verify_inclusion(entries[2].line(), index=2, size=6, proof=ledger.inclusion(2), root=ledger.root())
    assert verify_consistency(
        old_size=5, new_size=6, old_root=old_root, new_root=ledger.root(), proof=ledger.consistency(5)
    )


def test_a_file_that_the_ledger_names_is_held_to_its_last_digest(ledger: Ledger, case: Path) -> None:
    for content in (b"first", b"second"):
        (case / "plan.json").write_bytes(content)
        subject = {"path": "plan.json", "sha256": digest_bytes(content)}
        ledger.append("planned", actor="ada", subject=subject, at=AT)
    assert ledger.check_listed() == []

    (case / "plan.json").write_bytes(b"first")
    changed = ledger.check_listed()
    (case / "plan.json").unlink()
    missing = ledger.check_listed()

    assert [problem.file for problem in (*changed, *missing)] == [case / "plan.json"] * 2
    assert "missing" in str(missing[0])


def test_a_ledger_cannot_send_a_check_outside_the_case(ledger: Ledger) -> None:
    ledger.append("planned", actor="x", subject={"path": "../../etc/passwd", "sha256": "0" * 64}, at=AT)

    assert "outside the case" in str(ledger.check_listed()[0])


def test_a_line_with_a_right_hash_and_other_spacing_is_refused(ledger: Ledger) -> None:
    lines = ledger.path.read_bytes().splitlines()
    assert canonical_json(json.loads(lines[1])) == lines[1]
    lines[1] = json.dumps(json.loads(lines[1])).encode()
    ledger.path.write_bytes(b"\n".join(lines) + b"\n")

    assert "canonical" in str(ledger.check()[0])
