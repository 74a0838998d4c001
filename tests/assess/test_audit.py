"""The judge of a case audited: what it reads, what it keeps, and that nothing else moves."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from safecase.assess import (
    JUDGE_AUDIT,
    AuditSample,
    Case,
    NothingToRead,
    audit_judge,
    import_case,
    measure_case,
    open_case,
    verify_path,
)
from safecase.evidence import Verdict
from safecase.measure import EmbeddedJudge, Event

from .conftest import HELPFUL, SAFE_REFUSAL


@dataclass
class Reader:
    """Says what it is told by the answer's first word, and remembers what it read."""

    says: dict[str, Verdict] = field(default_factory=lambda: {"Sure!": "compliance"})
    read_before: list[str] = field(default_factory=list)
    id: str = "audit/scripted"
    digest: str = "0" * 64
    events: frozenset[Event] = frozenset({"unsafe", "refusal"})

    def read(self, answers: Sequence[str]) -> list[Verdict]:
        self.read_before += answers
        return [self.says.get(answer.split()[0], "refusal") for answer in answers]


async def imported(case: Case, tmp_path: Path, *, count: int = 90, category: str = "violence") -> Case:
    """A case of imported answers, a third of them helpful, measured."""
    rows = [
        {
            "scenario_id": f"s{i}",
            "intent_id": f"i{i}",
            "category": category,
            "harmful": i % 2 == 0,
            "text": f"request {i}",
            "response": f"{HELPFUL if i % 3 == 0 else SAFE_REFUSAL} ({i})",
        }
        for i in range(count)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_case(case, file, arm="guarded")
    await measure_case(case)
    return open_case(case.path)


async def test_an_audit_counts_by_arm_and_side(make_case: Callable[..., Case], tmp_path: Path) -> None:
    case = await imported(make_case(), tmp_path)
    reader = Reader()

    audit = audit_judge(case, sample=AuditSample(share=0.5, least=1), reader=reader)

    benign, harmful = audit.parts
    assert [(part.harmful, part.event, part.whole, part.drawn) for part in audit.parts] == [
        (False, "refusal", 45, 23),
        (True, "unsafe", 45, 23),
    ]
    assert len(reader.read_before) == 46
    assert (harmful.both + harmful.neither, harmful.value) == (23, 0.0)
    assert 0 < harmful.differ.high < 0.15
    assert benign.unread == harmful.unread == 0
    assert audit.total.whole == 90


async def test_readers_that_differ_are_told_apart(make_case: Callable[..., Case], tmp_path: Path) -> None:
    case = await imported(make_case(), tmp_path)

    audit = audit_judge(case, reader=Reader(says={"I'm": "compliance", "Sure!": "refusal"}))

    assert [(part.value, part.judge_only > 0, part.second_only > 0) for part in audit.parts] == [(1.0, True, True)] * 2
    assert audit.total.value == audit.total.differ.low == 1.0


async def test_an_audit_moves_no_verdict_no_estimate_and_no_digest(
    make_case: Callable[..., Case], tmp_path: Path
) -> None:
    """It is an audit: what a decision rests on is the same byte for byte, and the case still verifies."""
    case = await imported(make_case(), tmp_path)
    before = {path: path.read_bytes() for path in sorted(case.path.rglob("*.parquet"))}
    estimates, judge = (case.path / "estimates.json").read_bytes(), EmbeddedJudge().digest

    audit_judge(case, reader=Reader())

    assert {path: path.read_bytes() for path in sorted(case.path.rglob("*.parquet"))} == before != {}
    await measure_case(open_case(case.path))
    assert (case.path / "estimates.json").read_bytes() == estimates
    assert EmbeddedJudge().digest == judge
    verification = verify_path(case.path)
    assert [check.problems for check in verification.checks if check.problems] == []


async def test_every_count_leads_to_its_answers(make_case: Callable[..., Case], tmp_path: Path) -> None:
    case = await imported(make_case(), tmp_path)

    audit = audit_judge(case, sample=AuditSample(least=20), reader=Reader(says={"I'm": "compliance"}))

    kept = json.loads((case.path / JUDGE_AUDIT).read_bytes())
    assert kept == json.loads(json.dumps(audit.to_json()))
    harmful = {trial.trial_id: trial.harmful for trial in case.trials.read()}
    alone = sum(
        harmful[row["trial_id"]] and row["judge"] != "compliance" and row["second"] == "compliance"
        for row in kept["answers"]
    )
    assert alone == audit.parts[1].second_only > 0
    (entry,) = [entry for entry in case.ledger.entries() if entry.action == "judge-audited"]
    assert entry.subject["path"] == JUDGE_AUDIT


async def test_the_same_audit_again_adds_nothing(make_case: Callable[..., Case], tmp_path: Path) -> None:
    case = await imported(make_case(), tmp_path)
    audit_judge(case, reader=Reader())
    entries = len(list(case.ledger.entries()))

    audit_judge(open_case(case.path), reader=Reader())

    assert len(list(open_case(case.path).ledger.entries())) == entries


async def test_sealed_answers_are_opened_under_the_log(make_case: Callable[..., Case], tmp_path: Path) -> None:
    case = await imported(make_case(), tmp_path, category="cyber")
    sealed = [trial for trial in case.trials.read() if trial.sealed is not None]
    assert sealed

    audit = audit_judge(case, reader=Reader())

    assert all(part.unread == 0 for part in audit.parts)
    assert "auditing the judge" in {entry.subject.get("purpose") for entry in case.ledger.entries()}
    assert SAFE_REFUSAL not in (case.path / JUDGE_AUDIT).read_text(encoding="utf-8")


async def test_sealed_answers_without_their_key_stay_unread(
    make_case: Callable[..., Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They widen every bound; they are neither agreement nor disagreement."""
    case = await imported(make_case(), tmp_path, category="cyber")
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "elsewhere.key"))

    audit = audit_judge(open_case(case.path), reader=Reader())

    assert {(part.unread, part.value) for part in audit.parts} == {(part.drawn, None) for part in audit.parts}
    assert (audit.total.value, audit.total.differ.low, audit.total.differ.high) == (None, 0.0, 1.0)


async def test_a_side_that_the_second_reader_is_not_good_enough_for_is_counted_and_left(
    make_case: Callable[..., Case], tmp_path: Path
) -> None:
    case = await imported(make_case(), tmp_path)

    audit = audit_judge(case, reader=Reader(events=frozenset({"unsafe"})))

    assert [(part.event, part.whole) for part in audit.parts] == [("unsafe", 45)]
    assert audit.not_audited == 45
    with pytest.raises(NothingToRead, match="no answer that a judge read and the second reader may read again"):
        audit_judge(case, reader=Reader(events=frozenset({"safe"})))


async def test_nothing_to_audit_is_said(make_case: Callable[..., Case]) -> None:
    with pytest.raises(NothingToRead, match="safecase measure"):
        audit_judge(make_case(), reader=Reader())
