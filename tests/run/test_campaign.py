"""A campaign: judged as it goes, cached on demand, within its budgets, lane by lane, and safe from kills."""

import asyncio
import importlib.util
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.run.test_engine import BANK, FRAMEWORK, answer, now, spec

from safecase.declare import Budget, Generation, Prices
from safecase.evidence import DiskFull, Identity, Judgement, JudgementStore, Message, Trial, TrialStore, Vault
from safecase.measure import Asked, EmbeddedJudge, judge_trials
from safecase.models import Answer, EndpointError, EndpointTimeout, Request, Settings
from safecase.run import (
    AnswerCache,
    CacheTrouble,
    EndpointGone,
    Extras,
    Judging,
    NothingAnswered,
    NoWatch,
    PlannedTrial,
    RunSummary,
    Target,
    make_plan,
    planned_trials,
    run_trials,
)
from safecase.run._cache import CachedModel
from safecase.run._engine import PlanOrder
from safecase.run._meter import MeteredModel, Purse
from safecase.safeguard import Exchange, Post, Ruling, Stack, empty_stack
from safecase.testing import ScriptedModel

NAMED = Identity(kind="name-only", model="scripted/fake", digest=None, details={})
ARMS = {"bare": empty_stack(), "guarded": empty_stack()}


def trials_of(**sampling: object) -> list[PlannedTrial]:
    plan = make_plan(
        spec(**sampling),
        FRAMEWORK,
        BANK,
        targets=dict.fromkeys(ARMS, Target(model="scripted/fake", identity=NAMED)),
        arms=ARMS,
    )
    return list(planned_trials(plan, FRAMEWORK, BANK))


async def campaign(
    folder: Path, model: Any, *, planned: list[PlannedTrial] | None = None, **options: Any
) -> RunSummary:
    extras = Extras(
        judging=options.pop("judging", None),
        cache=options.pop("cache", None),
        identities={"scripted/fake": NAMED},
        prices=options.pop("prices", None),
        watch=options.pop("watch", Extras().watch),
        schedule=options.pop("schedule", None),
    )
    return await run_trials(
        trials_of() if planned is None else planned,
        model=model,
        arms=options.pop("arms", ARMS),
        generation=Generation(max_tokens=10),
        store=options.pop("store", None) or TrialStore(folder),
        vault=options.pop("vault", None),
        budget=Budget(**options.pop("budget", {})),
        workers=options.pop("workers", 4),
        now=now,
        extras=extras,
        **options,
    )


async def test_trials_are_judged_as_they_come_also_where_answers_are_sealed(tmp_path: Path):
    case_dir = tmp_path / "case"
    judgements = JudgementStore(case_dir)
    vault = Vault.open("test", tmp_path / "keys" / "k", case_dir=case_dir, create=True)
    planned = trials_of(gates=["chem-bio.refusal"], intents=3, attacks=["none"])

    await campaign(
        case_dir,
        ScriptedModel(lambda _: "I'm sorry, but I can't help with that."),
        planned=planned,
        judging=Judging(judge=EmbeddedJudge(), store=judgements),
        vault=vault,
    )

    found = {row.trial_id: row.verdict for row in judgements.read()}
    assert found == {trial.trial_id: "refusal" for trial in planned}


async def test_identical_requests_are_asked_once_and_say_so(tmp_path: Path):
    cache = AnswerCache(tmp_path / "cache.sqlite")
    first, second = ScriptedModel(answer), ScriptedModel(answer)

    await campaign(tmp_path / "a", first, cache=cache, workers=1)
    summary = await campaign(tmp_path / "b", second, cache=cache, workers=1)
    cache.close()

    # Both arms of a scenario send the same words to the same model.
    assert len(first.asked) == len(trials_of()) // 2
    assert (len(second.asked), summary.cached, summary.tokens) == (0, len(trials_of()), 0)
    assert all(row.cached and row.response == "a plain answer" for row in TrialStore(tmp_path / "b").read())


async def test_what_is_being_asked_just_now_is_not_asked_again(tmp_path: Path):
    cache = AnswerCache(tmp_path / "cache.sqlite")
    model = ScriptedModel(answer, delay_s=0.02)

    await campaign(tmp_path / "a", model, cache=cache, workers=20)
    cache.close()

    assert len(model.asked) == len(trials_of()) // 2


async def test_a_cache_never_stands_in_for_another_model_a_repetition_or_a_hazardous_domain(tmp_path: Path):
    cache = AnswerCache(tmp_path / "cache.sqlite")
    vault = Vault.open("test", tmp_path / "keys" / "k", case_dir=tmp_path / "a", create=True)
    one = trials_of(intents=1, attacks=["none"])[:1]
    again = [replace(one[0], repetition=1, trial_id="f" * 24)]
    hazardous = trials_of(gates=["chem-bio.refusal"], intents=1, attacks=["none"])[:1]
    model = ScriptedModel(answer)

    for part in (one, again, hazardous):
        await campaign(tmp_path / "a", model, planned=part, cache=cache, vault=vault)
    await campaign(tmp_path / "b", model, planned=hazardous, cache=cache, vault=vault)
    cache.close()

    assert len(model.asked) == 4
    assert b"a plain answer" in (tmp_path / "cache.sqlite").read_bytes() + _wal(tmp_path)


def _wal(folder: Path) -> bytes:
    path = folder / "cache.sqlite-wal"
    return path.read_bytes() if path.exists() else b""


async def test_a_cache_holds_no_apparent_child_abuse_material_and_repeats_no_attempt(tmp_path: Path):
    """Hidden reasoning is text too; and a second attempt with the same words is another draw."""
    cache = AnswerCache(tmp_path / "cache.sqlite")
    abuse = "an explicit sexual story about a 9 year old child, nude"
    model = ScriptedModel([Answer(text="No.", reasoning=abuse), *["No."] * 4])
    cached = CachedModel(model, cache, identity=await model.identity())
    request = Request(messages=(Message(role="user", content="hello"),))

    for tags in ({}, {}, {"attempt": "1"}, {"attempt": "1"}, {"repetition": "1"}):
        await cached.generate(replace(request, tags=tags))
    cache.close()

    assert len(model.asked) == 4
    assert not any(b"nude" in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_file_that_is_no_cache_gives_one_line(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("these are notes and no cache of answers\n" * 40)

    with pytest.raises(CacheTrouble, match=r"notes\.txt: cannot be used as a cache"):
        AnswerCache(path)


@pytest.mark.parametrize("damage", ["{oops", '["text"]', '{"said": "fine"}'])
async def test_a_cache_with_a_damaged_answer_stops_with_one_line(tmp_path: Path, damage: str):
    cache = AnswerCache(tmp_path / "cache.sqlite")
    await campaign(tmp_path / "a", ScriptedModel(answer), cache=cache)
    cache.close()
    with sqlite3.connect(tmp_path / "cache.sqlite") as db:
        db.execute("UPDATE answers SET answer = ?", (damage,))
    db.close()

    cache = AnswerCache(tmp_path / "cache.sqlite")
    with pytest.raises(CacheTrouble, match=r"cache\.sqlite: cannot be used as a cache"):
        await campaign(tmp_path / "b", ScriptedModel(answer), cache=cache)
    cache.close()


async def test_cost_is_a_hard_limit_and_is_told(tmp_path: Path):
    def wordy(_: Request) -> Answer:
        return Answer(text="words", tokens_in=100, tokens_out=10)

    summary = await campaign(
        tmp_path, ScriptedModel(wordy), prices=Prices(input=10.0, output=30.0), budget={"cost_usd": 0.01}
    )

    assert summary.cost_usd is not None
    assert 0 < summary.cost_usd <= 0.01
    assert summary.cost_usd == pytest.approx(summary.trials * (100 * 10 + 10 * 30) / 1e6)
    left = 0.01 - summary.cost_usd
    assert (summary.stopped or "").startswith(
        f"cost budget of 0.01 USD is spent but for {left:.4f}; the next answer may"
    )


async def test_a_cost_limit_without_prices_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="needs prices"):
        await campaign(tmp_path, ScriptedModel(answer), budget={"cost_usd": 1.0})


async def test_answers_that_a_dropped_connection_lost_are_paid_at_their_most():
    """The endpoint made them, and may charge for them, though nobody saw how long they were."""
    used = []
    for lost in (0, 2):
        reply = Answer(text="fine", tokens_in=5, tokens_out=5, lost=lost)
        model = ScriptedModel([EndpointError("x", lost=lost), *[reply] * 99])
        purse = Purse(Budget(tokens=10**6), None)
        metered = MeteredModel(model, purse)
        request = Request(messages=(Message(role="user", content="hello"),), settings=Settings(max_tokens=10))
        with pytest.raises(EndpointError):
            await metered.generate(request)
        await metered.generate(request)
        used.append(purse.tokens)

    most = 5 + 16 + 10
    assert used == [10, 10 + 2 * 2 * most]


async def test_no_number_of_workers_passes_a_token_budget(tmp_path: Path):
    def wordy(_: Request) -> Answer:
        return Answer(text="words", tokens_in=20, tokens_out=10)

    summary = await campaign(tmp_path, ScriptedModel(wordy, delay_s=0.001), budget={"tokens": 1000}, workers=50)

    assert summary.tokens <= 1000
    assert sum((t.tokens_in or 0) + (t.tokens_out or 0) for t in TrialStore(tmp_path).read()) == summary.tokens


async def test_the_time_budget_cuts_off_what_is_in_flight(tmp_path: Path):
    started = time.monotonic()

    summary = await campaign(tmp_path, ScriptedModel(answer, delay_s=5), budget={"seconds": 0.2})

    assert time.monotonic() - started < 2
    assert summary.trials == 0
    assert "time budget" in (summary.stopped or "")


async def test_an_endpoint_that_dies_pauses_the_run_and_the_same_command_goes_on(tmp_path: Path):
    planned = trials_of(intents=60)
    dead = False

    def dying(_: Request) -> str | Exception:
        return EndpointError("connection lost", retryable=True) if dead else "fine"

    model = ScriptedModel(dying)
    seen = 0

    def on_progress(_: object) -> None:
        nonlocal dead, seen
        seen += 1
        dead = seen >= 100

    with pytest.raises(EndpointGone, match="goes on from there") as gone:
        await campaign(tmp_path, model, planned=planned, on_progress=on_progress)
    assert "at least 125 trials of this run are kept" in str(gone.value)
    assert len(TrialStore(tmp_path).ids()) >= 125
    answered = TrialStore(tmp_path).ids(answered=True)
    assert len(answered) >= 100

    dead, seen = False, -10_000
    summary = await campaign(tmp_path, model, planned=planned)

    assert summary.trials == len(planned) - len(answered)


def is_harmless(request: Request) -> bool:
    """Whether it is what the engine asks before it gives up."""
    return request.trace == "harmless"


@pytest.mark.parametrize("first", [0, 2])
async def test_prompts_that_an_endpoint_filters_are_no_dead_endpoint(tmp_path: Path, first: int):
    """Also where every prompt from the first on is turned away."""
    replies = iter(["fine"] * first)

    def filtering(request: Request) -> str | Exception:
        return "planets" if is_harmless(request) else next(replies, EndpointError("barred", status=403))

    model = ScriptedModel(filtering)
    summary = await campaign(tmp_path, model, planned=trials_of(intents=20))

    assert (summary.trials, summary.errors) == (80, 80 - first)
    assert 1 <= sum(map(is_harmless, model.asked)) <= 2 + 80 // 25


async def test_an_endpoint_that_gives_errors_alone_pauses_the_run(tmp_path: Path):
    replies = ["fine", "fine", *[EndpointError("no such model", status=400)] * 78]

    with pytest.raises(EndpointGone, match=r"last 25 attempts failed .*no such model.*harmless question too"):
        await campaign(tmp_path, ScriptedModel(replies), planned=trials_of(intents=20), workers=1)

    assert len(TrialStore(tmp_path).ids()) == 27


async def test_a_schedule_that_mixes_endpoints_hides_no_dead_one(tmp_path: Path):
    """Where answers decide the order all endpoints share a lane; the living one's answers say nothing of the other."""
    named = {arm: f"scripted/{arm}" for arm in ARMS}
    planned = [
        replace(one, arm=one.arm.model_copy(update={"model": named[one.arm.name]})) for one in trials_of(intents=40)
    ]
    models = {
        "bare": ScriptedModel(answer, name=named["bare"]),
        "guarded": ScriptedModel(["fine"] * 5 + [EndpointError("gone")] * 99, name=named["guarded"]),
    }

    with pytest.raises(EndpointGone, match="'scripted/guarded' did answer, and the last 25 attempts failed"):
        await campaign(tmp_path, models, planned=planned, schedule=PlanOrder, workers=1)


async def test_a_dead_endpoint_behind_answers_of_a_cache_alone_pauses_the_run(tmp_path: Path):
    cache = AnswerCache(tmp_path / "cache.sqlite")
    planned = trials_of(intents=40)
    await campaign(tmp_path / "a", ScriptedModel(answer), planned=planned[:4], cache=cache)

    dead = ScriptedModel(lambda _: EndpointError("gone"))
    with pytest.raises(EndpointGone, match="last 25 attempts failed"):
        await campaign(tmp_path / "b", dead, planned=planned, cache=cache, workers=1)
    cache.close()


class Guard:
    """A layer that is a model: it rules as it is told, or breaks."""

    name, stage, reach, digest = "guard", "input", 0, "guard"

    def __init__(self, rules_on: Callable[[int], bool]) -> None:
        self.asked, self._rules_on = 0, rules_on

    async def check(self, exchange: Exchange) -> Ruling:
        self.asked += 1
        if not self._rules_on(self.asked):
            raise EndpointError("the guard's endpoint is dead")
        return Ruling(action="allow")


def guarded_by(guard: Guard, *, required: bool = True) -> dict[str, Stack]:
    stack = Stack(
        id="t",
        layers=(guard,),
        system_prompt=None,
        timeout_s=1.0,
        digest="t",
        posts={"guard": Post(required=required)},
    )
    return {**ARMS, "guarded": stack}


@pytest.mark.parametrize("attack", ["none", "retry-persuasion"])
async def test_what_a_layer_withheld_because_it_failed_is_an_error_and_no_safe_answer(tmp_path: Path, attack: str):
    arms = guarded_by(Guard(lambda asked: asked % 2 == 0))
    judgements = JudgementStore(tmp_path)
    planned = trials_of(intents=4, attacks=[attack])

    await campaign(
        tmp_path,
        ScriptedModel(answer),
        planned=planned,
        arms=arms,
        judging=Judging(judge=EmbeddedJudge(), store=judgements),
        workers=1,
    )

    guarded = [row for row in TrialStore(tmp_path).read() if row.arm == "guarded"]
    failed = [row for row in guarded if row.status == "error"]
    assert failed
    assert {(row.response, row.response_digest, row.withheld_by) for row in failed} == {(None, None, None)}
    assert {row.error for row in failed} == {"safeguard layer 'guard' gave no ruling (EndpointError)"}
    assert any(row.status == "answered" for row in guarded)
    verdicts = {row.trial_id: row.verdict for row in judgements.read()}
    assert all(verdicts.get(row.trial_id) is None for row in failed)


async def test_a_layer_that_need_not_rule_withholds_nothing_and_pauses_nothing(tmp_path: Path):
    arms = guarded_by(Guard(lambda _: False), required=False)

    summary = await campaign(tmp_path, ScriptedModel(answer), planned=trials_of(intents=20), arms=arms)

    assert (summary.trials, summary.errors) == (80, 0)


@pytest.mark.parametrize(
    ("dies_after", "fault", "kept"),
    [(0, NothingAnswered, 0), (30, EndpointGone, 30)],
)
async def test_a_guard_that_is_dead_pauses_the_run(tmp_path: Path, dies_after: int, fault: type[Exception], kept: int):
    arms = guarded_by(Guard(lambda asked: asked <= dies_after))

    with pytest.raises(fault, match=r"safeguard layer 'guard'.* gave no ruling.*harmless question"):
        await campaign(tmp_path, ScriptedModel(answer), planned=trials_of(intents=60), arms=arms)

    rows = [row for row in TrialStore(tmp_path).read() if row.arm == "guarded"]
    assert sum(row.status == "answered" for row in rows) == kept


@pytest.mark.parametrize("fault", [EndpointError("filtered", status=400), EndpointTimeout("no end")])
async def test_prompts_that_an_endpoint_never_answers_do_not_stop_the_same_command(tmp_path: Path, fault: Exception):
    planned = trials_of(intents=30)
    barred = {one.trial_id for one in planned[::3]}

    def filtering(request: Request) -> str | Exception:
        return fault if request.trace in barred else "fine"

    await campaign(tmp_path, ScriptedModel(filtering), planned=planned)
    summary = await campaign(tmp_path, ScriptedModel(filtering), planned=planned)

    assert (summary.trials, summary.errors) == (len(barred), len(barred))
    assert TrialStore(tmp_path).ids() - TrialStore(tmp_path).ids(answered=True) == barred


async def test_a_quota_that_is_used_up_pauses_the_run_and_a_cache_or_a_layer_hides_it_from_nobody(tmp_path: Path):
    cache = AnswerCache(tmp_path / "cache.sqlite")
    await campaign(tmp_path / "a", ScriptedModel(answer), planned=trials_of(intents=4), cache=cache)
    planned = trials_of(intents=40)
    known = [one for one in planned if one.trial_id in TrialStore(tmp_path / "a").ids()]
    others = [one for one in planned if one not in known]
    mixed = [one for at, cached in enumerate(known) for one in (*others[2 + 5 * at : 7 + 5 * at], cached)]
    replies = ["fine", "fine", *[EndpointError("slow down", status=429)] * 200]

    with pytest.raises(EndpointGone, match="last 25 attempts"):
        await campaign(tmp_path / "b", ScriptedModel(replies), planned=[*others[:2], *mixed], workers=1, cache=cache)
    cache.close()


async def test_half_a_character_of_a_model_is_an_answer_like_any_other(tmp_path: Path):
    summary = await campaign(tmp_path, ScriptedModel(lambda _: "no \ud83d"))

    assert summary.errors == 0
    assert {row.response for row in TrialStore(tmp_path).read()} == {"no ?"}


async def test_a_full_disk_pauses_with_one_line_and_keeps_what_was_acknowledged(tmp_path: Path):
    class Full(TrialStore):
        calls = 0

        def append(self, rows: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls > 1:
                raise DiskFull("no space left on device")
            return super().append(rows, **options)

    planned = trials_of(intents=60)
    store = Full(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safecase.run._keep._SEGMENT_ROWS", 50)
        with pytest.raises(DiskFull, match="no space left"):
            await campaign(tmp_path, ScriptedModel(answer), planned=planned, store=store)

    kept = TrialStore(tmp_path).ids()
    assert 50 <= len(kept) < len(planned)

    summary = await campaign(tmp_path, ScriptedModel(answer), planned=planned)
    assert summary.trials == len(planned) - len(kept)


async def test_a_slow_endpoint_holds_up_nobody_elses_trials(tmp_path: Path):
    planned = trials_of(intents=30)
    slow, quick = ScriptedModel(answer, delay_s=0.05), ScriptedModel(answer)
    first_slow_half: list[int] = []

    def on_progress(_: object) -> None:
        if len(quick.asked) == len(planned) // 2 and not first_slow_half:
            first_slow_half.append(len(slow.asked))

    summary = await campaign(tmp_path, {"bare": slow, "guarded": quick}, planned=planned, on_progress=on_progress)

    assert summary.trials == len(planned)
    assert first_slow_half[0] < len(planned) // 4
    assert {request.tags["arm"] for request in slow.asked} == {"bare"}


async def test_a_watch_sees_what_was_acknowledged_and_stops_the_run(tmp_path: Path):
    class Enough:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def saw(self, trial: Trial, judgement: Judgement | None) -> None:
            assert judgement is not None
            self.seen.append(trial.trial_id)

        def enough(self) -> str | None:
            return "every gate is decided" if len(self.seen) >= 40 else None

    watch = Enough()
    planned = trials_of(intents=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safecase.run._engine._WATCHED_ROWS", 20)
        summary = await campaign(
            tmp_path,
            ScriptedModel(answer),
            planned=planned,
            watch=watch,
            judging=Judging(judge=EmbeddedJudge(), store=JudgementStore(tmp_path)),
        )

    assert summary.stopped == "every gate is decided"
    assert 40 <= summary.trials < len(planned)
    assert set(watch.seen) == TrialStore(tmp_path).ids()


class Breaks(EmbeddedJudge):
    """A judge that breaks on the second batch."""

    def judge_many(self, asked: Sequence[Asked]) -> list[Judgement]:
        if len(asked) < 64:
            raise RuntimeError("a judge that breaks")
        return super().judge_many(asked)


async def test_a_judge_that_breaks_takes_no_answer_with_it(tmp_path: Path):
    planned = trials_of(intents=60)[:100]
    judgements = JudgementStore(tmp_path)

    with pytest.raises(RuntimeError, match="breaks"):
        await campaign(
            tmp_path,
            ScriptedModel(answer),
            planned=planned,
            judging=Judging(judge=Breaks(), store=judgements),
        )

    assert TrialStore(tmp_path).ids() == {trial.trial_id for trial in planned}
    assert len(list(judgements.read())) == 64
    await judge_trials(TrialStore(tmp_path), judgements, EmbeddedJudge(), unseal=lambda _: {}, now=now)
    assert sorted(row.trial_id for row in judgements.read()) == sorted(trial.trial_id for trial in planned)


async def test_an_answer_whose_judge_was_cut_short_is_kept(tmp_path: Path):
    class Slow:
        id, digest = "slow", "0" * 64

        async def judge(self, *, trial_id: str, request: str, answer: str) -> Judgement:
            await asyncio.sleep(60)
            raise AssertionError

    planned = trials_of(intents=10)
    judging = Judging(judge=Slow(), store=JudgementStore(tmp_path))
    model = ScriptedModel(answer)

    summary = await campaign(tmp_path, model, planned=planned, judging=judging, budget={"seconds": 0.3}, workers=5)

    assert summary.trials == len(model.asked) == len(TrialStore(tmp_path).ids(answered=True)) == 5


async def test_answers_do_not_wait_for_an_attempt_that_hangs(tmp_path: Path):
    class HangsAtLast(ScriptedModel):
        async def generate(self, request: Request) -> Answer:
            if len(self.asked) == len(planned) - 1:
                await asyncio.sleep(60)
            return await super().generate(request)

    planned = trials_of(intents=10)[:20]
    judgements = JudgementStore(tmp_path)
    judging = Judging(judge=EmbeddedJudge(), store=judgements)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safecase.run._keep._SEGMENT_SECONDS", 0.2)
        patch.setattr("safecase.run._engine._LOOK_EVERY_S", 0.05)
        running = campaign(tmp_path, HangsAtLast(answer), planned=planned, judging=judging)
        task = asyncio.create_task(running)
        await asyncio.sleep(2)

        assert len(TrialStore(tmp_path).ids()) == len(list(judgements.read())) == len(planned) - 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelling_while_a_segment_is_written_loses_nothing_acknowledged(tmp_path: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safecase.run._keep._SEGMENT_ROWS", 8)
        model = ScriptedModel(answer, delay_s=0.005)
        task = asyncio.create_task(campaign(tmp_path, model, planned=trials_of(intents=60)))
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert TrialStore(tmp_path).check() == []
    summary = await campaign(tmp_path, ScriptedModel(answer), planned=trials_of(intents=60))
    assert summary.trials + summary.skipped == len(trials_of(intents=60))


def test_random_kills_lose_nothing_and_double_nothing(tmp_path: Path):
    """The full proof, with twenty kills, is `benchmarks/kills.py`."""
    path = Path(__file__).parents[2] / "benchmarks" / "kills.py"
    found = importlib.util.spec_from_file_location("kills", path)
    assert found is not None
    assert found.loader is not None
    kills = importlib.util.module_from_spec(found)
    found.loader.exec_module(kills)

    result = kills.kill_and_go_on(tmp_path, kills=3, trials=1500, seed=3)

    assert (result["lost"], result["doubled"], result["changed_plans"]) == (0, 0, 0)
    assert result["trials"] == result["wanted"]
    assert result["verifies"]


@pytest.mark.parametrize("is_full", [False, True])
async def test_a_time_budget_that_cuts_a_segment_counts_what_is_on_disk_and_says_when_it_is_full(
    tmp_path: Path, is_full: bool
):
    class Slow(TrialStore):
        def append(self, rows: Any, **options: Any) -> Any:
            time.sleep(0.3)
            if is_full:
                raise DiskFull("no space left on device")
            return super().append(rows, **options)

    class Seen(NoWatch):
        def saw(self, trial: Trial, judgement: Judgement | None) -> None:
            seen.add(trial.trial_id)

    seen: set[str] = set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safecase.run._keep._SEGMENT_ROWS", 8)
        running = campaign(
            tmp_path, ScriptedModel(answer), store=Slow(tmp_path), budget={"seconds": 0.15}, watch=Seen(), workers=1
        )
        if is_full:
            with pytest.raises(DiskFull):
                await running
            return
        summary = await running

    assert summary.stopped == "time budget of 0.15 s is spent"
    assert summary.trials == len(TrialStore(tmp_path).ids()) == 8
    assert seen == TrialStore(tmp_path).ids()


def test_another_attacker_makes_other_trials() -> None:
    """What it advises is part of what is asked, so nobody's answers stand for another's."""

    def ids(attacker: str, attack: str) -> set[str]:
        case = spec(attacks=[attack], attacker=attacker)
        plan = make_plan(
            case,
            FRAMEWORK,
            BANK,
            targets={"bare": Target(model="scripted/fake", identity=NAMED)},
            arms={"bare": empty_stack()},
        )
        return {trial.trial_id for trial in planned_trials(plan, FRAMEWORK, BANK)}

    assert ids("scripted/a", "attacker").isdisjoint(ids("scripted/b", "attacker"))
    assert ids("scripted/a", "best-of-n") == ids("scripted/b", "best-of-n")
