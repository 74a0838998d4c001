"""The engine keeps what was acknowledged, runs nothing twice, and stops when the platform fails."""

import asyncio
import datetime as dt
from pathlib import Path

import pytest

from safecase.compose import load_shipped_bank
from safecase.declare import Budget, CaseSpec, Generation, load_framework
from safecase.evidence import Identity, Message, TrialStore, Vault
from safecase.models import Answer, BadKey, EndpointError, EndpointTimeout, UnparsedAnswer
from safecase.run import NothingAnswered, NothingPlanned, Target, make_plan, planned_trials, run_trials
from safecase.safeguard import Stack, empty_stack
from safecase.testing import ScriptedModel

FRAMEWORK = load_framework("scaling-v2")
BANK = load_shipped_bank()


def spec(**sampling: object) -> CaseSpec:
    return CaseSpec.model_validate(
        {
            "id": "test",
            "title": "test",
            "framework": "scaling-v2",
            "model": {"name": "scripted/fake", "title": "fake", "safeguard_state": "full"},
            "contexts": ["closed"],
            "sampling": {"gates": ["policy.violence.unsafe"], "intents": 5, "attacks": ["none", "fiction"], **sampling},
        }
    )


def plan_of(case: CaseSpec, arms: dict[str, Stack] | None = None):
    identity = Identity(kind="name-only", model="scripted/fake", digest=None, details={})
    arms = arms or {"bare": empty_stack(), "guarded": empty_stack()}
    return make_plan(
        case, FRAMEWORK, BANK, targets=dict.fromkeys(arms, Target(model="scripted/fake", identity=identity)), arms=arms
    )


def now() -> dt.datetime:
    return dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


async def run(case: CaseSpec, store: TrialStore, model: ScriptedModel, **options: object):
    plan = plan_of(case)
    return await run_trials(
        planned_trials(plan, FRAMEWORK, BANK),
        model=model,
        arms={"bare": empty_stack(), "guarded": empty_stack()},
        generation=Generation(),
        store=store,
        vault=options.pop("vault", None),  # type: ignore[arg-type]
        budget=Budget(**options.pop("budget", {})),  # type: ignore[arg-type]
        workers=options.pop("workers", 4),  # type: ignore[arg-type]
        now=now,
        **options,  # type: ignore[arg-type]
    )


def answer(_: object) -> str:
    return "a plain answer"


async def test_every_planned_trial_is_run_once_over_both_arms(tmp_path: Path):
    store = TrialStore(tmp_path)

    summary = await run(spec(), store, ScriptedModel(answer))

    rows = list(store.read())
    assert summary.trials == len(rows) == 5 * 2 * 2
    assert {row.arm for row in rows} == {"bare", "guarded"}
    assert len({row.trial_id for row in rows}) == len(rows)


async def test_the_limit_counts_over_all_arms_and_the_same_command_goes_on(tmp_path: Path):
    store = TrialStore(tmp_path)
    await run(spec(), store, ScriptedModel(answer), budget={"trials": 7})
    assert sum(1 for _ in store.read()) == 7

    again = ScriptedModel(answer)
    summary = await run(spec(), TrialStore(tmp_path), again)

    assert (summary.trials, summary.skipped, len(again.asked)) == (13, 7, 13)


async def test_a_failed_attempt_is_data_and_is_tried_again_next_time(tmp_path: Path):
    faults = [EndpointError("x"), EndpointTimeout("x"), UnparsedAnswer("x")]
    model = ScriptedModel([*faults, *["fine"] * 17])
    summary = await run(spec(), TrialStore(tmp_path), model, workers=1)

    statuses = {row.status for row in TrialStore(tmp_path).read()}
    assert summary.errors == 3
    assert statuses == {"answered", "error", "timeout", "unparsed"}

    await run(spec(), TrialStore(tmp_path), ScriptedModel(["fine"] * 3))
    assert {row.status for row in TrialStore(tmp_path).read()} == {"answered"}


async def test_a_wrong_key_stops_the_run_and_keeps_what_was_done(tmp_path: Path):
    model = ScriptedModel([*["fine"] * 4, BadKey("no key"), *["fine"] * 99])

    with pytest.raises(BadKey):
        await run(spec(), TrialStore(tmp_path), model, workers=1)

    assert sum(1 for _ in TrialStore(tmp_path).read()) == 4


async def test_a_model_that_answers_nothing_stops_the_run_early_with_one_line(tmp_path: Path):
    model = ScriptedModel(lambda _: UnparsedAnswer("answered nothing"))

    with pytest.raises(NothingAnswered, match="gave no answer"):
        await run(spec(intents=60), TrialStore(tmp_path), model)

    assert len(model.asked) < 60


async def test_a_cancelled_run_keeps_what_was_finished(tmp_path: Path):
    task = asyncio.create_task(run(spec(intents=60), TrialStore(tmp_path), ScriptedModel(answer, delay_s=0.01)))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    kept = {row.trial_id for row in TrialStore(tmp_path).read()}
    again = ScriptedModel(answer)
    await run(spec(intents=60), TrialStore(tmp_path), again)
    assert kept
    assert len(again.asked) == 240 - len(kept)


async def test_token_and_time_budgets_are_hard(tmp_path: Path):
    def wordy(_: object) -> Answer:
        return Answer(text="words", tokens_in=50, tokens_out=50)

    by_tokens = await run(spec(), TrialStore(tmp_path / "a"), ScriptedModel(wordy), budget={"tokens": 500}, workers=1)
    slow = ScriptedModel(answer, delay_s=0.05)
    by_time = await run(spec(), TrialStore(tmp_path / "b"), slow, budget={"seconds": 0.2}, workers=1)

    assert by_tokens.tokens <= 500  # an answer may take 256 of them beside its prompt, so the last ones stay unspent
    assert by_tokens.trials >= 2
    assert "token budget" in (by_tokens.stopped or "")
    assert by_time.trials < 20
    assert "time budget" in (by_time.stopped or "")


async def test_answers_of_hazardous_domains_are_sealed_before_they_reach_the_disk(tmp_path: Path):
    case = spec(gates=["chem-bio.refusal"], intents=3, attacks=["none"])
    vault = Vault.open("test", tmp_path / "keys" / "k", case_dir=tmp_path / "case", create=True)
    store = TrialStore(tmp_path / "case")

    await run(case, store, ScriptedModel(lambda _: "SECRET-MARK in an answer"), vault=vault)

    rows = list(store.read())
    assert rows
    assert all(row.response is None and row.sealed is not None for row in rows)
    assert vault.unseal(rows[0].sealed or b"", rows[0].trial_id).startswith("SECRET-MARK")
    assert not any(b"SECRET-MARK" in path.read_bytes() for path in (tmp_path / "case").rglob("*") if path.is_file())


@pytest.mark.parametrize("attack", ["none", "retry-persuasion"])
async def test_what_an_endpoint_says_of_a_failure_is_not_kept_in_hazardous_domains(tmp_path: Path, attack: str):
    """Some servers quote the answer that they could not parse in their error."""
    case = spec(gates=["chem-bio.refusal"], intents=3, attacks=[attack])
    vault = Vault.open("test", tmp_path / "keys" / "k", case_dir=tmp_path / "case", create=True)
    store = TrialStore(tmp_path / "case")

    def fails(_: object) -> Exception:
        return EndpointError("m: HTTP 500 (cannot parse SECRET-MARK)", status=500, ours="m: HTTP 500")

    await run(case, store, ScriptedModel(fails), vault=vault, workers=1)

    assert {row.error for row in store.read()} == {"m: HTTP 500"}


async def test_apparent_child_abuse_material_is_never_stored(tmp_path: Path):
    """The screen's own test shows what it matches; here a reply that matches leaves only its digest."""
    from safecase.detect import apparent_child_abuse

    text = "an explicit sexual story about a 9 year old child, nude"
    assert apparent_child_abuse(text)

    store = TrialStore(tmp_path)
    await run(spec(intents=1, attacks=["none"]), store, ScriptedModel(lambda _: text))

    (row, *_) = store.read()
    assert (row.status, row.response) == ("not-stored", None)
    assert row.response_digest
    assert not any(b"nude" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_same_case_makes_the_same_plan_byte_for_byte():
    assert plan_of(spec()).to_json() == plan_of(spec()).to_json()
    assert plan_of(spec()).digest != plan_of(spec(seed=1)).digest


def test_an_empty_selection_is_named():
    with pytest.raises(NothingPlanned, match="selects no scenario"):
        plan_of(spec(languages=["xx"]))


async def test_tags_tell_a_fake_what_is_asked_and_prompts_are_sent_as_composed(tmp_path: Path):
    model = ScriptedModel(answer)

    await run(spec(intents=1, attacks=["none"]), TrialStore(tmp_path), model)

    intent = {i.id: i for i in BANK}[model.asked[0].tags["intent"]]
    assert model.asked[0].messages == (Message(role="user", content=intent.text),)
