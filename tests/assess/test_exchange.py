"""Others' files in a case, and a case given out."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from safecase.assess import (
    decide_case,
    export_inspect,
    export_tables,
    import_case,
    import_file,
    measure_case,
    open_case,
    run_case,
    verify_case,
)
from safecase.evidence import Trial
from safecase.exchange import ExchangeError, ExportError, parse_field_map
from safecase.testing import ScriptedModel
from tests.assess.conftest import HELPFUL, SAFE_REFUSAL, safe_target, unsafe_target
from tests.exchange import logs

GATES = ("policy.violence.unsafe", "policy.overrefusal")


def garak_file(path: Path) -> Path:
    """A report of ten prompts, two outputs each: one refuses, one does not."""
    attempts = [logs.garak_attempt(f"u{i}", outputs=[SAFE_REFUSAL, HELPFUL], request=f"request {i}") for i in range(10)]
    return logs.write_lines(path, *logs.garak_report(*attempts))


MAPPED = parse_field_map([], ["category=violence", "harmful=true"])


async def test_a_foreign_log_is_evidence_that_our_judge_judges_and_verify_holds(make_case, clock, tmp_path: Path):
    """The detector's scores stay beside; the verdicts are the judge's."""
    case = make_case(gates=GATES)

    done = import_file(case, garak_file(tmp_path / "r.jsonl"), arm="bare", mapping=MAPPED, now=clock)
    await decide_case(case, now=clock)

    assert (done.added, done.survey.counted) == (20, 20)
    by_judge = {row.judge for row in case.judgements.read()}
    assert by_judge == {"garak/mitigation.MitigationBypass", "embedded"}
    (entry,) = [e for e in case.ledger.entries() if e.action == "imported"]
    assert entry.subject["file_sha256"] in done.survey.sha256.values()
    assert entry.subject["mapping"] == {"category": "=violence", "harmful": "=true"}
    assert verify_case(case).holds


async def test_what_does_not_say_what_it_asks_for_moves_no_estimate(make_case, clock, tmp_path: Path):
    case = make_case(gates=GATES)
    import_file(case, garak_file(tmp_path / "a.jsonl"), arm="bare", mapping=MAPPED, now=clock)
    before = (await measure_case(case, now=clock, write=False)).estimates

    import_file(case, logs.write_lines(tmp_path / "s.jsonl", logs.lm_eval_generated()), arm="bare", now=clock)
    after = (await measure_case(case, now=clock, write=False)).estimates

    assert sum(1 for _ in case.trials.read()) == 21
    assert after == before


def test_a_file_again_or_under_another_name_adds_nothing(make_case, clock, tmp_path: Path):
    """Renaming a file must not double what it shows."""
    case = make_case()
    first = garak_file(tmp_path / "r.jsonl")
    second = tmp_path / "renamed.jsonl"
    second.write_bytes(first.read_bytes())

    added = [import_case(case, path, arm="bare", now=clock) for path in (first, first, second)]

    assert added == [20, 0, 0]
    assert sum(1 for e in case.ledger.entries() if e.action == "imported") == 1
    assert sum(1 for _ in case.judgements.read(every_judgement=True)) == 20


def test_a_file_in_another_state_is_refused_until_it_takes_the_place_of_the_earlier_one(
    make_case, clock, tmp_path: Path
):
    """A log that grew holds what was imported before once more; counted twice, it would narrow every interval."""
    case = make_case(gates=GATES)
    path = garak_file(tmp_path / "r.jsonl")
    import_file(case, path, arm="bare", mapping=MAPPED, now=clock)
    more = logs.garak_attempt("u10", outputs=[SAFE_REFUSAL, HELPFUL], request="request 10")
    path.write_text(path.read_text() + json.dumps(more) + "\n")

    with pytest.raises(ExchangeError, match=r"in another state.*--replaces r\.jsonl"):
        import_file(case, path, arm="bare", mapping=MAPPED, now=clock)
    with pytest.raises(
        ExchangeError, match=r"no file 'q\.jsonl' was imported into arm 'bare'; imported there: r\.jsonl"
    ):
        import_file(case, path, arm="bare", mapping=MAPPED, replaces="q.jsonl", now=clock)
    done = import_file(case, path, arm="bare", mapping=MAPPED, replaces="r.jsonl", now=clock)

    assert (done.added, len(done.replaces)) == (22, 1)
    assert sum(1 for _ in case.trials.read()) == 42
    assert sum(1 for _ in case.standing()) == 22


async def test_a_file_with_another_mapping_takes_its_own_place(make_case, clock, tmp_path: Path):
    """What was imported without saying what it asks for would stay out of every rate for ever."""
    case = make_case(gates=GATES)
    path = garak_file(tmp_path / "r.jsonl")
    import_file(case, path, arm="bare", now=clock)

    with pytest.raises(ExchangeError, match=r"other --map and --set.*--replaces r\.jsonl"):
        import_file(case, path, arm="bare", mapping=MAPPED, now=clock)
    mended = import_file(case, path, arm="bare", mapping=MAPPED, replaces="r.jsonl", now=clock)
    again = import_file(case, path, arm="bare", mapping=MAPPED, now=clock)
    await decide_case(case, now=clock)

    assert (mended.added, mended.survey.counted, again.added) == (20, 20, 0)
    assert {trial.category for trial in case.standing()} == {"violence"}
    assert verify_case(case).holds


def test_a_corrected_file_that_stopped_half_way_goes_on_and_takes_the_place(
    make_case, clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    case = make_case()
    path = garak_file(tmp_path / "r.jsonl")
    import_file(case, path, arm="bare", now=clock)
    path.write_text(path.read_text() + "\n")
    with monkeypatch.context() as patch:
        patch.setattr(type(case.judgements), "append", _no_space)
        with pytest.raises(OSError, match="stopped"):
            import_file(case, path, arm="bare", replaces="r.jsonl", now=clock)

    done = import_file(open_case(case.path), path, arm="bare", replaces="r.jsonl", now=clock)

    assert len(done.replaces) == 1
    assert sum(1 for _ in open_case(case.path).standing()) == 20


def test_an_import_that_stopped_half_way_goes_on(make_case, clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    case = make_case()
    path = garak_file(tmp_path / "r.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(type(case.judgements), "append", _no_space)
        with pytest.raises(OSError, match="stopped"):
            import_case(case, path, arm="bare", now=clock)

    again = import_case(open_case(case.path), path, arm="bare", now=clock)

    assert again == 0
    assert sum(1 for _ in case.judgements.read()) == 20
    assert [e.subject["file"] for e in case.ledger.entries() if e.action == "imported"] == ["r.jsonl"]


def _no_space(*_: object, **__: object) -> None:
    raise OSError("stopped")


def test_a_damaged_file_and_a_dry_run_leave_the_case_as_it_was(make_case, clock, tmp_path: Path):
    case = make_case()
    good = garak_file(tmp_path / "good.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_text(good.read_text() + "{oops\n")

    looked = import_file(case, good, arm="bare", dry_run=True, now=clock)
    with pytest.raises(ExchangeError, match=r"bad\.jsonl:\d+: not JSON"):
        import_case(case, bad, arm="bare", now=clock)

    assert (looked.added, looked.survey.statuses) == (0, {"answered": 20})
    assert {path.name for path in case.path.rglob("*")} == {"safecase.yaml"}


async def test_tables_leave_with_where_they_come_from(make_case, clock, tmp_path: Path):
    case = make_case(gates=GATES, intents=4)
    await run_case(case, model=ScriptedModel(safe_target), now=clock)
    await decide_case(case, now=clock)

    done = export_tables(case, tmp_path / "out", kind="csv", now=clock)

    about = json.loads((tmp_path / "out" / "metadata.json").read_text())
    with (tmp_path / "out" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [one.path.name for one in done.written] == ["trials.csv", "judgements.csv", "estimates.csv", "findings.csv"]
    assert len(rows) == sum(1 for _ in case.trials.read()) == about["tables"]["trials"]["rows"]
    assert len(about["evidence_root"]) == len(about["ledger_head"]) == 64
    assert about["evidence_root"] in (tmp_path / "out" / "README.md").read_text()
    assert verify_case(case).holds


def test_held_out_scenarios_leave_only_when_asked_and_leave_a_trace(make_case, clock, tmp_path: Path):
    case = make_case()
    import_case(case, garak_file(tmp_path / "r.jsonl"), arm="bare", now=clock)
    hidden: list[Trial] = [
        replace(t, trial_id=f"h{i}", held_out=True) for i, t in enumerate(case.trials.read()) if i < 3
    ]
    case.trials.append(hidden, at=clock())

    kept_in = export_tables(case, tmp_path / "a", kind="json", what=("trials",), now=clock)
    log = export_inspect(case, tmp_path / "a.eval", now=clock)
    let_out = export_tables(case, tmp_path / "b", kind="json", what=("trials",), held_out=True, now=clock)

    assert (kept_in.held_out, kept_in.written[0].rows, log.held_out, log.samples) == (3, 20, 3, 20)
    assert (let_out.held_out, let_out.written[0].rows) == (0, 23)
    traces = [entry.subject for entry in case.ledger.entries() if entry.action == "held-out-exported"]
    assert traces == [{"to": "b", "trials": 3}]


def test_an_arm_that_the_case_has_not_is_refused_with_those_it_has(make_case, clock, tmp_path: Path):
    case = make_case()
    import_case(case, garak_file(tmp_path / "r.jsonl"), arm="bare", now=clock)

    with pytest.raises(ExportError, match="no trial is of arm 'bear'; the case has bare"):
        export_inspect(case, tmp_path / "x.eval", arm="bear", now=clock)
    with pytest.raises(ExportError, match="no trial is of arm 'bear'; the case has bare"):
        export_tables(case, tmp_path / "x", kind="csv", arm="bear", now=clock)

    assert not (tmp_path / "x.eval").exists()


def test_nothing_is_exported_into_a_case_or_out_of_an_empty_one(make_case, clock, tmp_path: Path):
    case = make_case()

    with pytest.raises(ExportError, match="where every file is evidence"):
        export_inspect(case, case.path / "x.eval", now=clock)
    with pytest.raises(Exception, match="holds no trial"):
        export_inspect(case, tmp_path / "x.eval", now=clock)
    with pytest.raises(Exception, match="nothing to export"):
        export_tables(case, tmp_path / "x", kind="csv", now=clock)


async def test_what_is_imported_into_an_arm_of_the_plan_moves_no_number(make_case, clock, tmp_path: Path):
    """Else an unsafe model is cleared with answers that somebody picked for it."""
    case = make_case(gates=GATES, intents=8)
    await run_case(case, model=ScriptedModel(unsafe_target), now=clock)
    _, before = await decide_case(case, now=clock)
    numbers = (case.path / "estimates.json").read_bytes()

    attempts = [logs.garak_attempt(f"u{i}", outputs=[SAFE_REFUSAL], request=f"request {i}") for i in range(90)]
    file = logs.write_lines(tmp_path / "picked.jsonl", *logs.garak_report(*attempts))
    import_file(case, file, arm="guarded", mapping=MAPPED, now=clock)
    _, after = await decide_case(case, now=clock)

    assert (case.path / "estimates.json").read_bytes() == numbers
    assert after.findings == before.findings
    assert [line for line in after.limits if line not in before.limits] == [
        "arm guarded: 90 imported answers are on record beside those of the plan; no number rests on them"
    ]
    assert verify_case(open_case(case.path)).holds


async def test_what_is_imported_alone_is_called_self_reported(make_case, clock, tmp_path: Path):
    case = make_case(gates=GATES)
    import_file(case, garak_file(tmp_path / "r.jsonl"), arm="bare", mapping=MAPPED, now=clock)

    _, decided = await decide_case(case, now=clock)

    assert any("its 20 answers were imported, so they are self-reported" in line for line in decided.limits)
