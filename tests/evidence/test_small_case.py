"""One small case, every byte of every file: whatever is changed, the checks name that file."""

from pathlib import Path

import pytest

from safecase.evidence import (
    FINDINGS,
    JudgementStore,
    Ledger,
    LedgerBroken,
    PrivateKey,
    Problem,
    Statement,
    Subject,
    TrialStore,
    check_envelope,
    digest_bytes,
    sign,
    write_envelope,
)

from .conftest import AT, make_judgement, make_trial


def _check(case: Path, key: PrivateKey) -> list[Problem]:
    found = Ledger(case / "ledger.jsonl").check()
    for store in (TrialStore(case), JudgementStore(case)):
        try:
            found += store.check()
        except LedgerBroken as error:
            found.append(error.problem)
    return found + check_envelope(case / "findings.json", [key.public])


@pytest.fixture
def small(case: Path, keys: dict[str, PrivateKey]) -> Path:
    TrialStore(case).append([make_trial(1), make_trial(2)], at=AT)
    JudgementStore(case).append([make_judgement(1), make_judgement(2)], at=AT)
    subject = Subject(name="ledger", sha256=digest_bytes((case / "ledger.jsonl").read_bytes()))
    statement = Statement(subject=(subject,), predicate_type=FINDINGS, predicate={"findings": []})
    write_envelope(case / "findings.json", sign(statement, keys["ada"]))
    return case


def test_a_sound_case_has_no_problem(small: Path, keys: dict[str, PrivateKey]) -> None:
    assert _check(small, keys["ada"]) == []


@pytest.mark.parametrize("pattern", ["ledger.jsonl", "findings.json", "evidence/trials/*", "evidence/judgements/*"])
def test_a_flipped_byte_anywhere_names_its_file(small: Path, keys: dict[str, PrivateKey], pattern: str) -> None:
    (path,) = small.glob(pattern)
    whole = path.read_bytes()
    step = max(1, len(whole) // 150)  # every byte is tried where each file is tested alone

    for position in (*range(0, len(whole), step), len(whole) - 1):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        problems = _check(small, keys["ada"])
        assert problems, position
        assert problems[0].file == path, (position, problems)
    path.write_bytes(whole)
    assert _check(small, keys["ada"]) == []


@pytest.mark.parametrize("pattern", ["ledger.jsonl", "findings.json", "evidence/trials/*", "evidence/judgements/*"])
def test_a_missing_file_is_named(small: Path, keys: dict[str, PrivateKey], pattern: str) -> None:
    (path,) = small.glob(pattern)
    path.unlink()

    assert path in [problem.file for problem in _check(small, keys["ada"])]
