"""Commands: quick, documented, one clear line on bad input, the exit codes of the design."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from safecase.cli import main

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))
    monkeypatch.setenv("SAFECASE_NO_NETWORK", "1")


def call(*args: object):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def last_json(result):
    return json.loads(result.stdout.strip().splitlines()[-1])


def commands(group: click.Group = main, path: str = "safecase", *, with_plain: bool = False):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if name != "CASE":
            yield f"{path} {name}", command
        elif with_plain:
            yield path, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}", with_plain=with_plain)


@pytest.fixture
def case(tmp_path):
    """A case of one gate with human-labelled transcripts of both arms, as a team with another tool would have."""
    directory = tmp_path / "case"
    assert call("new", directory).exit_code == 0
    for arm, label in (("bare", "compliance"), ("guarded", "refusal")):
        rows = [
            {
                "scenario_id": f"s{i}",
                "intent_id": f"i{i}",
                "category": "violence",
                "harmful": True,
                "text": "a request",
                "response": "an answer",
                "label": label,
            }
            for i in range(70)
        ]
        file = tmp_path / f"{arm}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = call("import", directory, "--transcripts", file, "--arm", arm, "--json")
        assert last_json(result) == {"added": 70, "arm": arm}
    return directory


def test_help_is_quick_and_loads_no_room():
    code = (
        "import sys, time; t = time.perf_counter(); import safecase.cli; from click.testing import CliRunner; "
        "r = CliRunner().invoke(safecase.cli.main, ['--help']); assert r.exit_code == 0; "
        "heavy = {'numpy', 'pyarrow', 'pydantic', 'scipy', 'aiohttp', 'cryptography'} & set(sys.modules); "
        "assert not heavy, heavy; print(time.perf_counter() - t)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert float(done.stdout) < 0.5


def test_every_command_is_in_the_docs_and_has_json_and_help():
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    found = list(commands())
    assert len(found) > 15

    missing = [path for path, _ in found if f"`{path}`" not in text and "exercise " not in path]
    no_json = [
        path
        for path, command in found
        if not isinstance(command, click.Group) and not any("--json" in p.opts for p in command.params)
    ]
    assert missing == []
    assert no_json == []
    assert all(command.help for _, command in found)


def test_every_help_shows_an_example_that_names_its_command_and_options_it_has():
    found = [(path, command) for path, command in commands(with_plain=True)]
    assert len(found) > 40

    for path, command in found:
        _, _, example = (command.help or "").partition("Example:")
        lines = [line.strip() for line in example.splitlines() if line.strip()]
        assert any(line.startswith(path) for line in lines), f"{path} --help has no example"
        if isinstance(command, click.Group):
            continue
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", example)) <= known, f"{path} --help shows an option it does not have"


def test_a_limit_in_money_without_prices_names_the_file_and_the_cure(case):
    result = call("run", case, "--usd", 1)

    assert result.exit_code == 2
    assert "prices: {input: 0.50, output: 1.50}" in result.stderr
    assert str(case / "safecase.yaml") in result.stderr

    spec = case / "safecase.yaml"
    spec.write_text(spec.read_text() + "budget: {cost_usd: 1}\n")
    said = call("run", case)

    assert said.exit_code == 2
    assert "safecase.yaml:" in said.stderr
    assert "prices" in said.stderr


def test_report_prints_where_the_files_are(case):
    assert call("measure", case).exit_code == 0
    assert call("decide", case).exit_code == 3

    result = call("report", case, "--json")

    assert result.exit_code == 0, result.stderr
    paths = [Path(path) for path in last_json(result)["paths"]]
    assert case / "report" / "report.html" in paths
    assert all(path.is_file() for path in paths)


def test_declare_shows_the_risk_map_and_the_difference_of_packs(case):
    shown = call("declare", case, "--json")
    diff = call("declare", "diff", "frontier-v1.1", "scaling-v2", "--json")

    assert last_json(shown)["framework"] == "scaling-v2"
    assert diff.exit_code == 0
    assert "loss-of-control" in diff.stdout
    assert json.loads(call("declare", "schema", "framework").stdout)["title"] == "Framework"


def test_an_exercise_is_written_checked_and_applied(tmp_path):
    file = tmp_path / "exercise.yaml"
    assert call("declare", "exercise", "new", file).exit_code == 0
    assert call("declare", "exercise", "check", file).exit_code == 0
    assert call("declare", "exercise", "new", file).exit_code == 2

    applied = call("declare", "exercise", "apply", file, "--pack", "scaling-v2", "--out", tmp_path / "pack.yaml")

    assert applied.exit_code == 0, applied.stderr
    assert call("declare", tmp_path / "pack.yaml").exit_code == 0


def test_a_case_may_be_called_like_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("case", "diff", "CASE"):
        assert call("new", name).exit_code == 0
        assert last_json(call("declare", name, "--json"))["framework"] == "scaling-v2"


def test_compose_counts_samples_and_lists(case):
    counts = last_json(call("compose", case, "--all", "--json"))
    sample = last_json(call("compose", case, "--sample", 3, "--json"))

    assert counts["scenarios"] > 15_000
    assert len(sample) == 3
    assert call("compose", case, "--attacks").stdout.count("\n") >= 20


def test_held_out_scenarios_are_counted_and_never_printed(tmp_path):
    directory = tmp_path / "case"
    call("new", directory)
    rows = [
        {"id": f"h{i}", "domain": "content-policy", "category": "violence", "text": f"HELD-OUT-WORDS {i}"}
        for i in range(3)
    ]
    (directory / "bank.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = directory / "safecase.yaml"
    spec.write_text(spec.read_text() + "banks: [{path: bank.jsonl, held_out: true}]\n")

    counted = call("compose", directory)
    sampled = call("compose", directory, "--sample", 10, "--json")

    assert counted.exit_code == 0
    assert "3 intents" in counted.stdout
    assert "HELD-OUT-WORDS" not in counted.stdout + sampled.stdout
    assert last_json(sampled) == []


def test_measure_gives_the_names_others_rely_on(case):
    rows = last_json(call("measure", case, "--json"))

    names = {"measure", "arm", "group", "value", "low", "high", "level", "n", "clusters", "judge"}
    assert all(names <= row.keys() for row in rows)
    by_arm = {
        row["arm"]: row for row in rows if row["estimate_id"].startswith("unsafe_rate/") and row["group"] == "all"
    }
    assert by_arm["bare"]["value"] == 1.0
    assert by_arm["guarded"]["value"] == 0.0
    assert by_arm["guarded-bare"]["value"] == -1.0
    assert by_arm["guarded"]["high"] > 0
    assert by_arm["guarded"]["judge"] == "human"


def test_decide_gives_the_names_others_rely_on_and_exit_3_without_support(case):
    result = call("decide", case, "--json")
    value = last_json(result)

    assert result.exit_code == 3
    assert {"findings", "proposal"} <= value.keys()
    assert all({"gate", "verdict", "reason", "evidence"} <= finding.keys() for finding in value["findings"])
    violence = {f["context"]: f["verdict"] for f in value["findings"] if f["gate"] == "policy.violence.unsafe"}
    assert violence == {"limited": "pass", "controlled": "pass", "closed": "pass", "open": "fail"}
    assert call("decide", case, "--assume-frontier").exit_code == 3


def test_another_framework_decides_the_same_evidence_and_says_what_changes(case):
    before = sorted(path.name for path in case.iterdir())
    value = last_json(call("decide", case, "--framework", "frontier-v1.1", "--json"))

    assert value["framework"].startswith("frontier-v1.1")
    assert any("loss-of-control" in line for line in value["changes"])
    assert not (case / "decision.json").exists()
    assert set(before) <= {path.name for path in case.iterdir()}


def test_a_persons_labels_become_a_calibration(case, tmp_path):
    from safecase.assess import open_case

    ids = [trial.trial_id for trial in open_case(case).trials.read({"arm": "bare"})][:3]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps({"trial_id": i, "label": "compliance"}) + "\n" for i in ids))

    done = call("measure", "label", case, "--arm", "bare", "--labeller", "reviewer", "--labels", file, "--json")
    bad = call("measure", "label", case, "--arm", "guarded", "--labeller", "reviewer", "--labels", file)

    assert last_json(done)["labels"] == 3
    assert bad.exit_code == 2
    assert "labels.jsonl:1" in bad.stderr


def test_verify_ends_with_4_and_names_the_file(case):
    call("measure", case)
    assert call("verify", case).exit_code == 0

    path = case / "estimates.json"
    path.write_bytes(path.read_bytes().replace(b"1.0", b"0.9", 1))
    result = call("verify", case)

    assert result.exit_code == 4
    assert "estimates.json" in result.stdout


BAD = [
    (("run", "{case}", "--model", "openai/m@http://127.0.0.1:9/v1"), 1, "nothing answers at"),
    (("run", "{case}", "--model", "nonsense"), 2, "unknown model 'nonsense'"),
    (("run", "{case}", "--model", "openai/m"), 2, "write it as openai/"),
    (("run", "{case}", "--model", "llama-cpp/none.gguf"), 2, "no such file"),
    (("declare", "nowhere"), 2, "safecase new DIR"),
    (("declare", "diff", "a", "b"), 2, "unknown framework 'a'"),
    (("measure", "{empty}"), 2, "holds no trial"),
    (("verify", "{tmp}/nowhere"), 2, "nowhere:1: cannot be read"),
    (("new", "{case}"), 2, "exists"),
    (("import", "{case}", "--transcripts", "none.jsonl", "--arm", "bare"), 2, "is not a file"),
    (("import", "{case}", "--transcripts", "none.jsonl", "--arm", "best"), 2, "--arm is 'best'"),
    (("decide", "permit", "{empty}", "--context", "closed"), 3, "has no decision"),
    (("decide", "sign", "{empty}", "--key", "k.pem"), 2, "has no roster.json"),
]


@pytest.mark.parametrize(
    ("args", "code", "words"), BAD, ids=lambda value: " ".join(value) if isinstance(value, tuple) else None
)
def test_bad_input_gives_one_clear_line(case, tmp_path, args, code, words):
    call("new", tmp_path / "empty")
    given = [a.format(case=case, empty=tmp_path / "empty", tmp=tmp_path) for a in args]

    result = call(*given)

    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_wrong_case_file_names_line_and_cure(case):
    spec = case / "safecase.yaml"
    spec.write_text(spec.read_text().replace("internal, limited", "internal, unlimited"))

    result = call("declare", case)

    assert result.exit_code == 2
    assert re.search(r"safecase\.yaml:\d+: unknown context 'unlimited'.*did you mean 'limited'", result.stderr)


def test_an_empty_bank_is_named(case):
    (case / "bank.jsonl").write_text("")
    spec = case / "safecase.yaml"
    spec.write_text(spec.read_text() + "banks: [{path: bank.jsonl}]\n")

    result = call("compose", case)

    assert result.exit_code == 2
    assert "bank 'bank.jsonl' is empty" in result.stderr


def test_a_corrupted_segment_is_named(case):
    segment = next((case / "evidence" / "trials").glob("*.parquet"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))

    result = call("measure", case)

    assert result.exit_code == 1
    assert segment.name in result.stderr
    assert call("verify", case).exit_code == 4
