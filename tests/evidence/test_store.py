"""The stores: exact, append-only, and honest about every file that is not what it was."""

import errno
import math
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safecase.evidence import (
    VERDICTS,
    AlreadyStored,
    CorruptedSegment,
    DiskFull,
    Explanation,
    Judgement,
    JudgementStore,
    Ledger,
    Message,
    RulingRecord,
    Trial,
    TrialStore,
    UnsealedHazard,
    UnstorableRow,
    digest_file,
    keepable_explanations,
    keepable_turns,
)
from safecase.evidence._ledger import Chain

from .conftest import AT, make_judgement, make_trial

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.floats(allow_nan=False, allow_infinity=False)
count = st.integers(-(2**63), 2**63 - 1)
ruling = st.builds(
    RulingRecord,
    layer=text, stage=text, action=text, score=st.none() | number, principle=st.none() | text,
    latency_ms=number, error=st.none() | text, enforced=st.booleans(), rule=st.none() | text,
    relaxed_by=st.none() | text,
)  # fmt: skip
explanation = st.builds(Explanation, layer=text, principle=st.none() | text, reason=st.none() | text)
trial = st.builds(
    Trial,
    trial_id=text, scenario_id=text, intent_id=text, harmful=st.booleans(), domain=text, category=text,
    subcategory=text, severity=count, bears_on=st.lists(text, max_size=3).map(tuple), language=text, attack=text,
    family=text, arm=text, model=text, repetition=count, prompt=text,
    status=st.sampled_from(["answered", "error", "timeout", "unparsed"]),
    response=st.none() | text, sealed=st.none() | st.binary(max_size=9), response_digest=st.none() | text,
    withheld_by=st.none() | text, rulings=st.lists(ruling, max_size=3).map(tuple), finish_reason=st.none() | text,
    tokens_in=st.none() | count, tokens_out=st.none() | count, latency_s=st.none() | number, error=st.none() | text,
    label=st.none() | st.sampled_from(VERDICTS), held_out=st.booleans(),
    explanations=st.lists(explanation, max_size=2).map(tuple),
)  # fmt: skip
judgement = st.builds(
    Judgement,
    trial_id=text, judge=text, judge_digest=text, verdict=st.none() | st.sampled_from(VERDICTS),
    scores=st.dictionaries(text, number, max_size=3), reason=st.none() | text,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(trial, min_size=1, max_size=6, unique_by=lambda row: row.trial_id))
def test_a_trial_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, rows: list[Trial]) -> None:
    store = TrialStore(tmp_path_factory.mktemp("c"))
    store.append(rows, at=AT)

    assert list(store.read()) == rows
    assert store.check() == []


@settings(max_examples=40, deadline=None)
@given(st.lists(judgement, min_size=1, max_size=6, unique_by=lambda row: (row.trial_id, row.judge)))
def test_a_judgement_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, rows: list[Judgement]) -> None:
    store = JudgementStore(tmp_path_factory.mktemp("c"))
    store.append(rows, at=AT)

    assert list(store.read()) == rows


def test_the_columns_are_the_fields() -> None:
    """A field added to a value and forgotten here would be lost without a sound."""
    from safecase.evidence._arrow import JUDGEMENTS, TRIALS

    assert TRIALS.schema.names == [field.name for field in fields(Trial)]
    assert JUDGEMENTS.schema.names == [field.name for field in fields(Judgement)]


def test_segments_of_before_rules_and_explanations_are_read_checked_and_added_to(tmp_path: Path) -> None:
    """Evidence is never rewritten: what lies in a case keeps its columns, and reads with nothing in the new ones."""
    from safecase.evidence._arrow import TRIALS, open_segment

    (older,) = TRIALS.older
    ruling = RulingRecord(layer="l", stage="input", action="allow", score=0.1, principle=None, latency_ms=1.0)
    rows = [replace(make_trial(number), rulings=(ruling,)) for number in range(3)]
    new = replace(
        make_trial(9),
        rulings=(replace(ruling, action="withhold", rule="a b", relaxed_by="vetted", enforced=False),),
        explanations=(Explanation(layer="judge", principle="no-hate", reason="It demeans."),),
    )
    store = TrialStore(tmp_path)
    data = replace(TRIALS, schema=older).encode(rows)
    with store._segments.writing(at=AT, actor="t") as writer:  # as an older version wrote it
        writer.add(data, rows=3)
    store.append([new], at=AT)

    assert list(TrialStore(tmp_path).read()) == [*rows, new]
    assert TrialStore(tmp_path).check() == []
    assert list(store.read({"trial_id": new.trial_id})) == [new]
    with open_segment(tmp_path / store.segments()[0].path, TRIALS) as file:
        assert "explanations" not in file.schema_arrow.names


@pytest.mark.parametrize(("domain", "status"), [("cyber", "answered"), ("violence", "not-stored")])
def test_a_reason_about_an_answer_kept_apart_is_refused(tmp_path: Path, domain: str, status: str) -> None:
    told = (Explanation(layer="judge", principle="no-hate", reason="It does this."),)
    row = replace(make_trial(1), domain=domain, status=status, response=None, explanations=told)  # type: ignore[arg-type]

    with pytest.raises(UnsealedHazard, match="keepable_explanations"):
        TrialStore(tmp_path).append([row], at=AT)
    kept = keepable_explanations(told, domain=domain, status=status)  # type: ignore[arg-type]
    assert [(one.principle, one.reason) for one in kept] == [("no-hate", None)]
    TrialStore(tmp_path).append([replace(row, explanations=kept)], at=AT)


def test_the_same_rows_give_the_same_bytes_and_the_ledger_names_them(tmp_path: Path) -> None:
    rows = [make_trial(number) for number in range(20)]
    segments = [TrialStore(tmp_path / name).append(rows, at=AT) for name in ("a", "b")]

    assert segments[0].sha256 == segments[1].sha256 == digest_file(tmp_path / "a" / segments[0].path)
    assert segments[0].path == f"evidence/trials/000000-{segments[0].sha256[:12]}.parquet"
    entry = next(iter(Ledger(tmp_path / "a" / "ledger.jsonl").entries()))
    assert entry.action == "trials-written"
    assert entry.subject == {"path": segments[0].path, "sha256": segments[0].sha256, "rows": 20}


def test_trials_are_read_in_order_and_filtered(case: Path) -> None:
    store = TrialStore(case)
    store.append([make_trial(1), make_trial(2, arm="guarded")], at=AT)
    store.append([make_trial(3, status="error", response=None)], at=AT)

    assert [row.trial_id[-1] for row in store.read()] == ["1", "2", "3"]
    assert [row.trial_id[-1] for row in store.read({"arm": "guarded"})] == ["2"]
    assert [row.trial_id[-1] for row in store.read({"arm": {"bare"}, "status": ["answered"]})] == ["1"]
    assert len(store.ids()) == 3
    assert len(store.ids(answered=True)) == 2
    with pytest.raises(ValueError, match="no column 'arn'"):
        list(store.read({"arn": "bare"}))


def test_an_answer_is_never_replaced_and_a_failed_attempt_may_be(case: Path) -> None:
    store = TrialStore(case)
    failed = make_trial(1, status="timeout", response=None)
    store.append([failed, make_trial(2)], at=AT)
    store.append([make_trial(1)], at=AT)

    assert [row.status for row in store.read()] == ["answered", "answered"]
    assert next(store.read(every_attempt=True)) == failed
    for again in (store, TrialStore(case)):
        with pytest.raises(AlreadyStored, match="nothing may replace"):
            again.append([make_trial(2, response="another")], at=AT)
    with pytest.raises(AlreadyStored, match="twice"):
        store.append([make_trial(7), make_trial(7)], at=AT)
    assert len(store.segments()) == 2


def test_the_last_judgement_by_a_judge_stands(case: Path) -> None:
    store = JudgementStore(case)
    store.append([make_judgement(1), make_judgement(1, judge="human"), make_judgement(2)], at=AT)
    store.append([make_judgement(1, verdict="compliance")], at=AT)
    store.append([make_judgement(2, verdict=None, reason="?"), make_judgement(2, verdict="incoherent")], at=AT)

    standing = {(row.trial_id[-1], row.judge): row.verdict for row in store.read()}
    assert standing == {
        ("1", "human"): "refusal",
        ("1", "embedded"): "compliance",
        ("2", "embedded"): "incoherent",
    }
    assert len(list(store.read())) == 3
    assert len(list(store.read(every_judgement=True))) == 6
    assert store.ids(judge="human") == {make_judgement(1).trial_id}
    assert len(store.ids()) == 2
    assert [row.verdict for row in store.read({"verdict": "refusal"})] == ["refusal"]


@pytest.mark.parametrize(
    "bad",
    [
        {"latency_s": math.nan},  # absence is None
        {"latency_s": math.inf},
        {"response": "\ud800"},  # half a surrogate pair is no text
        {"severity": 2**63},
        {"prompt": None},
        {"severity": "2"},
        {"bears_on": (None,)},
        {"rulings": (RulingRecord(layer="l", stage="s", action="a", score=math.nan, principle=None, latency_ms=1),)},
        {"rulings": (RulingRecord(layer=None, stage="s", action="a", score=None, principle=None, latency_ms=1),)},  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_kept_exactly_is_refused_by_name(case: Path, bad: dict[str, object]) -> None:
    store = TrialStore(case)

    with pytest.raises(UnstorableRow) as caught:
        store.append([make_trial(1), make_trial(2, **bad)], at=AT)
    assert make_trial(2).trial_id in str(caught.value)
    assert next(iter(bad)) in str(caught.value)
    assert store.ids() == set()
    assert not (case / "ledger.jsonl").exists()


def test_a_score_that_is_not_a_number_is_refused(case: Path) -> None:
    with pytest.raises(UnstorableRow, match="scores"):
        JudgementStore(case).append([make_judgement(1, scores={"refusal": math.nan})], at=AT)


ASKED, SAID = Message(role="user", content="how?"), Message(role="assistant", content="so.")
SEALED: dict[str, object] = {"domain": "cyber", "response": None, "sealed": b"x"}


@pytest.mark.parametrize(
    ("changed", "is_kept"),
    [
        ({"domain": "cyber"}, False),
        ({"domain": "chem-bio"}, False),
        ({"domain": "cyber", "response": None, "sealed": b"x"}, True),
        ({"domain": "cyber", "withheld_by": "output"}, True),  # the response is then our own safe completion
        ({"status": "not-stored"}, False),
        ({"status": "not-stored", "response": None, "sealed": b"x"}, False),
        ({"status": "not-stored", "response": None, "response_digest": "0" * 64}, True),
        ({**SEALED, "turns": (ASKED, SAID)}, False),  # an earlier answer in plain text
        ({**SEALED, "turns": (ASKED, replace(SAID, role="tool"))}, False),  # what a tool gave back is one too
        ({**SEALED, "turns": (ASKED, replace(SAID, content=f"[answer not kept here, sha256 {'0' * 64}] x"))}, False),
        ({**SEALED, "turns": keepable_turns((ASKED, SAID), domain="cyber")}, True),
        ({**SEALED, "turns": (ASKED,)}, True),
        ({"turns": (ASKED, SAID)}, True),  # in other domains a conversation is kept whole
    ],
)
def test_hazardous_answers_are_never_kept_plain(case: Path, changed: dict[str, object], is_kept: bool) -> None:
    store = TrialStore(case)
    if is_kept:
        store.append([make_trial(1, **changed)], at=AT)
        assert len(store.ids()) == 1
        return

    with pytest.raises(UnsealedHazard):
        store.append([make_trial(1, **changed)], at=AT)
    assert not (case / "evidence").exists()


def test_nothing_to_append_is_an_error(case: Path) -> None:
    with pytest.raises(ValueError, match="nothing to append"):
        TrialStore(case).append([], at=AT)


# --- files that are not what they were ---------------------------------------------------------------------------


@pytest.fixture
def three(case: Path) -> TrialStore:
    store = TrialStore(case)
    for start in (0, 10, 20):
        store.append([make_trial(start + number) for number in range(10)], at=AT)
    return store


def test_a_changed_segment_is_named_and_gives_no_row(three: TrialStore, case: Path) -> None:
    victim = case / three.segments()[1].path
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)

    assert [problem.file for problem in TrialStore(case).check()] == [victim]
    rows = TrialStore(case).read()
    with pytest.raises(CorruptedSegment, match=victim.name):
        [next(rows) for _ in range(11)]


def test_a_missing_segment_is_named(three: TrialStore, case: Path) -> None:
    victim = case / three.segments()[0].path
    victim.unlink()

    assert [str(problem.file) for problem in three.check()] == [str(victim)]
    assert "missing" in three.check()[0].what
    with pytest.raises(CorruptedSegment, match=victim.name):
        three.ids()


def test_two_segments_exchanged_are_both_named(three: TrialStore, case: Path) -> None:
    one, two = (case / segment.path for segment in three.segments()[:2])
    data = one.read_bytes(), two.read_bytes()
    one.write_bytes(data[1])
    two.write_bytes(data[0])

    assert [problem.file for problem in three.check()] == [one, two]


@pytest.mark.parametrize("name", ["notes.txt", "000009-0123456789ab.parquet", "000003-0123456789ab.parquet"])
def test_a_foreign_file_is_named_never_read_and_never_adopted(three: TrialStore, case: Path, name: str) -> None:
    foreign = case / "evidence" / "trials" / name
    foreign.write_bytes((case / three.segments()[0].path).read_bytes())

    assert [problem.file for problem in three.check()] == [foreign]
    assert len(list(three.read())) == 30
    store = TrialStore(case).open(at=AT)
    assert len(store.segments()) == 3


def test_a_file_of_other_columns_is_not_adopted(three: TrialStore, case: Path) -> None:
    segment = JudgementStore(case).append([make_judgement(1)], at=AT)
    planted = case / "evidence" / "trials" / f"000003-{segment.sha256[:12]}.parquet"
    planted.write_bytes((case / segment.path).read_bytes())

    assert len(TrialStore(case).open(at=AT).segments()) == 3
    assert [problem.file for problem in three.check()] == [planted]


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from safecase.evidence import TrialStore, _ledger, _segments
sys.path.insert(0, {tests!r})
from tests_evidence_rows import AT, make_trial

def die(*args, **named):
    os.kill(os.getpid(), signal.SIGKILL)

if {where!r} == "before-rename":
    Path.hardlink_to = die
else:
    _ledger.Chain.append = die
TrialStore(Path({case!r})).append([make_trial(100), make_trial(101)], at=AT)
"""


def _kill_while_appending(case: Path, where: str, tmp_path: Path) -> None:
    helper = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")
    (tmp_path / "tests_evidence_rows.py").write_text(helper, encoding="utf-8")
    code = KILLED.format(tests=str(tmp_path), where=where, case=str(case))
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_killed_between_rename_and_ledger_the_segment_is_adopted(three: TrialStore, case: Path, tmp_path: Path) -> None:
    _kill_while_appending(case, "before-ledger", tmp_path)
    assert "the next run that writes to this case adopts it" in str(TrialStore(case).check()[0])
    assert make_trial(100).trial_id in TrialStore(case).ids()  # so nothing runs twice
    assert len(list(TrialStore(case).read())) == 30  # reading alone writes nothing

    store = TrialStore(case).open(at=AT, actor="ada")

    assert len(list(store.read())) == 32
    assert store.check() == []
    last = list(Ledger(case / "ledger.jsonl").entries())[-1]
    assert (last.action, last.actor, last.subject["rows"]) == ("adopted", "ada", 2)


def test_an_append_adopts_too_and_does_not_keep_a_trial_twice(three: TrialStore, case: Path, tmp_path: Path) -> None:
    _kill_while_appending(case, "before-ledger", tmp_path)

    with pytest.raises(AlreadyStored):
        three.append([make_trial(100)], at=AT)
    three.append([make_trial(102)], at=AT)

    assert len(list(three.read())) == 33
    assert three.check() == []


def test_killed_before_the_rename_nothing_is_there_and_the_rest_is_cleared(
    three: TrialStore, case: Path, tmp_path: Path
) -> None:
    _kill_while_appending(case, "before-rename", tmp_path)
    assert list((case / "evidence" / "trials").glob(".*.tmp"))
    assert TrialStore(case).check() == []

    store = TrialStore(case).open(at=AT)

    assert not list((case / "evidence" / "trials").glob(".*"))
    assert len(list(store.read())) == 30


@pytest.mark.parametrize("at_call", [1, 2, 3])
def test_a_full_disk_keeps_nothing_of_the_batch(
    three: TrialStore, case: Path, monkeypatch: pytest.MonkeyPatch, at_call: int
) -> None:
    """Whichever step finds the disk full: writing the segment, its folder, or the ledger line."""
    before = sorted((path, path.read_bytes()) for path in case.rglob("*") if path.is_file())
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == at_call:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="free some space"):
        three.append([make_trial(50)], at=AT)
    monkeypatch.undo()

    assert sorted((path, path.read_bytes()) for path in case.rglob("*") if path.is_file()) == before
    three.append([make_trial(50)], at=AT)
    assert len(list(three.read())) == 31
    assert three.check() == []


@pytest.mark.parametrize("when", ["before the line", "after the line"])
def test_ctrl_c_while_listing_loses_no_trial_and_leaves_no_hole(
    three: TrialStore, case: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Whether the ledger has the line or not, the segment stays; deleting it could leave a listed one missing."""
    append = Chain.append

    def interrupted(chain: Chain, *args: Any, **named: Any) -> None:
        if when == "after the line":
            append(chain, *args, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(Chain, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        three.append([make_trial(50)], at=AT)
    monkeypatch.undo()

    for store in (three, TrialStore(case)):
        assert make_trial(50).trial_id in store.ids()
        store.open(at=AT)
        assert len(list(store.read())) == 31
        assert store.check() == []
        with pytest.raises(AlreadyStored):
            store.append([make_trial(50)], at=AT)


def test_a_bad_time_or_actor_is_refused_before_anything_is_written(case: Path) -> None:
    store = TrialStore(case)
    with pytest.raises(ValueError, match="time zone"):
        store.append([make_trial(1)], at=AT.replace(tzinfo=None))
    with pytest.raises(ValueError, match="actor"):
        store.append([make_trial(1)], at=AT, actor="")

    assert list(case.iterdir()) == []


def test_two_stores_on_one_case_see_each_other(case: Path) -> None:
    one, two = TrialStore(case), TrialStore(case)
    one.append([make_trial(1)], at=AT)
    two.append([make_trial(2)], at=AT)
    one.append([make_trial(3)], at=AT)

    assert len(list(one.read())) == len(list(two.read())) == 3
    with pytest.raises(AlreadyStored):
        one.append([make_trial(2)], at=AT)


def test_reading_and_checking_write_nothing(three: TrialStore, case: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in case.rglob("*"))
    fresh = TrialStore(case)
    fresh.check(), fresh.ids(), list(fresh.read())

    assert sorted((path, path.stat().st_mtime_ns) for path in case.rglob("*")) == before
    assert not (case / "elsewhere").exists()
    assert TrialStore(case / "elsewhere").ids() == set()
    assert list(JudgementStore(case / "elsewhere").read()) == []
    assert not (case / "elsewhere").exists()


def test_memory_while_reading_does_not_grow_with_the_number_of_trials(tmp_path: Path) -> None:
    peaks = []
    for name, segments in (("few", 4), ("many", 16)):
        store = TrialStore(tmp_path / name)
        for segment in range(segments):
            store.append([make_trial(segment * 1000 + n, response="x" * 500) for n in range(1000)], at=AT)
        tracemalloc.start()
        assert sum(1 for _ in store.read()) == segments * 1000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.5 * peaks[0]


def test_rows_differing_in_one_field_are_different_rows() -> None:
    assert replace(make_trial(1), label="refusal") != make_trial(1)
