"""A plan run in shards gives the case one process would have given, whoever dies on the way."""

import asyncio
import datetime as dt
import json
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from safecase.compose import load_shipped_bank
from safecase.declare import Budget, CaseSpec, Generation, load_framework, load_model_spec
from safecase.evidence import (
    AlreadyStored,
    Identity,
    PostKey,
    RemoteSegments,
    SealBroken,
    StorageTrouble,
    TrialStore,
    UnsealedHazard,
    Vault,
    open_folder,
    read_remote,
)
from safecase.models import Answer, BadKey, EndpointError, Model, open_model
from safecase.run import (
    EndpointGone,
    LocalExecutor,
    Lost,
    PackedCase,
    PlanDiffers,
    ShardFailed,
    ShardJob,
    ShardLost,
    ShardReport,
    Spread,
    Target,
    make_plan,
    pack_case,
    planned_trials,
    run_shard,
    run_shards,
    run_trials,
    shard_folder,
    shards_of,
)
from safecase.safeguard import empty_stack
from safecase.testing import DyingOnce, ScriptedModel, StubEndpoint, StubReply

FRAMEWORK = load_framework("scaling-v2")
MODEL_SPEC = load_model_spec("default")
BANK = load_shipped_bank()
RUN = "run"


def now() -> dt.datetime:
    return dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def scripted(script: object = None) -> Callable[[str], Model]:
    return lambda name: ScriptedModel(script or (lambda _: "a plain answer"), name=name)  # type: ignore[arg-type, return-value]


@dataclass
class InlineExecutor:
    """Runs each shard to its end before `submit` returns; `lose` shards lose their worker before they begin."""

    slots: int = 2
    lose: dict[int, int] = field(default_factory=dict)
    starts: int = 0
    jobs: list[ShardJob] = field(default_factory=list)
    ended: list[ShardReport | Lost] = field(default_factory=list)

    def start(self, case: PackedCase) -> None:
        self.case = pickle.loads(pickle.dumps(case))
        self.starts += 1

    def submit(self, job: ShardJob) -> None:
        self.jobs.append(job)
        if self.lose.get(job.number, 0) > 0:
            self.lose[job.number] -= 1
            self.ended.append(Lost(number=job.number, reason="as the test asked"))
            return
        thread = threading.Thread(target=lambda: self.ended.append(run_shard(self.case, job)))  # a loop of its own
        thread.start()
        thread.join()

    def poll(self) -> list[ShardReport | Lost]:
        ended, self.ended = self.ended, []
        return ended

    def close(self) -> None:
        pass


class World:
    """One small case, its plan, and places to run it in."""

    def __init__(self, tmp: Path, *, model: str = "scripted/fake", **sampling: object) -> None:
        sampling = {
            "gates": ["policy.violence.unsafe"],
            "intents": 9,
            "attacks": ["none", "fiction"],
            **sampling,
        }
        self.spec = CaseSpec.model_validate(
            {
                "id": "test",
                "title": "test",
                "framework": "scaling-v2",
                "model": {"name": model, "title": "fake", "safeguard_state": "full"},
                "contexts": ["closed"],
                "safeguards": "none",
                "sampling": sampling,
            }
        )
        self.tmp, self.model, self.storage = tmp, model, str(tmp / "storage")
        identity = Identity(kind="name-only", model=model, digest=None, details={})
        self.plan = make_plan(
            self.spec,
            FRAMEWORK,
            BANK,
            targets={"bare": Target(model=model, identity=identity)},
            arms={"bare": empty_stack()},
        )
        self.planned = list(planned_trials(self.plan, FRAMEWORK, BANK))
        self.packed = pack_case(self.spec, FRAMEWORK, MODEL_SPEC, tmp, plan=self.plan)
        self.folder = open_folder(self.storage)

    async def shards(self, executor: object = None, *, store: TrialStore | None = None, **options: object):
        options.setdefault("opens", scripted())
        options.setdefault("post", None)
        options.setdefault("budget", Budget())
        spread = Spread(
            storage=self.storage, run=RUN, shards=int(options.pop("shards", 4)), poll_s=0.01, collect_s=0.05
        )  # type: ignore[call-overload]
        return await run_shards(
            self.packed,
            self.planned,
            executor=executor or InlineExecutor(),  # type: ignore[arg-type]
            spread=spread,
            models=dict.fromkeys(("bare", "guarded"), self.model),
            store=store or TrialStore(self.tmp / "case"),
            workers=4,
            now=now,
            **options,  # type: ignore[arg-type]
        )

    async def one_process(self, budget: Budget | None = None) -> set[str]:
        store = TrialStore(self.tmp / "single")
        await run_trials(
            self.planned,
            model=ScriptedModel(lambda _: "a plain answer"),
            arms={"bare": empty_stack()},
            generation=Generation(),
            store=store,
            vault=None,
            budget=budget or Budget(),
            workers=4,
            now=now,
        )
        return store.ids()

    def job(self, number: int = 0, *, of: int = 4, **options: object) -> ShardJob:
        job = ShardJob(
            number=number,
            of=of,
            storage=self.storage,
            run=RUN,
            models=dict.fromkeys(("bare", "guarded"), self.model),
            limit=None,
            done=frozenset(),
            failed=frozenset(),
            tokens=None,
            seconds=None,
            workers=4,
            post_box=None,
            opens=scripted(),
        )
        return replace(job, **options)  # type: ignore[arg-type]

    def segments(self) -> list[Path]:
        return sorted(Path(self.storage).rglob("*.parquet"))

    def rows(self):
        return list(TrialStore(self.tmp / "case").read(every_attempt=True))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def alone(packed: PackedCase, job: ShardJob) -> ShardReport:
    """One life of a shard, in a thread with a loop of its own."""
    got: list[ShardReport] = []
    thread = threading.Thread(target=lambda: got.append(run_shard(packed, job)))
    thread.start()
    thread.join()
    return got[0]


def test_the_split_deals_out_whole_intents_evenly_and_depends_on_nothing_else():
    intents = [f"i{n}" for n in range(103)]

    split = shards_of(intents, 8)

    assert split == shards_of(reversed(intents), 8)
    assert set(split) == set(intents)
    assert set(Counter(split.values()).values()) == {12, 13}


@pytest.mark.parametrize("storage", ["path", "memory"])
async def test_shards_give_the_set_of_trial_ids_that_one_process_gives(world: World, storage: str):
    if storage == "memory":
        pytest.importorskip("fsspec", reason="object storage needs fsspec, of the extra `ray`")
        world.storage = f"memory://bucket/{world.tmp.name}"

    summary = await world.shards()

    assert {row.trial_id for row in world.rows()} == await world.one_process()
    assert len(world.rows()) == summary.run.trials == len(world.planned)
    assert TrialStore(world.tmp / "case").check() == []
    assert (summary.shards, summary.lost, summary.damaged) == (4, 0, ())


async def test_an_intent_stays_in_one_shard(world: World):
    await world.shards()

    found = {name: {row.intent_id for row in read_remote(world.folder, name) or ()} for name in world.folder.names(RUN)}
    by_shard: dict[str, set[str]] = {}
    for name, intents in found.items():
        by_shard.setdefault(name.split("/")[1], set()).update(intents)
    assert len(by_shard) == 4
    assert sum(map(len, by_shard.values())) == 9


async def test_nothing_left_to_do_starts_no_cluster(world: World):
    await world.shards()
    executor = InlineExecutor()

    summary = await world.shards(executor)

    assert (executor.starts, summary.run.trials, summary.run.skipped) == (0, 0, len(world.planned))


async def test_a_killed_worker_costs_no_acknowledged_trial_and_doubles_none(tmp_path: Path):
    """A real process dies by SIGKILL in the middle of a shard whose first segment is acknowledged."""
    async with StubEndpoint() as stub:
        world = World(tmp_path, model=stub.target(), intents=40, attacks=[])
        first = await asyncio.to_thread(
            run_shard, world.packed, world.job(0, of=2, workers=1, tokens=400, opens=scripted())
        )
        acknowledged = {row.trial_id for name in first.segments for row in read_remote(world.folder, name) or ()}
        dying = DyingOnce(marker=tmp_path / "died", after=30)
        told: list[str] = []

        summary = await world.shards(LocalExecutor(2), shards=2, opens=dying, say=told.append)

    ids = [row.trial_id for row in world.rows()]
    assert dying.marker.exists()
    assert summary.lost == 1
    assert "lost its worker" in told[0]
    assert acknowledged
    assert sorted(ids) == sorted({trial.trial_id for trial in world.planned})
    asked = len(stub.asked)
    assert asked >= len(ids) - len(acknowledged)  # those were not asked again
    assert summary.run.trials == len(ids) - len(acknowledged)


async def test_an_interrupted_run_keeps_what_its_workers_had(tmp_path: Path):
    """Nothing was due to be written yet: the workers write on their way out."""
    enough = asyncio.Event()

    def reply(_: object) -> StubReply:
        if len(stub.asked) >= 40:
            enough.set()
        return StubReply(delay_s=0.1)

    async with StubEndpoint(reply) as stub:
        world = World(tmp_path, model=stub.target(), intents=40, attacks=[])
        task = asyncio.create_task(world.shards(LocalExecutor(1), opens=open_model))
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert 30 <= len(world.rows()) < len(world.planned)


async def test_a_shard_that_begins_again_does_only_the_rest(world: World):
    calls: list[ScriptedModel] = []

    def opens(name: str) -> ScriptedModel:
        calls.append(ScriptedModel(lambda _: Answer(text="fine", tokens_in=5, tokens_out=5), name=name))
        return calls[-1]

    first = alone(world.packed, world.job(tokens=400, workers=1, opens=opens))
    again = alone(world.packed, world.job(opens=opens))

    wanted = [
        t
        for t in world.planned
        if shards_of({p.scenario.intent_id for p in world.planned}, 4)[t.scenario.intent_id] == 0
    ]
    assert "budget" in (first.stopped or "")
    assert again.fault is None
    had, rest = (len(model.asked) for model in calls)
    assert 0 < had < len(wanted)
    assert rest == len(wanted) - had
    assert len(world.folder.names(shard_folder(RUN, number=0, of=4))) == 2


async def test_a_half_written_segment_is_never_taken_and_its_trials_are_asked_again(world: World):
    report = alone(world.packed, world.job())
    path = Path(world.storage) / report.segments[0]
    path.write_bytes(path.read_bytes()[:-100])

    summary = await world.shards()

    assert summary.damaged == report.segments
    assert summary.run.trials == len(world.rows()) == len(world.planned)


async def test_what_a_killed_driver_left_is_collected_and_not_asked_again(world: World):
    for number in range(4):
        alone(world.packed, world.job(number))
    executor = InlineExecutor()

    summary = await world.shards(executor)

    assert (executor.jobs, summary.run.trials) == ([], 0)
    assert {row.trial_id for row in world.rows()} == await world.one_process()


async def test_another_number_of_shards_goes_on_where_the_last_stopped(world: World):
    alone(world.packed, world.job(1, of=3))
    done = len(read_remote(world.folder, world.folder.names(RUN)[0]) or ())

    summary = await world.shards(shards=5)

    assert summary.run.trials == len(world.planned) - done
    assert len({row.trial_id for row in world.rows()}) == len(world.rows()) == len(world.planned)


async def test_a_segment_in_another_shards_folder_is_refused(world: World):
    (name,) = alone(world.packed, world.job(0)).segments
    source = Path(world.storage) / name
    other = Path(world.storage) / shard_folder(RUN, number=1, of=4) / source.name
    other.parent.mkdir(parents=True)
    source.rename(other)

    with pytest.raises(StorageTrouble, match=r"s00001of00004/000000-.*does not belong there"):
        await world.shards()

    assert world.rows() == []


async def test_rows_of_another_plan_are_refused(world: World, tmp_path: Path):
    other = World(tmp_path / "other", seed=1, attacks=["role-play"])
    alone(other.packed, replace(other.job(0), storage=world.storage))

    with pytest.raises(StorageTrouble, match="does not belong there"):
        await world.shards()

    assert world.rows() == []


async def test_of_two_lives_that_both_answered_the_first_stands(world: World, tmp_path: Path):
    """A worker given up for lost may still be at work behind a broken network."""
    alone(world.packed, world.job(opens=scripted(lambda _: "the first answer")))
    elsewhere = World(tmp_path / "elsewhere")
    late = alone(elsewhere.packed, elsewhere.job(opens=scripted(lambda _: "a late answer")))
    await world.shards()
    for name in late.segments:
        world.folder.write(name, elsewhere.folder.read(name))

    summary = await world.shards()

    assert len(world.rows()) == len(world.planned)
    assert "a late answer" not in {row.response for row in world.rows()}
    assert summary.run.trials == 0


async def test_of_two_lives_episodes_one_stands_whole(tmp_path: Path):
    """A late life got further in the same episodes: its later attempts answer a conversation that is not on record."""
    no = "I'm sorry, but I can't help with that."
    world = World(tmp_path, attacks=["retry-persuasion"])
    alone(world.packed, world.job(opens=scripted(lambda _: "I can do that: the first answer")))
    elsewhere = World(tmp_path / "elsewhere", attacks=["retry-persuasion"])
    late = alone(elsewhere.packed, elsewhere.job(opens=scripted(lambda _: no)))
    await world.shards(opens=scripted(lambda _: "I can do that: the first answer"))
    for name in late.segments:
        world.folder.write(name, elsewhere.folder.read(name))

    await world.shards()

    assert {row.attempt for row in world.rows()} == {0}
    assert len(world.rows()) == len(world.planned)


async def test_failed_attempts_are_kept_once_however_often_the_storage_is_read(world: World):
    def opens(name: str) -> ScriptedModel:
        return ScriptedModel(["fine", EndpointError("x"), *["fine"] * 99], name=name)

    failing = await world.shards(opens=opens)
    kept = len(world.rows())
    again = await world.shards()

    assert (failing.run.errors, kept) == (4, len(world.planned))
    assert (again.run.trials, len(world.rows())) == (4, kept + 4)
    assert {row.status for row in TrialStore(world.tmp / "case").read()} == {"answered"}


async def test_prompts_that_an_endpoint_never_answers_do_not_stop_the_same_command(world: World):
    barred = {one.trial_id for one in world.planned[1:14]}  # one more than the first attempts that may all fail

    def opens(name: str) -> ScriptedModel:
        return ScriptedModel(lambda ask: EndpointError("x", status=400) if ask.trace in barred else "fine", name=name)

    await world.shards(opens=opens, shards=1)
    again = await world.shards(opens=opens, shards=1)

    assert again.run.skipped == len(world.planned) - len(barred)
    store = TrialStore(world.tmp / "case")
    assert store.ids() - store.ids(answered=True) == barred


async def test_an_endpoint_that_dies_under_a_worker_pauses_the_run_in_its_own_words(tmp_path: Path):
    world = World(tmp_path, intents=20)

    def opens(name: str) -> ScriptedModel:
        return ScriptedModel([*["fine"] * 2, *[EndpointError("gone")] * 99], name=name)

    with pytest.raises(EndpointGone, match=r"last 25 attempts failed .*harmless question too"):
        await world.shards(opens=opens, shards=1)

    assert len(TrialStore(world.tmp / "case").ids(answered=True)) == 2


async def test_a_wrong_key_on_a_worker_stops_the_run_by_its_own_name_and_keeps_what_was_done(world: World):
    def opens(name: str) -> ScriptedModel:
        return ScriptedModel([*["fine"] * 2, BadKey("no key for that host")], name=name)

    with pytest.raises(BadKey, match="no key for that host"):
        await world.shards(opens=opens)

    assert len(world.rows()) == 2 * 2  # of both shards that were at work


async def test_a_bug_on_a_worker_names_shard_machine_and_traceback(world: World):
    def opens(name: str) -> Model:
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ShardFailed, match=r"shard 0 on .*ZeroDivisionError: by nothing") as caught:
        await world.shards(opens=opens)

    assert "in opens" in caught.value.__notes__[0]


async def test_a_shard_whose_workers_die_again_and_again_ends_the_run_and_a_rarer_loss_does_not(world: World):
    summary = await world.shards(InlineExecutor(lose={2: 3}))
    assert (summary.lost, len(world.rows())) == (3, len(world.planned))

    world = World(world.tmp / "again")
    with pytest.raises(ShardLost, match="shard 2 died 4 times"):
        await world.shards(InlineExecutor(lose={2: 4}))


async def test_a_limit_takes_the_very_trials_that_one_process_takes(world: World):
    await world.shards(budget=Budget(trials=7))

    assert {row.trial_id for row in world.rows()} == await world.one_process(Budget(trials=7))


async def test_a_token_budget_holds_over_all_shards(world: World):
    def opens(name: str) -> ScriptedModel:
        return ScriptedModel(lambda _: Answer(text="fine", tokens_in=5, tokens_out=5), name=name, concurrency=1)

    summary = await world.shards(budget=Budget(tokens=1600), opens=opens)

    assert 0 < summary.run.trials < len(world.planned)
    assert summary.run.tokens <= 1600
    assert "token budget" in (summary.run.stopped or "")


async def test_a_worker_with_another_bank_is_refused(world: World):
    changed = replace(world.packed, plan=world.packed.plan.replace(world.plan.bank_digest.encode(), b"0" * 64))

    report = alone(changed, world.job())

    assert report.fault
    assert report.fault.kind == PlanDiffers.__name__
    assert "bank_digest differ" in report.fault.line


async def test_private_banks_and_stacks_travel_by_value(tmp_path: Path):
    rows = "\n".join(
        f'{{"id": "b{i}", "domain": "content-policy", "category": "violence", "text": "request {i}"}}' for i in range(5)
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "bank.jsonl").write_text(rows)
    (tmp_path / "stack.yaml").write_text("id: own\nversion: '1'\nlayers: []\n")
    pair = {"id": "t-1", "axis": "left-right", "topic": "t", "task": "essay", "request": "Argue that {position}."}
    (tmp_path / "deep" / "pairs.jsonl").write_text(json.dumps({**pair, "a": "one", "b": "other"}))
    spec = World(tmp_path / "w").spec.model_copy(update={"safeguards": "stack.yaml"})
    own = {"banks": [{"path": "deep/bank.jsonl", "held_out": True}], "balance": {"pairs_bank": "deep/pairs.jsonl"}}
    spec = CaseSpec.model_validate({**spec.model_dump(), **own})
    from safecase.run import case_intents, stacks

    intents, arms = case_intents(spec, tmp_path), stacks(spec, MODEL_SPEC, tmp_path)
    identity = Identity(kind="name-only", model="scripted/fake", digest=None, details={})
    plan = make_plan(
        spec,
        FRAMEWORK,
        intents,
        targets=dict.fromkeys(arms, Target(model="scripted/fake", identity=identity)),
        arms=arms,
    )
    packed = pack_case(spec, FRAMEWORK, MODEL_SPEC, tmp_path, plan=plan)
    world = World(tmp_path / "w")

    report = alone(packed, world.job(0, of=1))

    assert report.fault is None
    rows_found = [row for name in report.segments for row in read_remote(world.folder, name) or ()]
    assert {row.trial_id for row in rows_found} == {t.trial_id for t in planned_trials(plan, FRAMEWORK, intents)}
    assert all(row.held_out == row.intent_id.startswith("b") for row in rows_found)
    assert {row.arm for row in rows_found} == {"bare", "guarded"}
    assert b"deep/" not in packed.spec


async def test_hazardous_answers_travel_sealed_and_no_key_goes_to_a_worker(tmp_path: Path):
    world = World(tmp_path, gates=["chem-bio.refusal"], intents=6, attacks=["none"])
    vault = Vault.open("test", tmp_path / "keys" / "k", create=True)
    secret = (tmp_path / "keys" / "k").read_text().strip()
    post = PostKey(vault, RUN)
    executor = InlineExecutor()

    await world.shards(executor, post=post, opens=scripted(lambda _: "SECRET-MARK in an answer"))

    rows = world.rows()
    sent = pickle.dumps([replace(job, opens=print) for job in executor.jobs]) + pickle.dumps(world.packed)  # type: ignore[arg-type]
    assert len(rows) == len(world.planned)
    assert all(row.response is None and row.sealed for row in rows)
    assert vault.unseal(rows[0].sealed or b"", rows[0].trial_id).startswith("SECRET-MARK")
    assert bytes.fromhex(secret) not in sent
    assert secret.encode() not in sent
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"SECRET-MARK" in path.read_bytes() for path in files)


def test_a_post_box_opens_only_for_its_vault_run_and_trial(tmp_path: Path):
    vault = Vault.open("a", tmp_path / "a", create=True)
    other = Vault.open("b", tmp_path / "b", create=True)
    post = PostKey(vault, "one")
    blob = post.box.seal("an answer", "t1")

    assert vault.unseal(PostKey(vault, "one").take_over(blob, "t1"), "t1") == "an answer"
    for key, trial in ((PostKey(vault, "two"), "t1"), (PostKey(other, "one"), "t1"), (post, "t2")):
        with pytest.raises(SealBroken):
            key.take_over(blob, trial)
    with pytest.raises(SealBroken):
        post.take_over(blob[:-1] + bytes([blob[-1] ^ 1]), "t1")
    with pytest.raises(SealBroken):
        post.take_over(b"", "t1")


async def test_a_shards_sink_refuses_what_a_store_refuses(world: World, tmp_path: Path):
    report = alone(world.packed, world.job())
    rows = read_remote(world.folder, report.segments[0]) or []
    sink = RemoteSegments(world.folder, shard_folder(RUN, number=0, of=4))

    with pytest.raises(AlreadyStored):
        sink.append(rows)
    with pytest.raises(AlreadyStored):
        RemoteSegments(world.folder, "elsewhere").append([rows[0], rows[0]])
    with pytest.raises(UnsealedHazard):
        RemoteSegments(world.folder, "elsewhere").append([replace(rows[0], domain="cyber")])
    assert sink.ids() == {row.trial_id for row in rows}
    assert world.folder.names("elsewhere") == []


def test_a_storage_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageTrouble, match=r"file: cannot write there \(NotADirectoryError|FileExistsError"):
        open_folder(str(tmp_path / "file")).write("a/b.parquet", b"")
    pytest.importorskip("fsspec", reason="object storage needs fsspec, of the extra `ray`")
    with pytest.raises(StorageTrouble, match="nonsense://x: cannot open there"):
        open_folder("nonsense://x")


async def test_shards_that_write_where_the_driver_cannot_read_are_noticed(world: World):
    class Elsewhere(InlineExecutor):
        def submit(self, job: ShardJob) -> None:
            super().submit(replace(job, storage=str(world.tmp / "a disk of its own")))

    with pytest.raises(StorageTrouble, match="cannot be read here; name a place that every machine reaches"):
        await world.shards(Elsewhere())
