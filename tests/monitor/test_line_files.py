"""Logs that are rotated under their reader: every line counts once, and what is lost is said."""

import json
import os
import shutil

import pytest

from safecase.monitor import log_files


class Rotating:
    """A log, its reader, and what the reader has seen."""

    def __init__(self, folder, path):
        self.file, self._path, self._next = folder / "calls.jsonl", path, 0
        self.seen, self._source, self._position = [], None, None
        folder.mkdir()

    def write(self, count, *, text="?"):
        """Lines without an id, as long as each other; a file written later is younger."""
        with self.file.open("a") as opened:
            for number in range(self._next, self._next + count):
                asked = [{"role": "user", "content": f"{number:04}{text}"}]
                opened.write(json.dumps({"messages": asked, "at": "2026-04-07T12:00:00Z"}) + "\n")
        os.utime(self.file, (self._next + 1, self._next + 1))
        self._next += count

    async def read(self, *, again=False):
        if self._source is None or again:
            self._source = log_files(self._path)
            await self._source.open(self._position)
        while found := await self._source.read(7):
            self.seen += [int(one.prompt[:4]) for one in found]
        self._position = self._source.position()

    @property
    def missing(self):
        return self._source.missing()


@pytest.fixture(params=["file", "folder"])
def log(request, tmp_path):
    folder = tmp_path / "logs"
    return Rotating(folder, folder if request.param == "folder" else folder / "calls.jsonl")


def renamed(file):
    for number in (2, 1):
        if (old := file.with_name(f"{file.name}.{number}")).exists():
            old.rename(file.with_name(f"{file.name}.{number + 1}"))
    file.rename(file.with_name(f"{file.name}.1"))


def dated(file):
    file.rename(file.with_name(f"calls-2026040{len(list(file.parent.iterdir()))}.jsonl"))


def copied_and_cut(file):
    """`copytruncate`: the file stays the same inode."""
    for number in (2, 1):
        if (old := file.with_name(f"{file.name}.{number}")).exists():
            old.rename(file.with_name(f"{file.name}.{number + 1}"))
    shutil.copy2(file, file.with_name(f"{file.name}.1"))
    os.truncate(file, 0)


@pytest.mark.parametrize("rotate", [renamed, dated, copied_and_cut])
@pytest.mark.parametrize("again", [False, True], ids=["one reader", "started again"])
@pytest.mark.parametrize("after", [5, 30, 60], ids=["shorter", "as long", "longer"])
async def test_every_line_of_a_rotated_log_counts_once(log, rotate, again, after):
    log.write(20)
    await log.read()
    log.write(10)
    for count in (after, 7):
        rotate(log.file)
        log.write(count)
        await log.read(again=again)

    assert sorted(log.seen) == list(range(30 + after + 7))
    assert log.missing == 0


@pytest.mark.parametrize("rotate", [renamed, dated, copied_and_cut])
async def test_a_log_rotated_twice_between_two_looks_is_read_whole(log, rotate):
    log.write(20)
    await log.read()
    for _ in range(2):
        log.write(10)
        rotate(log.file)
    log.write(10)

    await log.read(again=True)

    assert sorted(log.seen) == list(range(50))


async def test_a_log_that_was_cut_without_a_copy_is_read_from_its_beginning_and_that_is_said(log, caplog):
    log.write(20)
    await log.read()
    log.file.unlink()
    log.write(30)

    for _ in range(2):
        await log.read()

    assert log.seen == list(range(50))
    assert caplog.text.count("was replaced, and no file beside it holds what was read of it") == 1


async def test_the_logs_of_others_beside_it_are_not_read(tmp_path):
    log = Rotating(tmp_path / "logs", tmp_path / "logs" / "calls.jsonl")
    log.write(20)
    await log.read()
    renamed(log.file)
    log.write(5)
    shutil.copy(log.file, log.file.with_name("calls-eu.jsonl"))
    shutil.copy(log.file, log.file.with_name("calls.jsonl.bak"))

    await log.read()

    assert log.seen == list(range(25))


async def test_a_position_of_an_older_safecase_is_taken_up(log):
    log.write(20)
    await log.read()
    kept = json.loads(log._position)
    log._position = json.dumps({"positions": kept["positions"]})
    log.write(5)

    await log.read(again=True)

    assert log.seen == list(range(25))
