"""Content that can be forgotten: keys of data subjects, deletion at any moment of a kill, looks that leave a trace."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safecase.evidence import Ledger, format_utc
from safecase.monitor import RESET, ContentBroken, ContentGone, ContentVault, ResetCommand

NOW = datetime(2026, 4, 7, 12, tzinfo=UTC)


class Days:
    """A clock that is set by hand."""

    def __init__(self, at=NOW):
        self.at = at

    def __call__(self):
        return self.at

    def pass_by(self, days):
        self.at += timedelta(days=days)


@pytest.fixture
def clock():
    return Days()


@pytest.fixture
def contents(tmp_path, clock):
    return ContentVault(tmp_path / "keys", keep_days=3, now=clock)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


def _seal(contents, text="words", account="acme", event_id="e1", at=NOW):
    return contents.seal(text, account=account, event_id=event_id, at=format_utc(at))


def _gone(contents, blob, account="acme", event_id="e1"):
    with pytest.raises(ContentGone):
        contents.open(blob, account=account, event_id=event_id)
    return True


@given(text=st.text(), account=st.text(min_size=1), event_id=st.text(min_size=1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_sealed_opens_for_its_account_and_event(contents, text, account, event_id):
    blob = _seal(contents, text, account, event_id)

    assert contents.open(blob, account=account, event_id=event_id) == text
    with pytest.raises(ContentBroken):
        contents.open(blob, account=account, event_id=event_id + "x")
    with pytest.raises(ContentGone):
        contents.open(blob, account=account + "x", event_id=event_id)


def test_changed_bytes_do_not_open(contents):
    blob = bytearray(_seal(contents))
    blob[-1] ^= 1

    with pytest.raises(ContentBroken):
        contents.open(bytes(blob), account="acme", event_id="e1")


def test_a_forgotten_account_is_unreadable_and_others_are_not(contents, ledger):
    mine, later, other = _seal(contents), _seal(contents, event_id="e2"), _seal(contents, account="zeta")

    done = contents.forget("acme", ledger=ledger, actor="ana")

    assert _gone(contents, mine)
    assert _gone(contents, later, event_id="e2")
    assert contents.open(other, account="zeta", event_id="e1") == "words"
    (entry,) = ledger.entries()
    assert (entry.action, entry.actor, entry.subject) == ("content-forgotten", "ana", {"key": done.key})
    assert ledger.check() == []


def test_no_key_of_a_forgotten_account_is_left_in_the_folder(contents, ledger):
    _seal(contents)

    contents.forget("acme", ledger=ledger, actor="ana")

    assert [path for path in contents.folder.rglob("*") if path.is_file()] == []


def test_forgetting_twice_says_it_once(contents, ledger):
    _seal(contents)
    contents.forget("acme", ledger=ledger, actor="ana")

    assert contents.forget("acme", ledger=ledger, actor="ana").key == ""
    assert len(list(ledger.entries())) == 1


def test_an_account_that_comes_back_gets_a_new_key(contents, ledger):
    before = _seal(contents)
    contents.forget("acme", ledger=ledger, actor="ana")

    after = _seal(contents)

    assert contents.open(after, account="acme", event_id="e1") == "words"
    assert _gone(contents, before)


@given(
    written=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    looked=st.integers(0, 15),
    is_swept=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_content_is_readable_for_its_days_and_no_longer(tmp_path_factory, written, looked, is_swept):
    """Swept or not: what is past its time does not open."""
    folder, clock = tmp_path_factory.mktemp("keys"), Days()
    contents, ledger = ContentVault(folder / "k", keep_days=3, now=clock), Ledger(folder / "ledger.jsonl")
    blobs = []
    for day in sorted(written):
        clock.at = NOW + timedelta(days=day)
        blobs.append((day, _seal(contents, at=clock.at)))
    clock.at = NOW + timedelta(days=max(looked, max(written)))
    if is_swept:
        contents.sweep(ledger=ledger, actor="cron")

    for day, blob in blobs:
        if (clock.at - NOW).days - day <= 3:
            assert contents.open(blob, account="acme", event_id="e1") == "words"
        else:
            assert _gone(contents, blob)


def test_a_sweep_removes_accounts_of_which_nothing_is_left(contents, ledger, clock):
    _seal(contents)
    clock.pass_by(2)
    kept = _seal(contents, account="zeta", at=clock.at)
    clock.pass_by(2)

    done = contents.sweep(ledger=ledger, actor="cron")

    assert (done.days, done.accounts) == (1, 1)
    assert contents.open(kept, account="zeta", event_id="e1") == "words"
    assert len(list(contents.folder.rglob("*.key"))) == 1
    assert contents.sweep(ledger=ledger, actor="cron").days == 0
    assert [entry.action for entry in ledger.entries()] == ["content-swept"]


def test_content_of_nobody_and_content_past_its_time_is_not_kept(contents):
    assert _seal(contents, account="") is None
    assert _seal(contents, at=NOW - timedelta(days=4)) is None


_KILLED = """
import itertools, os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from safecase.evidence import Ledger, format_utc
from safecase.monitor import ContentVault

NOW = datetime(2026, 4, 7, 12, tzinfo=UTC)

def counted(real, left):
    def call(*args, **more):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left.pop()
        return real(*args, **more)
    return call

for step in itertools.count():
    folder = Path(sys.argv[1]) / str(step)
    contents, ledger = ContentVault(folder / "keys", now=lambda: NOW), Ledger(folder / "ledger.jsonl")
    ledger.append("begun", actor="a test", subject={}, at=NOW)
    for day in range(2):
        at = format_utc(NOW - timedelta(days=day))
        (folder / f"{day}.blob").write_bytes(contents.seal("words", account="acme", event_id="e1", at=at))
    if (child := os.fork()) == 0:
        left = [None] * step
        for name in ("pwrite", "write", "fsync", "ftruncate"):
            setattr(os, name, counted(getattr(os, name), left))
        Path.unlink = counted(Path.unlink, left)
        contents.forget("acme", ledger=ledger, actor="ana")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


def test_a_kill_at_any_step_leaves_the_key_whole_or_destroyed(tmp_path):
    """Two days of content: both open, or neither does; and a deletion that is finished later is in the ledger once."""
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=True)
    outcomes = []
    for step in range(len(list(tmp_path.iterdir()))):
        folder = tmp_path / str(step)
        contents, ledger = ContentVault(folder / "keys", now=Days()), Ledger(folder / "ledger.jsonl")

        opened = [_opens(contents, (folder / f"{day}.blob").read_bytes()) for day in range(2)]

        assert opened in ([True, True], [False, False]), step
        outcomes.append(opened[0])
        ledger.recover(at=NOW)
        contents.finish(ledger=ledger, actor="ana")
        said = [entry.action for entry in ledger.entries()].count("content-forgotten")
        assert said == (0 if opened[0] else 1), step
        assert any(contents.folder.rglob("*.key")) is opened[0], step
        assert ledger.check() == []

    assert outcomes[0] is True, "the first kill comes before anything is written"
    assert outcomes == sorted(outcomes, reverse=True), "once destroyed, destroyed at every later step"
    assert outcomes.count(False) >= 3, "there were steps to be killed at after the write that counts"


def test_nothing_new_is_kept_while_a_deletion_is_unfinished(contents, ledger):
    blob = _seal(contents)
    (path,) = contents.folder.rglob("*.key")
    with path.open("r+b") as file:
        file.seek(16)
        file.write(bytes(path.stat().st_size - 16))  # as a kill after the one write leaves it

    assert _seal(contents, event_id="e2") is None
    assert _gone(contents, blob)
    assert contents.finish(ledger=ledger, actor="ana") == 1
    assert _seal(contents, event_id="e3") is not None


def test_the_chat_command_forgets_whoever_says_it(contents, ledger, tmp_path):
    mine, other = _seal(contents), _seal(contents, account="zeta")
    command = ResetCommand(contents=contents, ledger=tmp_path / "ledger.jsonl")

    assert command("acme", "/resetting my router") is None
    said = command("acme", f" {RESET}\n")

    (entry,) = ledger.entries()
    assert entry.subject["key"] in said
    assert "acme" not in json.dumps(dict(entry.subject))
    assert _gone(contents, mine)
    assert contents.open(other, account="zeta", event_id="e1") == "words"
    assert command("acme", RESET) == "Nothing that you wrote here is kept."


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_keys_are_for_their_owner_alone(contents):
    _seal(contents)

    (path,) = contents.folder.rglob("*.key")
    assert path.stat().st_mode & 0o077 == 0


def _opens(contents, blob):
    try:
        return contents.open(blob, account="acme", event_id="e1") == "words"
    except ContentGone:
        return False
