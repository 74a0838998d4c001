"""Documentation runs, and says nothing that the project does not have."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```pycon\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner()
    report: list[str] = []

    runner.run(test, out=report.append)

    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_are_there(page: Path):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    named = re.findall(r"`((?:src|docs|tests|scripts|examples|benchmarks|requirements)/[\w./-]+\.\w+)(?:::\w+)?`", text)

    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_examples_run_in_order():
    env = {**os.environ, "SAFECASE_HOME": str(ROOT / "examples" / "out" / "home"), "SAFECASE_NO_NETWORK": "1"}
    assert len(EXAMPLES) >= 6
    for example in EXAMPLES:
        done = subprocess.run(
            [sys.executable, str(example)], capture_output=True, text=True, env=env, cwd=ROOT, timeout=300, check=False
        )
        assert done.returncode == 0, f"{example.name}: {done.stderr[-800:]}"
        assert done.stdout.strip()


def test_the_repository_names_no_registry_and_no_path_of_a_machine():
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split()
    assert len(tracked) > 50
    words = ("pypi" + ".org", "python" + "hosted", "file:" + "//", "/root" + "/", "/work" + "/")
    found = [
        (name, word)
        for name in tracked
        if (ROOT / name).is_file()
        and (ROOT / name).suffix in {".py", ".md", ".toml", ".yaml", ".lock", ".sh", ".json", ""}
        for word in words
        if word in (ROOT / name).read_text(encoding="utf-8", errors="ignore")
    ]
    assert found == []


def test_every_room_stands_in_the_table_of_rooms():
    rooms = {path.parent.name for path in (ROOT / "src" / "safecase").glob("*/__init__.py")}
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert {"serve", "evidence"} <= rooms  # it found them
    assert [room for room in sorted(rooms) if f"| `{room}` |" not in page] == []
