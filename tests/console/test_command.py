"""`safecase console`: what it prints, what it refuses, and pages as files."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from click.testing import CliRunner

from safecase.cli import main
from tests.serve.permitted import Permitted


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["console", *map(str, words)])
    return done.exit_code, done.output


def test_it_serves_until_told_to_stop_and_says_what(made: Permitted):
    command = [sys.executable, "-m", "safecase", "console", str(made.path), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as served:
        assert served.stdout is not None
        said = json.loads(served.stdout.readline())
        with urllib.request.urlopen(f"{said['url']}case/case") as answer:
            page = answer.read().decode()
        served.send_signal(signal.SIGTERM)
        assert served.wait(timeout=20) == 0

    assert said["cases"] == {"case": str(made.path)}
    assert "approve" in page


def test_pages_are_written_as_files_without_forms_and_never_into_a_case(made: Permitted, tmp_path: Path):
    code, out = run(made.path, "--write", tmp_path / "pages", "--json")
    names = {Path(path).name for path in json.loads(out)["files"]}

    assert code == 0
    assert names == {"case.html", "case-argument-internal.html", "case-argument-limited.html", "console.css"}
    for path in (tmp_path / "pages").glob("*.html"):
        assert "<form" not in path.read_text()
        assert 'href="/' not in path.read_text()
    code, out = run(made.path, "--write", made.path / "pages")
    assert code == 2
    assert "give another folder" in out


def test_what_is_missing_is_told_with_the_way_to_mend_it(made: Permitted, tmp_path: Path):
    for words, said in (
        ([tmp_path / "none"], "none"),
        ([made.path, "--sheets", tmp_path / "none"], "is no folder"),
        ([made.path, "--monitor", tmp_path / "none"], "is no file"),
        (["keys", "--person", "ana"], "goes with --out"),
        (["revoke", "ana"], "no valid key"),
    ):
        code, out = run(*words)
        assert code == 2, out
        assert said in out


def test_keys_are_made_listed_and_revoked(made: Permitted, tmp_path: Path):
    code, out = run("keys", "--person", "ana", "--role", "overseer", "--out", tmp_path / "ana.key")
    assert code == 0
    assert (tmp_path / "ana.key").read_text().strip() not in out
    assert "ana: overseer" in run("keys")[1]
    assert "hash" not in run("keys", "--json")[1]
    assert run("revoke", "ana")[0] == 0
    assert "ana: overseer, revoked" in run("keys")[1]


def test_sheets_inside_a_case_are_refused(made: Permitted):
    (made.path / "sheets").mkdir()

    code, out = run(made.path, "--sheets", made.path / "sheets", "--port", "0")

    assert code == 2
    assert "sheets lie elsewhere" in out
