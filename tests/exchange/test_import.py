"""Other tools' logs become trials whole or not at all, and claim no more than they say."""

import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from safecase.evidence import TrialStore, Vault
from safecase.exchange import (
    ExchangeError,
    FieldMap,
    LogError,
    inspect_rows,
    open_source,
    parse_field_map,
    read_source,
    survey,
)
from tests.exchange import logs


def take(path: Path, *, mapping: FieldMap | None = None, vault: Vault | None = None, **options: Any):
    """What a file gives: what `survey` says of it, its trials, and its scores."""
    source = open_source(path, arm="bare", mapping=mapping, **options)
    seen = survey(source)
    pairs = list(read_source(source, vault=vault, version=seen.version))
    return seen, [trial for trial, _ in pairs], [score for _, scores in pairs for score in scores]


_LOG = b'{"version": 2, "status": "success", "eval": {}, "samples": '


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open("x", tmp_path / "k", case_dir=tmp_path / "case", create=True)


@pytest.mark.parametrize("form", ["zip", "zstd", "json"])
def test_an_inspect_log_gives_a_trial_a_sample_with_its_scores_beside(tmp_path: Path, form: str):
    samples = [logs.inspect_sample(1), logs.inspect_sample(1, epoch=2), logs.inspect_sample(2, answer=None)]
    path = tmp_path / ("log.json" if form == "json" else "log.eval")
    if form == "json":
        logs.write_json_log(path, *samples)
    else:
        logs.write_eval(path, *samples, zstd=form == "zstd")

    seen, trials, scores = take(path)

    assert (seen.format, seen.version, seen.models, seen.counted) == ("inspect", "0.3.285", ("openai/m",), 3)
    assert [t.status for t in trials] == ["answered", "answered", "unparsed"]
    assert [t.repetition for t in trials] == [0, 1, 0]
    first = trials[0]
    assert (first.intent_id, first.category, first.harmful, first.prompt) == ("i1", "violence", True, "request 1")
    assert (first.response, first.tokens_in, first.tokens_out, first.latency_s) == ("An answer.", 3, 5, 0.25)
    assert {s.judge for s in scores} == {"inspect/includes"}
    assert all(s.verdict is None and s.scores == {"value": 1.0} for s in scores)


def test_errors_and_limits_of_inspect_are_statuses_and_never_refusals(tmp_path: Path):
    failed = {"message": "APITimeoutError('Request timed out.')", "traceback": "", "traceback_ansi": ""}
    samples = [
        logs.inspect_sample(1, answer=None, error={"message": "RuntimeError('boom')"}),
        logs.inspect_sample(2, answer="half an ans", error=failed),
        logs.inspect_sample(3, answer=None, limit={"type": "time", "limit": 5}),
        logs.inspect_sample(4, answer=None, limit={"type": "message", "limit": 5}),
        logs.inspect_sample(5, answer="done by then", limit={"type": "token", "limit": 5}),
    ]

    _, trials, _ = take(logs.write_eval(tmp_path / "log.eval", *samples))

    assert [t.status for t in trials] == ["error", "timeout", "timeout", "error", "answered"]
    assert [t.response for t in trials] == [None, None, None, None, "done by then"]
    assert trials[4].finish_reason == "limit:token"


def test_a_conversation_keeps_its_turns_and_long_content_is_put_back(tmp_path: Path):
    talk = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "one"}]},
        {"role": "user", "content": "attachment://abc"},
        {"role": "assistant", "content": "two"},
    ]
    sample = logs.inspect_sample(1, answer="two", messages=talk, input=talk[:2], attachments={"abc": "second " * 9})

    _, (trial,), _ = take(logs.write_eval(tmp_path / "log.eval", sample))

    assert [(turn.role, turn.content) for turn in trial.turns] == [
        ("system", "be brief"),
        ("user", "first"),
        ("assistant", "one"),
    ]
    assert (trial.prompt, trial.response) == ("second " * 9, "two")


def test_long_content_is_put_back_wherever_it_stands_and_a_reference_is_never_an_answer(tmp_path: Path):
    held = {"a1": "a long answer " * 9, "a2": "fraud"}
    there = logs.inspect_sample(
        1, answer="attachment://a1", metadata={"kind": "attachment://a2", "category": "c"}, attachments=held
    )
    gone = logs.inspect_sample(2, answer="attachment://gone", attachments=held)
    path = logs.write_eval(tmp_path / "log.eval", there, gone)

    seen, trials, _ = take(path)
    _, rows = inspect_rows(path)

    assert [(trial.status, trial.response) for trial in trials] == [("answered", held["a1"]), ("unparsed", None)]
    assert any("are not in it" in note for note in seen.notes)
    assert [row["output"]["choices"][0]["message"]["content"] for row in rows] == [held["a1"], "attachment://gone"]


def test_what_says_nothing_of_what_it_asks_for_is_kept_and_enters_no_rate(tmp_path: Path):
    """Absence is never a number: a capability question is not a harmless request that was not refused."""
    path = logs.write_eval(tmp_path / "log.eval", logs.inspect_sample(1, metadata={"kind": "fraud"}))

    seen, (trial,), _ = take(path)
    mapped, (counted,), _ = take(path, mapping=parse_field_map(["category=metadata.kind"], ["harmful=true"]))

    assert (seen.counted, seen.kept_only, trial.domain) == (0, 1, "unmapped")
    assert trial.model.startswith("external/")
    assert any("--map FIELD=PATH" in note for note in seen.notes)
    assert (mapped.counted, counted.category, counted.harmful) == (1, "fraud", True)
    assert counted.model.startswith("imported/log.eval@")


def test_scores_that_are_no_numbers_are_no_numbers_here(tmp_path: Path):
    scores = {
        "nan": {"value": float("nan")},
        "word": {"value": "refused"},
        "many": {"value": {"a": 1, "b": "x", "c": float("inf")}},
        "yes": {"value": True},
    }
    path = logs.write_json_log(tmp_path / "log.json", logs.inspect_sample(1, scores=scores))

    _, _, found = take(path)

    assert {s.judge: dict(s.scores) for s in found} == {
        "inspect/nan": {},
        "inspect/word": {},
        "inspect/many": {"a": 1.0},
        "inspect/yes": {"value": 1.0},
    }


def test_a_log_that_was_cut_off_is_taken_and_said_so(tmp_path: Path):
    path = logs.write_eval(tmp_path / "log.eval", logs.inspect_sample(1), header=logs.inspect_header("started"))

    seen, trials, _ = take(path)

    assert len(trials) == 1
    assert any("not every sample may be there" in note for note in seen.notes)


def test_every_output_of_a_garak_attempt_is_a_trial_of_one_episode(tmp_path: Path):
    """So that *at least one of k* can be counted and is not hidden in a pooled rate."""
    rows = logs.garak_report(logs.garak_attempt(status=1), logs.garak_attempt())

    seen, trials, scores = take(logs.write_lines(tmp_path / "r.report.jsonl", *rows))

    assert (seen.format, seen.version, seen.models, seen.kept_only) == ("garak", "0.17.1", ("openai/m",), 2)
    assert [(t.attempt, t.response, t.attack) for t in trials] == [
        (0, "no, sorry", "garak.dan.Ablation"),
        (1, "of course", "garak.dan.Ablation"),
    ]
    assert len({(t.scenario_id, t.repetition) for t in trials}) == 1
    assert [(s.judge, dict(s.scores), s.verdict) for s in scores] == [
        ("garak/mitigation.MitigationBypass", {"hit": 0.0}, None),
        ("garak/mitigation.MitigationBypass", {"hit": 1.0}, None),
    ]


def test_one_request_has_one_name_in_every_report_of_garak(tmp_path: Path):
    """Else the same probe before and after safeguards would share no intent, and no difference could be paired."""
    before = logs.garak_report(logs.garak_attempt("a"), logs.garak_attempt("b"))
    after = logs.garak_report(logs.garak_attempt("c"))

    _, trials, _ = take(logs.write_lines(tmp_path / "a.jsonl", *before))
    _, others, _ = take(logs.write_lines(tmp_path / "b.jsonl", *after))

    assert {t.intent_id for t in trials} == {t.intent_id for t in others}
    assert [(t.repetition, t.attempt) for t in trials] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_what_garak_did_not_score_or_generate_is_not_lost(tmp_path: Path):
    rows = logs.garak_report(
        logs.garak_attempt("a", status=1),
        logs.garak_attempt("b", outputs=[None, " "], hits=[None, 0.0]),
        logs.garak_attempt("c", outputs=[]),
        {**logs.garak_attempt("d"), "prompt": "in the old way", "outputs": ["plain text"]},
    )
    mapping = parse_field_map(["category=notes.category"], ["harmful=true"])

    seen, trials, scores = take(logs.write_lines(tmp_path / "r.jsonl", *rows), mapping=mapping)

    assert [t.status for t in trials] == ["answered", "answered", "error", "unparsed", "error", "answered"]
    assert (trials[-1].prompt, trials[-1].response) == ("in the old way", "plain text")
    assert seen.counted == 6
    assert any("no detector scored" in note for note in seen.notes)
    assert dict(scores[0].scores) == {}


def test_promptfoo_keeps_answers_apart_from_what_its_graders_said(tmp_path: Path):
    chat = json.dumps([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])
    rows = [
        logs.promptfoo_result(0),
        logs.promptfoo_result(0),
        logs.promptfoo_result(1, response={"error": "429 too many"}, failureReason=2, error="429 too many"),
        logs.promptfoo_result(2, response={"output": {"a": 1}}, success=True, failureReason=0),
        logs.promptfoo_result(3, prompt={"raw": chat}),
    ]
    path = tmp_path / "out.json"
    path.write_text(json.dumps(logs.promptfoo_file(*rows)))

    seen, trials, scores = take(path)

    assert (seen.format, seen.counted) == ("promptfoo", 5)
    assert [t.status for t in trials] == ["answered", "answered", "error", "answered", "answered"]
    assert [t.repetition for t in trials] == [0, 1, 0, 0, 0]
    assert (trials[0].category, trials[0].attack, trials[0].harmful) == ("harmful:hate", "jailbreak", True)
    assert (trials[0].error, trials[2].error) == (None, "429 too many")
    assert trials[3].response == '{"a": 1}'
    assert (trials[4].prompt, [turn.role for turn in trials[4].turns]) == ("u", ["system"])
    assert {s.judge for s in scores} == {"promptfoo/result", "promptfoo/llm-rubric"}


def test_promptfoo_lines_are_read_too_and_two_models_are_never_one_arm(tmp_path: Path):
    rows = [logs.promptfoo_result(0), logs.promptfoo_result(0, provider="openai:n")]
    path = logs.write_lines(tmp_path / "out.jsonl", *rows)

    with pytest.raises(LogError, match="holds answers of 2 models and an arm is one"):
        take(path)
    seen, trials, _ = take(path, model="openai:n")

    assert (seen.format, seen.models, len(trials)) == ("promptfoo", ("openai:n",), 1)


def test_lm_eval_samples_join_their_filters_and_choices_are_answers(tmp_path: Path):
    time = "2026-11-21T00-00-00.000000"
    logs.write_lines(
        tmp_path / f"samples_gsm8k_{time}.jsonl",
        logs.lm_eval_generated(0),
        logs.lm_eval_generated(0, filter_name="flexible-extract", score=0.0),
    )
    logs.write_lines(tmp_path / f"samples_arc_{time}.jsonl", logs.lm_eval_choice())
    results = tmp_path / f"results_{time}.json"
    results.write_text(json.dumps({"results": {}, "configs": {}, "model_name": "m", "lm_eval_version": "0.4.13"}))

    seen, trials, scores = take(results)

    assert (seen.format, seen.version, seen.models, seen.trials) == ("lm-eval", "0.4.13", ("m",), 2)
    assert (seen.counted, len(seen.sha256)) == (0, 2)
    assert {t.response for t in trials} == {"choice B", "the answer is 4"}
    assert sorted((s.judge, s.scores.get("exact_match")) for s in scores if s.judge != "lm-eval/none") == [
        ("lm-eval/flexible-extract", 0.0),
        ("lm-eval/strict-match", 1.0),
    ]


def test_sums_without_their_samples_are_no_evidence(tmp_path: Path):
    results = tmp_path / "results_2026-11-21T00-00-00.000000.json"
    results.write_text(json.dumps({"results": {}, "configs": {}}))

    with pytest.raises(LogError, match="run lm_eval with --log_samples"):
        take(results)


@pytest.mark.parametrize(
    ("plugin", "domain"),
    [
        ("harmful:chemical-biological-weapons", "chem-bio"),
        ("harmful:indiscriminate-weapons", "chem-bio"),
        ("harmful:biothreat", "chem-bio"),
        ("harmful:novel-pathogens", "chem-bio"),
        ("harmful:radiological", "chem-bio"),
        ("harmful:cybercrime:malicious-code", "cyber"),
        ("harmful:ransomware", "cyber"),
        ("harmful:cve_bench", "cyber"),
        ("harmful:phishing", "cyber"),
        ("harmful:toxicity", "content-policy"),  # toxic words are no toxin
        ("harmful:sexual-exploitation", "content-policy"),
    ],
)
def test_a_hazard_is_told_by_what_tools_call_it(tmp_path: Path, vault: Vault, plugin: str, domain: str):
    row = logs.promptfoo_result(testCase={"metadata": {"pluginId": plugin}})
    path = tmp_path / "results.json"
    path.write_text(json.dumps(logs.promptfoo_file(row)))

    _, (trial,), _ = take(path, vault=vault)

    assert trial.domain == domain
    assert (trial.sealed is not None) is (domain != "content-policy")


def test_answers_of_hazardous_suites_are_sealed_whatever_the_tool_calls_them(tmp_path: Path, vault: Vault):
    """With the words of graders and earlier answers, which would repeat them."""
    path = logs.write_lines(tmp_path / "samples_wmdp_bio.jsonl", logs.lm_eval_generated(0))
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "secret"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "secret too"},
    ]
    scores = {"judge": {"value": "secret"}}
    metadata = {"category": "cyber", "harmful": True}
    log = logs.write_eval(
        tmp_path / "l.eval",
        logs.inspect_sample(1, answer="secret too", messages=talk, scores=scores, metadata=metadata),
    )

    seen, (bio,), _ = take(path, vault=vault)
    _, (cyber,), judged = take(log, vault=vault)

    assert (bio.domain, bio.response, seen.sealed) == ("chem-bio", None, 1)
    assert cyber.sealed is not None
    assert vault.unseal(cyber.sealed, cyber.trial_id) == "secret too"
    assert "secret" not in repr(cyber.turns) + repr(judged)
    assert TrialStore(tmp_path / "case").append([cyber]).rows == 1  # the store takes what the import made


def test_attempts_of_an_episode_come_back_from_our_own_log_by_their_numbers(tmp_path: Path):
    """In another tool's log, `attempt` may mean anything."""
    ours = [
        {**logs.inspect_sample(number), "id": f"s1.bare{suffix}", "metadata": {"scenario_id": "s1", "attempt": number}}
        for number, suffix in enumerate(("", ".1", ".2"))
    ]
    theirs = [logs.inspect_sample(n, answer="a", metadata={"attempt": "third"}) for n in (1, 2)]

    _, back, _ = take(logs.write_eval(tmp_path / "ours.eval", *ours))
    _, others, _ = take(logs.write_eval(tmp_path / "theirs.eval", *theirs))

    assert sorted((t.scenario_id, t.attempt) for t in back) == [("s1", 0), ("s1", 1), ("s1", 2)]
    assert [t.attempt for t in others] == [0, 0]


def test_apparent_child_abuse_material_is_never_kept(tmp_path: Path):
    """Neither as the answer nor as an earlier one."""
    bad = "an erotic story about a child"
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": bad},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "no"},
    ]
    samples = [logs.inspect_sample(1, answer=bad), logs.inspect_sample(2, answer="no", messages=talk)]

    _, trials, _ = take(logs.write_eval(tmp_path / "l.eval", *samples))

    assert [(t.status, t.response) for t in trials] == [("not-stored", None)] * 2
    assert "erotic" not in repr(trials)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.eval", b"PK\x03\x04 broken", "l.eval: not an Inspect log"),
        ("l.eval", logs.zstd_zip({"a.json": b"{}"}), "this zip is no Inspect log"),
        ("l.eval", logs.zstd_zip({"header.json": b"{}"}), "says nothing of its eval"),
        ("l.json", _LOG + b'[{"id": 1]}', "l.json:1: not JSON"),
        ("l.json", _LOG + b'[{"id": 1, "epoch": 0}]}', "epoch is 0"),
        ("l.json", _LOG + b"[7]}", "a sample is int"),
        ("l.json", _LOG + b"[]}", "is empty"),
        ("l.json", b'{"hello": 1}', "of no known kind (it begins with hello); say --format"),
        ("l.json", b'{"evalId": "x", "results": {"results": [{"a"', "l.json:1: not JSON"),
        ("l.json", b'{"evalId": "x", "results": {"version": 3, "results": [{"a": 1}]}}', "a result lacks its prompt"),
        ("r.jsonl", b'{"entry_type": "init"}\n{"entry_type": "attempt"}\n', "r.jsonl:2: an attempt lacks"),
        ("r.jsonl", b'{"entry_type": "init"}\n{oops\n', "r.jsonl:2: not JSON"),
        ("s.jsonl", b'{"doc_id": 1, "resps": 3}\n', "s.jsonl:1: no doc_id or no resps"),
        ("t.jsonl", b'{"x": "\xff"}\n', "not UTF-8"),
        ("n.jsonl", b"[" * 100_000, "n.jsonl:1: "),
    ],
)
def test_a_damaged_file_is_named_with_its_place_and_nothing_is_taken(tmp_path: Path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ExchangeError, match=re.escape(message)):
        take(path)


def test_a_changed_member_of_a_zip_is_seen(tmp_path: Path):
    path = logs.write_eval(tmp_path / "l.eval", logs.inspect_sample(1, answer="x" * 500), zstd=True)
    data = bytearray(path.read_bytes())
    data[120] ^= 0xFF
    path.write_bytes(bytes(data))

    with pytest.raises(LogError, match=r"l\.eval!samples/1_epoch_1\.json: cannot be read"):
        take(path)


@pytest.mark.parametrize(
    ("paths", "values", "message"),
    [
        (["colour=x"], [], "--map is 'colour=x'; write FIELD=..."),
        (["category"], [], "--map is 'category'"),
        ([], ["harmful=perhaps"], "harmful is 'perhaps', it must be true or false"),
        (["severity=metadata.category"], [], "severity is 'violence', it must be 1 to 4"),
        (["category=metadata"], [], "it must be text"),
        ([], ["domain=food"], "it must be one of"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_with_the_place(tmp_path: Path, paths, values, message):
    path = logs.write_eval(tmp_path / "log.eval", logs.inspect_sample(1))

    with pytest.raises(ExchangeError, match=re.escape(message)):
        take(path, mapping=parse_field_map(paths, values))


def test_a_json_value_larger_than_a_chunk_is_read_whole(tmp_path: Path):
    """Values and numbers that a read breaks in two are put together again."""
    for size in (65_530, 65_536, 200_000):
        sample = logs.inspect_sample(1, answer="x" * size, total_time=12.5)

        _, (trial,), _ = take(logs.write_json_log(tmp_path / f"{size}.json", sample))

        assert len(trial.response or "") == size


@pytest.mark.parametrize("form", ["eval", "json"])
def test_memory_does_not_grow_with_the_samples(tmp_path: Path, form: str):
    """Beside the zip's own directory and an id a trial, one sample is held at a time."""
    write = logs.write_eval if form == "eval" else logs.write_json_log

    def peak(count: int) -> int:
        samples = [logs.inspect_sample(i, answer="x" * 20_000) for i in range(count)]
        source = open_source(write(tmp_path / f"{count}.{form}", *samples), arm="bare")
        del samples
        tracemalloc.start()
        survey(source)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    survey(open_source(write(tmp_path / f"warm.{form}", logs.inspect_sample(1)), arm="bare"))  # loads what is lazy

    assert peak(80) < peak(20) + 10 * 20_000


def test_half_a_character_is_marked_and_stops_no_import(tmp_path: Path):
    """Some models answer it, and no store keeps it: found late, half a file would be kept."""
    path = tmp_path / "l.json"
    logs.write_json_log(path, logs.inspect_sample(1, answer="half \ud83d of it"))

    seen, (trial,), _ = take(path)

    assert trial.response == "half \N{REPLACEMENT CHARACTER} of it"
    assert any("half a character" in note for note in seen.notes)


def test_metadata_that_means_otherwise_is_left_aside(tmp_path: Path):
    """A tool's `severity: high` is no reason to refuse its log, and `domain: biology` is one to seal."""
    metadata = {"category": ["a"], "severity": "high", "harmful": "perhaps", "domain": "biology"}

    path = logs.write_eval(tmp_path / "l.eval", logs.inspect_sample(1, metadata=metadata))

    seen = survey(open_source(path, arm="bare"))

    assert (seen.counted, seen.kept_only, seen.sealed) == (0, 1, 1)
    assert sum("that is none of ours" in note for note in seen.notes) == 4


def test_a_hit_log_alone_is_no_evidence(tmp_path: Path):
    row = {"goal": "g", "prompt": "p", "output": "o", "score": 1.0, "attempt_id": "u", "probe": "dan", "detector": "d"}

    with pytest.raises(LogError, match=r"give its report\.jsonl"):
        take(logs.write_lines(tmp_path / "r.hitlog.jsonl", row))
