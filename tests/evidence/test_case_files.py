"""Whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from safecase.evidence import DiskFull, write_atomic, write_json_atomic


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_keeps_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    path = tmp_path / "plan.json"
    write_atomic(path, b"old")

    def full(*args: object) -> int:
        raise OSError(code, "full")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(DiskFull, match=r"plan\.json"):
        write_atomic(path, b"new")
    monkeypatch.undo()

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))

    write_atomic(tmp_path / "a", b"0123456789")

    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_other_faults_keep_their_name_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)

    with pytest.raises(OSError, match="irectory"):
        write_atomic(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_json_is_canonical_and_replaces(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "a.json", {"b": 1, "a": 2})
    write_json_atomic(tmp_path / "a.json", {"b": 1, "a": 3})

    assert (tmp_path / "a.json").read_bytes() == b'{"a":3,"b":1}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(tmp_path / "a.json", float("nan"))
    assert (tmp_path / "a.json").read_bytes() == b'{"a":3,"b":1}\n'


def test_a_file_that_must_be_new_is_not_replaced(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"1", replace=False)

    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "a", b"2", replace=False)
    assert (tmp_path / "a").read_bytes() == b"1"
    assert len(list(tmp_path.iterdir())) == 1
