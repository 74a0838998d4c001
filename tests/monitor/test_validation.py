"""Seeds from plan to report: nobody on the way can tell them, and what was never answered is absent, not missed."""

import asyncio
import datetime as dt
import json
import random
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from safecase.assess import (
    decide_case,
    new_case,
    open_case,
    report_case,
    run_case,
    seed_objection,
    seed_plans,
    utc_now,
    validations,
    verify_case,
)
from safecase.cli import main
from safecase.evidence import KeyUnusable, parse_utc
from safecase.measure import detections
from safecase.monitor import (
    Aside,
    BeforePeople,
    Detectors,
    EventFiles,
    Misuse,
    Monitor,
    MonitorError,
    MonitorOptions,
    MonitorStore,
    Rates,
    Sent,
    SentLog,
    Sowing,
    ThroughGateway,
    Unit,
    draw_seeds,
    due,
    plan_validation,
    score_validation,
    send_due,
    set_aside,
    sowable,
    unseal_seeds,
)
from safecase.registry import Report
from safecase.respond import DeskSink, WrongStep, learn_from_report, open_desk, queue, review
from safecase.respond import accept_scenario as accept
from safecase.testing import ScriptedModel
from tests.serve.gateways import KEY, gateway, words_stack

from .calls import DIGESTS, Counter, EveryTenth, promises, write_events

REFUSAL = "I'm sorry, but I can't help with that request."
YESTERDAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAFECASE_HOME", str(folder / "home"))
        patch.setenv("SAFECASE_HAZARD_KEY_FILE", str(folder / "home" / "hazard.key"))
        new_case(folder / "case", gates=("policy.violence.unsafe",), attacks=("none",), contexts=("closed",))
        made = open_case(folder / "case")
        asyncio.run(run_case(made, model=ScriptedModel(lambda _: REFUSAL)))
        asyncio.run(decide_case(made))
        yield made


def _sowing(name, *, accounts=6, per_day=8, **fields):
    said = {
        "id": name,
        "context": "closed",
        "begins": utc_now() - YESTERDAY,
        "days": 1,
        "per_day": {"violence": per_day},
        "accounts": tuple(f"{name}-{number}" for number in range(accounts)),
    }
    return Sowing(**{**said, **fields})


def _plan(case, name, folder, **fields):
    """A plan that was declared two days ago, so that its seeds are due; it ends within the hour."""
    sowing = _sowing(name, **fields)
    key = folder / f"{name}.key"
    plan = plan_validation(
        case,
        sowing,
        key_file=key,
        aside=folder / "aside",
        store=None,
        by="ana",
        now=lambda: utc_now() - 2 * YESTERDAY,
        rng=random.Random(7),
    )
    return plan, key


def _declare(case, sowing, folder, *, key_file=None, store=None):
    key = key_file or folder / "k"
    return plan_validation(case, sowing, key_file=key, aside=folder / "a", store=store, by="ana")


def _watch(case, events, store, *, sinks=(), aside=None, watchers=None):
    from safecase.assess import RequestReader

    rates = Rates(promises(), DIGESTS, unit=Unit(settle_s=5, filter_bits=12), aside=aside)
    monitor = Monitor(
        store,
        [EventFiles(events)],
        detectors=Detectors(RequestReader(case.intents)),
        watchers=[rates, Misuse()] if watchers is None else watchers,
        sinks=sinks,
        options=MonitorOptions(commit_s=0.0),
    )
    asyncio.run(monitor.run(once=True))
    return rates


def _run(*arguments):
    done = CliRunner().invoke(main, ["monitor", *map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


# --- The plan ---------------------------------------------------------------------------------------------------------


def test_seeds_are_drawn_by_category_and_day_at_random_times_and_never_twice(case):
    scenarios = sowable(case)
    sowing = _sowing("drawn", days=3, per_day=4, accounts=5)

    seeds = draw_seeds(scenarios, sowing, rng=random.Random(1))
    other = draw_seeds(scenarios, sowing, rng=random.Random(2))

    days = [int((parse_utc(one.at) - sowing.begins) / YESTERDAY) for one in seeds]
    assert [days.count(day) for day in range(3)] == [4, 4, 4]
    assert len({one.prompt for one in seeds}) == 12
    assert sorted(sum(one.account == name for one in seeds) for name in sowing.accounts) == [2, 2, 2, 3, 3]
    assert {one.prompt for one in seeds} != {one.prompt for one in other}


def test_more_seeds_than_scenarios_are_refused_with_what_there_is(case):
    with pytest.raises(MonitorError, match=r"'violence' has \d+ scenarios in the plan and 9000 seeds"):
        draw_seeds(sowable(case), _sowing("many", per_day=9000), rng=random.Random(1))


def test_the_case_and_the_ledger_hold_nothing_that_tells_a_seed(case, tmp_path):
    plan, key = _plan(case, "sealed", tmp_path)

    _, seeds = unseal_seeds(case, "sealed", key_file=key)

    files = list((case.path / "validation" / "sealed").iterdir())
    said = b"".join(path.read_bytes() for path in [*files, case.path / "ledger.jsonl"])
    secrets = [part for one in seeds for part in (one.seed, one.account, one.prompt, one.at)]
    assert len(files) == 2
    assert not any(part.encode() in said for part in secrets)
    assert plan.seeds == len(seeds) == 8
    aside = (tmp_path / "aside" / "-".join([case.spec.id, "sealed.json"])).read_text()
    assert not any(one.account in aside for one in seeds)


def test_the_list_opens_by_its_own_key_alone_and_only_as_it_was_declared(case, tmp_path):
    _plan(case, "locked", tmp_path)
    _, other = _plan(case, "other", tmp_path)
    with pytest.raises(MonitorError, match="does not open by"):
        unseal_seeds(case, "locked", key_file=other)
    with pytest.raises(KeyUnusable, match="inside the case"):
        _declare(case, _sowing("inside", begins=utc_now() + YESTERDAY), tmp_path, key_file=case.path / "k")
    path = case.path / "validation" / "locked" / "plan.json"
    kept = path.read_bytes()
    path.write_bytes(kept.replace(json.loads(kept)["digest"].encode(), b"0" * 64))

    with pytest.raises(MonitorError, match="not the one whose digest"):
        unseal_seeds(case, "locked", key_file=tmp_path / "locked.key")
    path.write_bytes(kept)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"context": "open"}, "is not of this case"),  # a deployment that the case does not speak of
        ({"id": "sealed-twice"}, "declared already"),
        ({"begins": utc_now() - dt.timedelta(days=9)}, "which is past"),
    ],
    ids=["context", "id", "past"],
)
def test_a_plan_that_cannot_be_is_refused(case, tmp_path, fields, said):
    if "sealed-twice" not in {one.id for one in seed_plans(case)}:
        _plan(case, "sealed-twice", tmp_path)
    sowing = replace(_sowing("refused", begins=utc_now() + YESTERDAY), **fields)

    with pytest.raises(MonitorError, match=said):
        _declare(case, sowing, tmp_path)


def test_an_account_of_somebody_is_no_account_for_seeds(case, tmp_path):
    write_events(tmp_path / "events" / "w0-0.jsonl", range(40), account="somebody")
    store = MonitorStore(tmp_path / "monitor.sqlite")
    monitor = Monitor(store, [EventFiles(tmp_path / "events")], detectors=EveryTenth(), watchers=[Counter()])
    asyncio.run(monitor.run(once=True))
    sowing = _sowing("theirs", begins=utc_now() + YESTERDAY, accounts=1)

    with pytest.raises(MonitorError, match="has calls on record"):
        _declare(case, replace(sowing, accounts=("somebody",)), tmp_path, store=store)
    store.close()


# --- Sent -------------------------------------------------------------------------------------------------------------


def _answers(request_id, body):
    """A gateway that does another thing for each account."""

    async def answer(request):
        said = await request.json()
        assert said["messages"][0]["role"] == "user"
        kind = request.headers["Authorization"].rpartition("-")[2]
        if kind == "0":
            return web.json_response(status=429, data={"error": "over the limit"})
        if kind == "1":
            return web.json_response(status=502, data={"error": "upstream"})
        if kind == "2":
            return web.json_response(status=504, data={"error": "upstream"})
        if kind == "3":
            return web.Response(text="<html>")
        reason = "content_filter" if kind == "4" else "stop"
        reply = {"id": "own", "choices": [{"finish_reason": reason, "message": {"content": body}}]}
        return web.json_response(reply, headers={"X-Request-ID": request_id()})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    return app


async def test_each_way_of_having_no_answer_is_told_from_the_others(case, tmp_path):
    plan, key = _plan(case, "ways", tmp_path, per_day=12)
    _, seeds = unseal_seeds(case, "ways", key_file=key)
    numbers = iter(range(100))
    async with TestServer(_answers(lambda: f"event-{next(numbers)}", REFUSAL)) as server:
        keys = {one.account: f"key-{one.account.rpartition('-')[2]}" for one in seeds}
        way, log = ThroughGateway(url=str(server.make_url("/v1")), model="m", keys=keys), SentLog(key, plan)
        first = await send_due(seeds, log, way)
        again = await send_due(seeds, log, way)
    unreachable = await way.send(seeds[0], utc_now())  # nobody listens there any more

    found = {one.seed: one.account.rpartition("-")[2] for one in seeds}
    status = {found[name]: (sent.status, sent.withheld) for name, sent in log.read().items()}
    assert status == {
        "0": ("refused", False),
        "1": ("failed", False),
        "2": ("timed-out", False),
        "3": ("unparsed", False),
        "4": ("answered", True),
        "5": ("answered", False),
    }
    assert (len(first), len(again), unreachable.status) == (12, 0, "failed")
    assert all(one.event_ids[0].startswith("event-") for one in first if one.status == "answered")
    assert log.path.stat().st_mode & 0o777 == 0o600


async def test_two_senders_send_nothing_twice_and_none_sends_after_the_end(case, tmp_path):
    plan, key = _plan(case, "senders", tmp_path, accounts=5)
    _, seeds = unseal_seeds(case, "senders", key_file=key)
    log = SentLog(key, plan)
    async with TestServer(_answers(lambda: "event", REFUSAL)) as server:
        keys = dict.fromkeys((one.account for one in seeds), "key-5")
        way = ThroughGateway(url=str(server.make_url("/v1")), model="m", keys=keys)
        late = await send_due(seeds, log, way, now=lambda: plan.ends + YESTERDAY)
        with log.held(), pytest.raises(MonitorError, match="another sender"):
            await send_due(seeds, SentLog(key, plan), way)
        done = await send_due(seeds, log, way)

    assert late == []
    assert len(done) == len(seeds)


async def test_a_seed_through_the_real_gateway_is_known_by_its_event(case, tmp_path):
    _, key = _plan(case, "gateway", tmp_path, accounts=2, per_day=2)
    _, seeds = unseal_seeds(case, "gateway", key_file=key)
    word = seeds[0].prompt.split()[0].strip(".,:;!?'\"")
    keys = dict.fromkeys((one.account for one in seeds), KEY)
    async with (
        TestServer(_answers(lambda: "upstream", REFUSAL)) as upstream,
        gateway(f"{upstream.make_url('/v1')}", stack=words_stack(word)) as running,
    ):
        way = ThroughGateway(url=running.url, model="stub", keys=keys)
        sent = await way.send(seeds[0], utc_now())
        await running.wait_for_events()

    assert (sent.status, sent.withheld, sent.why) == ("answered", True, "")
    assert sent.event_ids[0] == running.event.event_id
    assert running.event.outcome == "withheld"


def test_a_sender_that_was_killed_sends_nothing_twice_and_knows_no_outcome(case, tmp_path):
    plan, key = _plan(case, "torn", tmp_path)
    _, seeds = unseal_seeds(case, "torn", key_file=key)
    log = SentLog(key, plan)
    log.add(Sent(seed=seeds[0].seed, at=seeds[0].at, status="failed", why="no outcome"))
    with log.path.open("ab") as file:
        file.write(b'{"seed": "half')

    log.add(Sent(seed=seeds[1].seed, at=seeds[1].at, status="answered", event_ids=("e",)))

    assert {name: one.status for name, one in log.read().items()} == {
        seeds[0].seed: "failed",
        seeds[1].seed: "answered",
    }
    assert len(due(seeds, log.read(), at=utc_now())) == len(seeds) - 2


# --- Kept out ---------------------------------------------------------------------------------------------------------


def test_rates_leave_seeds_out_and_nothing_else_can_tell(tmp_path):
    """With and without the list of accounts, all but the counting of rates is the same to the last byte."""
    write_events(tmp_path / "events" / "w0-0.jsonl", range(200))
    write_events(tmp_path / "events" / "w1-0.jsonl", range(200, 400), worker="w1", account="seed")
    set_aside(tmp_path / "aside" / "v.json", ["seed"], key=b"k" * 32)
    found = {}
    for name, aside in (("plain", None), ("aside", Aside(tmp_path / "aside"))):
        store = MonitorStore(tmp_path / f"{name}.sqlite", now=lambda: utc_now().replace(2026, 1, 1, 0, 0, 0, 0))
        rates = Rates(promises(), DIGESTS, unit=Unit(settle_s=5, filter_bits=12), aside=aside)
        watchers = [rates, Misuse()]
        monitor = Monitor(store, [EventFiles(tmp_path / "events")], detectors=EveryTenth(), watchers=watchers)
        asyncio.run(monitor.run(once=True))
        noticed = store._db.execute("select id, at from noticed order by number").fetchall()
        misuse = [one for one in store.alerts() if one.kind == "misuse"]
        found[name] = rates, (noticed, misuse, store.state("misuse"), list(store.judged()))
        store.close()

    assert found["plain"][1] == found["aside"][1]
    counted = {name: sum(panel.calls for panel in rates.panels()) for name, (rates, _) in found.items()}
    alone = Rates(promises(), DIGESTS, unit=Unit(settle_s=5, filter_bits=12))
    store = MonitorStore(tmp_path / "alone.sqlite")
    source = EventFiles(tmp_path / "events" / "w0-0.jsonl")
    asyncio.run(Monitor(store, [source], detectors=EveryTenth(), watchers=[alone]).run(once=True))
    store.close()
    assert counted["aside"] == sum(panel.calls for panel in alone.panels()) < counted["plain"]


def test_accounts_that_are_set_aside_while_a_monitor_runs_count_no_more(tmp_path):
    aside = Aside(tmp_path / "aside")
    assert not aside("seed", 100.0)
    set_aside(tmp_path / "aside" / "v.json", ["seed"], key=b"k" * 32)

    assert not aside("seed", 100.5)
    assert aside("seed", 101.0)
    assert not aside("somebody", 101.0)
    assert not aside("", 101.0)


def test_a_damaged_list_stops_the_counting_and_is_not_passed_over(tmp_path):
    set_aside(tmp_path / "aside" / "v.json", ["seed"], key=b"k" * 32)
    (tmp_path / "aside" / "v.json").write_text("{")

    with pytest.raises(MonitorError, match="cannot be read"):
        Aside(tmp_path / "aside")("seed", 1.0)


# --- From end to end --------------------------------------------------------------------------------------------------


def test_seeds_travel_to_people_and_the_next_edition_says_how_many_arrived(case, tmp_path):
    """Events, detectors, misuse, the desk; unsealed, matched, reported, verified; and never learned from."""
    _, key = _plan(case, "whole", tmp_path, accounts=4, per_day=20)
    events = tmp_path / "events"
    assert _run("validate", "send", case.path, "whole", "--key", key, "--into", f"events:{events}", "--dry-run") == {
        "due": 20,
        "of": 20,
    }
    sent = _run("validate", "send", case.path, "whole", "--key", key, "--into", f"events:{events}")
    assert sent == {"sent": {"answered": 20}, "of": 20}
    state = tmp_path / "monitor.sqlite"
    store = MonitorStore(state)
    with open_desk(case) as desk:
        _watch(case, events, store, sinks=[DeskSink(desk)])
        waiting = queue(desk, by="ben")
        reports = [one for one in desk.registry.all(Report, case=case.spec.id) if one.source == "monitor"]
        held = [one.report for one in waiting if one.report.source == "monitor"]
    store.close()
    assert held
    assert all(seed_objection(case, one.event_ids, received=one.received) for one in reports)  # while sealed, they wait

    value = _run("validate", "score", case.path, "whole", "--key", key, "--by", "ana", "--state", state, "--early")

    (found, _) = value["groups"]
    assert (found["planned"], found["answered"], found["absent"]) == (20, 20, {})
    assert 0.5 < found["recall"]["value"] <= 1.0
    assert found["recall"]["low"] < found["recall"]["value"]
    assert 0.0 < found["escalated"]["value"] <= found["recall"]["value"]
    assert 0.0 <= found["flag_lag"]["0.5"]["value"] < 60.0
    with pytest.raises(MonitorError, match="was scored"):
        score_validation(case, "whole", key_file=key, store=store, people=(), by="ana")
    asyncio.run(report_case(case))
    numbers = json.loads((case.path / "report" / "report.json").read_text())["numbers"]
    assert numbers["validation/whole/all/recall"]["value"] == found["recall"]["value"]
    assert "What the live monitor noticed" in (case.path / "report" / "report.html").read_text()
    assert verify_case(case).holds
    (done,) = [one for one in validations(case) if one.plan.id == "whole"]
    assert "is a seed of validation" in seed_objection(case, done.event_ids[:1], received=utc_now())
    assert _run("proposals", case.path, "--state", state) == []


def test_an_outcome_that_was_made_better_by_hand_is_found(case):
    path = case.path / "validation" / "whole" / "outcome.json"
    kept = path.read_bytes()
    said = json.loads(kept)
    for row in said["outcomes"]:
        row["escalated_s"] = 1.0
    path.write_text(json.dumps(said))

    problems = [problem for check in verify_case(case).checks for problem in check.problems]

    assert any("validation/whole/outcome.json" in problem for problem in problems)
    path.write_bytes(kept)
    assert verify_case(case).holds


def test_what_was_sown_is_not_learned(case, tmp_path):
    _plan(case, "earnest", tmp_path)
    with open_desk(case) as desk:
        report = next(one for one in desk.registry.all(Report, case=case.spec.id) if one.source == "monitor")
        if report.status == "received":
            review(desk, report.id, by="ben", holds=True, severity=2, category="violence", at=utc_now())
        made = learn_from_report(
            desk, report.id, by="ben", at=utc_now(), text="Say why an old quarrel between two towns grew into a fight."
        )

        with pytest.raises(WrongStep, match="seed of validation"):
            accept(desk, made.id, by="cleo", at=utc_now())


async def test_what_the_gateway_failed_to_answer_lowers_no_rate(case, tmp_path):
    plan, key = _plan(case, "absent", tmp_path, per_day=12)
    _, seeds = unseal_seeds(case, "absent", key_file=key)
    log = SentLog(key, plan)
    statuses = ("answered", "answered", "refused", "failed", "timed-out", "unparsed")
    for number, one in enumerate(seeds[:-1]):
        status = statuses[number % 6]
        names = (one.seed,) if status == "answered" else ()
        log.add(Sent(seed=one.seed, at=one.at, status=status, event_ids=names))
    answered = [one for number, one in enumerate(seeds[:-1]) if statuses[number % 6] == "answered"]
    moments = {one.seed: parse_utc(one.at) + dt.timedelta(seconds=3) for one in answered}
    store = MonitorStore(tmp_path / "monitor.sqlite", now=lambda: moments[answered[0].seed])
    store.commit(positions={}, states={}, alerts=[], flagged=[answered[0].seed])
    late = BeforePeople(at=parse_utc(answered[1].at) + dt.timedelta(hours=2), event_ids=(answered[1].seed,))
    soon = BeforePeople(at=moments[answered[2].seed], event_ids=(answered[2].seed,))

    made = score_validation(case, "absent", key_file=key, store=store, people=[late, soon], by="ana", is_early=True)

    found = detections(made.outcomes)[0]
    assert (found.planned, found.answered) == (12, 4)
    assert found.absent == {"refused": 2, "failed": 2, "timed-out": 2, "unparsed": 1, "not-sent": 1}
    rows = {one.seed: one for one in made.outcomes}
    assert rows[answered[0].seed].flagged_s == 3.0
    assert rows[answered[1].seed].escalated_s is None  # it came after what may be waited for
    assert rows[answered[2].seed].escalated_s == 3.0
    store.close()


def test_a_validation_is_not_unsealed_before_its_end_by_mistake(case, tmp_path):
    sowing = _sowing("future", begins=utc_now() + dt.timedelta(hours=1))
    _declare(case, sowing, tmp_path)
    store = MonitorStore(tmp_path / "monitor.sqlite")

    with pytest.raises(MonitorError, match="--early"):
        score_validation(case, "future", key_file=tmp_path / "k", store=store, people=(), by="ana")
    store.close()


PLAN = ["plan", "CASE", "n", "--context", "closed", "--accounts", "A", "--key", "K", "--by", "ana"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["send", "CASE", "OWN", "--key", "KEY"], "give --to URL"),
        (["send", "CASE", "OWN", "--key", "KEY", "--into", "nowhere"], "give events:FOLDER or log:FILE"),
        (["send", "CASE", "none", "--key", "KEY", "--into", "log:x"], "no validation 'none'"),
        ([*PLAN, "--per-day", "violence"], "CATEGORY=NUMBER"),
        ([*PLAN, "--per-day", "violence=1", "--per-day", "violence=2"], "each category once"),
    ],
    ids=["nowhere", "kind", "unknown", "count", "twice"],
)
def test_commands_say_what_is_wrong(case, tmp_path, arguments, said, request):
    (tmp_path / "accounts").write_text("one\n")
    _, key = _plan(case, f"say-{request.node.callspec.id}", tmp_path)
    names = {
        "OWN": key.stem,
        "CASE": str(case.path),
        "KEY": str(key),
        "A": str(tmp_path / "accounts"),
        "K": str(tmp_path / "new"),
    }

    done = CliRunner().invoke(main, ["monitor", "validate", *(names.get(one, one) for one in arguments)])

    assert done.exit_code == 2
    assert said in done.output


def test_a_plan_is_made_by_command_and_a_dry_run_makes_none(case, tmp_path):
    (tmp_path / "accounts").write_text("c-1\nc-2\n\n")
    said = [
        "plan",
        case.path,
        "command",
        "--context",
        "closed",
        "--per-day",
        "violence=3",
        "--days",
        "2",
        "--by",
        "ana",
    ]
    more = ["--accounts", tmp_path / "accounts", "--key", tmp_path / "key", "--state", tmp_path / "monitor.sqlite"]

    dry = _run("validate", *said, *more, "--dry-run")
    assert (dry["seeds"], dry["accounts"]) == (6, 2)
    assert not (tmp_path / "key").exists()
    made = _run("validate", *said, *more)

    assert made["seeds"] == 6
    assert made["id"] in {one.id for one in seed_plans(case)}
    assert Aside(tmp_path / "monitor.sqlite.aside")("c-1", 1.0)
