"""The store of suite attempts: one answer for ever, sealed where hazardous, nothing unlisted."""

import datetime as dt

import pytest

from safecase.evidence import (
    AlreadyStored,
    AttemptStore,
    Ledger,
    Message,
    PlannedAttempt,
    Transcript,
    UnsealedHazard,
    Vault,
    transcript_digest,
    transcript_text,
)

AT = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
TURNS = (Message(role="user", content="q"), Message(role="assistant", content="a"))


def planned(number: int = 0) -> PlannedAttempt:
    return PlannedAttempt(
        attempt_id=f"{number:024d}",
        suite="s",
        suite_digest="d",
        task=f"t{number}",
        category="c",
        arm="bare",
        model="m",
        number=0,
        human_minutes=5.0,
        human_time="estimated",
    )


def plain(number: int = 0) -> Transcript:
    return Transcript(attempt_id=f"{number:024d}", sha256=transcript_digest(TURNS), turns=TURNS)


@pytest.fixture
def store(tmp_path) -> AttemptStore:
    return AttemptStore(tmp_path)


def test_what_is_written_is_read_back_whole(store):
    row = planned().came_to("answered", score=0.5, measures={"unseen": 1.0}, flags=("empty",), tokens_out=7)
    store.append([row], [plain()], domain="none", at=AT)
    assert list(store.read()) == [row]
    assert list(store.transcripts()) == [plain()]
    assert not store.check()


def test_an_answer_is_final_and_a_failure_may_be_made_again(store):
    store.append([planned().came_to("error", error="down")], domain="none", at=AT)
    store.append([planned().came_to("answered", score=1.0)], domain="none", at=AT)
    assert [row.status for row in store.read()] == ["answered"]
    assert len(list(store.read(every_attempt=True))) == 2
    with pytest.raises(AlreadyStored, match="nothing may replace"):
        store.append([planned().came_to("answered", score=0.0)], domain="none", at=AT)


def test_another_writers_answer_is_final_too(store, tmp_path):
    store.append([planned(1).came_to("answered", score=1.0)], domain="none", at=AT)
    AttemptStore(tmp_path).append([planned(2).came_to("answered", score=1.0)], domain="none", at=AT)
    with pytest.raises(AlreadyStored):
        store.append([planned(2).came_to("answered", score=0.0)], domain="none", at=AT)


def test_an_attempt_comes_once_in_a_batch(store):
    row = planned().came_to("answered", score=1.0)
    with pytest.raises(AlreadyStored, match="comes twice"):
        store.append([row, row], domain="none", at=AT)


def test_a_hazardous_transcript_must_be_sealed_and_opens_with_a_trace(store, tmp_path_factory, tmp_path):
    row = planned().came_to("answered", score=1.0)
    with pytest.raises(UnsealedHazard, match="in plain text"):
        store.append([row], [plain()], domain="cyber", at=AT)
    assert not list(store.read())

    key = tmp_path_factory.mktemp("keys") / "hazard.key"
    vault = Vault.open("case", key, case_dir=tmp_path, create=True)
    sealed = Transcript(
        attempt_id=row.attempt_id,
        sha256=transcript_digest(TURNS),
        sealed=vault.seal(transcript_text(TURNS), row.attempt_id),
    )
    store.append([row], [sealed], domain="cyber", at=AT)
    opened = store.unseal(list(store.transcripts()), vault, actor="ada", purpose="review", at=AT)

    assert opened == {row.attempt_id: transcript_text(TURNS)}
    assert [entry.action for entry in Ledger(tmp_path / "ledger.jsonl").entries()][-1] == "sealed-read"
    assert len(store.sealed_segments()) == 1


def test_a_sealed_transcript_is_read_for_a_purpose(store):
    with pytest.raises(ValueError, match="purpose"):
        store.unseal([], None, actor="ada", purpose=" ", at=AT)


def test_a_changed_segment_is_named(store, tmp_path):
    store.append([planned().came_to("answered", score=1.0)], domain="none", at=AT)
    (segment,) = store.segments()
    (tmp_path / segment.path).write_bytes(b"PAR1")
    assert [problem.file for problem in store.check()] == [tmp_path / segment.path]
