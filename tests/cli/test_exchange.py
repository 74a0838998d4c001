"""`safecase import` and `safecase export`: what they print, and how they refuse."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.exchange import logs

from safecase.cli import main


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))


def call(*args: object):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def case(tmp_path: Path) -> Path:
    assert call("new", tmp_path / "case").exit_code == 0
    return tmp_path / "case"


def test_a_log_is_looked_at_taken_and_given_back(case: Path, tmp_path: Path):
    log = logs.write_eval(tmp_path / "l.eval", logs.inspect_sample(1), logs.inspect_sample(2, answer=None), zstd=True)

    looked = json.loads(call("import", case, log, "--arm", "bare", "--dry-run", "--json").stdout)
    taken = call("import", case, log, "--arm", "bare")
    back = json.loads(call("export", case, "--inspect", tmp_path / "out.eval", "--json").stdout)
    tables = call("export", case, "--to", tmp_path / "out", "--format", "json", "--what", "trials")

    assert (looked["added"], looked["dry_run"], looked["statuses"]) == (0, True, {"answered": 1, "unparsed": 1})
    assert taken.stdout.splitlines()[0] == "2 trials added to arm 'bare'"
    assert "scores by inspect/includes: 2, kept beside and read by no gate" in taken.stdout
    assert (back["samples"], back["sealed"], back["held_out"]) == (2, 0, 0)
    assert tables.exit_code == 0
    assert len(json.loads((tmp_path / "out" / "trials.json").read_text())) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("import", "{case}", "--arm", "bare"), "give one FILE to import"),
        (("import", "{case}", "{log}", "--transcripts", "x", "--arm", "bare"), "give one FILE to import"),
        (("import", "{case}", "{log}", "--arm", "best"), "--arm is 'best'"),
        (("import", "{case}", "{log}", "--arm", "bare", "--map", "x"), "--map is 'x'; write FIELD="),
        (("import", "{case}", "{log}", "--arm", "bare", "--source-model", "n"), "no answer is by 'n'"),
        (("import", "{case}", "{log}", "--arm", "bare", "--format", "garak"), "l.eval: not UTF-8"),
        (("export", "{case}"), "give one of --inspect FILE.eval and --to DIRECTORY"),
        (("export", "{case}", "--to", "x", "--what", "all"), "--what is 'all'; use one of trials,"),
        (("export", "{case}", "--inspect", "x.eval"), "holds no trial"),
        (("export", "{case}", "--inspect", "{case}/x.eval"), "where every file is evidence"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(case: Path, tmp_path: Path, words, message):
    log = logs.write_eval(tmp_path / "l.eval", logs.inspect_sample(1), zstd=True)

    result = call(*(word.format(case=case, log=log) for word in words))

    assert result.exit_code == 2
    assert message in result.stderr
