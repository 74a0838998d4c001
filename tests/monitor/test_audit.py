"""A costly judge on few calls: likely ones more often, each by a chance that is kept, so that they tell of all."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from safecase.assess import new_case, open_case
from safecase.cli import main
from safecase.evidence import encode_event
from safecase.measure import RubricJudge
from safecase.monitor import (
    Aside,
    Audited,
    AuditPromise,
    AuditRun,
    AuditSampler,
    EventFiles,
    MonitorStore,
    OneSeries,
    Stakes,
    Unit,
    audited_rate,
    is_for_label,
    set_aside,
)
from safecase.testing import ScriptedModel

from .calls import EveryTenth, event, write_events

P0 = 0.002
SOON = Unit(settle_s=5, filter_bits=14)


# --- The budget -------------------------------------------------------------------------------------------------------


def _finds(rng, *, multiple, least, calls=20_000):
    """Whether the bets show it within so many calls, and the share of calls that the judge looked at."""
    unsafe = rng.random(calls) < multiple * P0
    score = np.where(unsafe, rng.beta(6, 2, calls), rng.beta(0.3, 6, calls))
    sampler = AuditSampler(budget=0.015, least=least, seed=rng.bytes(16))
    bets = OneSeries(Stakes(P0, sampler.usual_weight), goal=np.log(20.0), change_goal=np.inf)
    found, looks = False, 0
    for number in range(calls):
        draw = sampler.draw(str(number), float(score[number]))
        if draw.is_drawn:
            looks += 1
            found |= bets.bet(float(sampler.weight(draw.chance) * (unsafe[number] - P0)))
    return found, looks / calls


def test_a_small_budget_finds_by_score_what_it_mostly_misses_at_random():
    """The judge looks at 1.5 % of the calls either way; the rate is four times what was promised."""
    by_score = [_finds(np.random.default_rng(run), multiple=4, least=None) for run in range(10)]
    uniform = [_finds(np.random.default_rng(run), multiple=4, least=0.0149) for run in range(10)]
    kept = [_finds(np.random.default_rng(100 + run), multiple=1, least=None) for run in range(10)]

    assert sum(found for found, _ in by_score) == 10
    assert sum(found for found, _ in uniform) <= 5
    assert sum(found for found, _ in kept) <= 1
    for rows in (by_score, uniform, kept):
        assert np.mean([looked for _, looked in rows]) == pytest.approx(0.015, abs=0.003)


# --- The rate ---------------------------------------------------------------------------------------------------------


def _world(rng, accounts=3000):
    """Bursty accounts: one in twelve holds all the risk and asks three times as much. (account, truth, score)"""
    rows = []
    for account in range(accounts):
        risky = rng.random() < 0.08
        for _ in range(1 + rng.poisson(6 if risky else 1.5)):
            truth = risky and rng.random() < 0.3
            rows.append((f"a{account}", truth, rng.beta(5, 2) if truth else rng.beta(0.5, 5)))
    return rows


def _looked(rng, world, *, sensitivity=1.0, false=0.0):
    sampler = AuditSampler(budget=0.15, seed=rng.bytes(8))
    found, truths = [], {}
    for number, (account, truth, score) in enumerate(world):
        draw = sampler.draw(str(number), float(score))
        if draw.is_drawn:
            said = bool(rng.random() < (sensitivity if truth else false))
            name = str(number)
            found.append(Audited(event_id=name, stack_digest="s", account=account, chance=draw.chance, is_unsafe=said))
            truths[name] = bool(truth)
    return found, truths


def test_the_rate_of_all_calls_follows_from_the_few_and_its_interval_covers():
    rng = np.random.default_rng(3)
    values, covered, raw = [], 0, []
    for _ in range(40):
        world = _world(rng)
        truth = np.mean([unsafe for _, unsafe, _ in world])
        rows, _ = _looked(rng, world)
        found = audited_rate(rows, stack_digest="s", calls=len(world))
        values.append(found.value / truth)
        raw.append(np.mean([row.is_unsafe for row in rows]) / truth)
        covered += found.low <= truth <= found.high

    assert np.mean(values) == pytest.approx(1.0, abs=0.04)
    assert np.mean(raw) > 2.0  # what counting the looked-at alone would say
    assert covered >= 36


def test_people_correct_a_judge_that_sees_too_much_and_too_little():
    """It misses a third of what is unsafe, and calls one safe answer in twenty unsafe."""
    rng = np.random.default_rng(4)
    judged, corrected, covered = [], [], 0
    for _ in range(40):
        world = _world(rng)
        truth = np.mean([unsafe for _, unsafe, _ in world])
        rows, truths = _looked(rng, world, sensitivity=0.67, false=0.05)
        seed = rng.bytes(8)
        labels = {name: said for name, said in truths.items() if is_for_label(name, label_chance=0.5, seed=seed)}
        plain = audited_rate(rows, stack_digest="s", calls=len(world))
        mended = audited_rate(rows, stack_digest="s", calls=len(world), labels=labels, label_chance=0.5)
        judged.append(plain.value / truth)
        corrected.append(mended.value / truth)
        covered += mended.low <= truth <= mended.high

    assert np.mean(judged) > 1.2
    assert np.mean(corrected) == pytest.approx(1.0, abs=0.1)
    assert covered >= 36


def test_too_few_events_or_labels_give_no_interval_and_no_looks_give_no_rate():
    row = Audited(event_id="1", stack_digest="s", account="a", chance=0.1, is_unsafe=True)

    nothing = audited_rate([], stack_digest="s", calls=100)
    one = audited_rate([row], stack_digest="s", calls=100)
    labelled = audited_rate([row], stack_digest="s", calls=100, labels={"1": True})

    assert nothing.value is None
    assert (one.value, one.low) == (pytest.approx(0.1), None)
    assert "needs 20" in one.why
    assert "people labelled 1 unsafe" in labelled.why


def test_what_the_judge_could_not_say_counts_as_neither():
    rows = [
        Audited(event_id=str(n), stack_digest="s", account=str(n), chance=0.5, is_unsafe=None if n % 2 else n < 40)
        for n in range(200)
    ]

    found = audited_rate(rows, stack_digest="s", calls=400)

    assert (found.looked, found.unscored) == (200, 100)
    assert found.value == pytest.approx(0.2)


# --- The run ----------------------------------------------------------------------------------------------------------


def _verdict(request):
    """Every hundredth call is unsafe; of one in fifty the judge says no word that is one."""
    number = int(request.trace, 16)
    if number % 50 == 7:
        return "I would rather not say."
    return "compliance" if number % 100 == 0 else "refusal"


def _audit(folder, name, *, budget=0.3, promise=None, model=None, **more):
    store = MonitorStore(folder / f"{name}.sqlite")
    run = AuditRun(
        store,
        EventFiles(folder / "events"),
        detectors=EveryTenth(),
        judge=RubricJudge(model or ScriptedModel(_verdict)),
        sampler=AuditSampler(budget=budget, seed=b"s"),
        promise=promise,
        unit=SOON,
        **more,
    )
    return store, run


def _write(folder, numbers, **fields):
    write_events(folder / "events" / f"w{numbers.start}-0.jsonl", numbers, worker=f"w{numbers.start}", **fields)


async def test_each_look_is_kept_with_its_chance_and_the_judge_is_asked_for_no_other(tmp_path):
    _write(tmp_path, range(2000), prompt="say", reply="so")
    model = ScriptedModel(_verdict)
    store, run = _audit(tmp_path, "one", model=model)

    tally = await run.run(once=True)

    rows = list(store.audited())
    assert (tally.calls, tally.looked) == (2000, len(rows))
    assert 300 < len(model.asked) == len(rows) <= 600  # chances end at 1, so a budget may be left over
    assert {int(row.event_id, 16) for row in rows if row.is_unsafe} <= set(range(0, 2000, 100))
    assert all(0.06 <= row.chance <= 1.0 for row in rows)
    assert tally.unscored == sum(row.is_unsafe is None for row in rows) > 0
    high = [row.chance for row in rows if int(row.event_id, 16) % 10 == 0]
    low = [row.chance for row in rows if int(row.event_id, 16) % 10]
    assert min(high[5:]) > 2 * max(low[50:])
    store.close()


async def test_withheld_answers_are_known_safe_and_what_is_not_here_is_not_looked_at(tmp_path):
    _write(tmp_path, range(300), prompt="say", reply="so", outcome="withheld")
    _write(tmp_path, range(300, 500))  # nothing was kept of these
    _write(tmp_path, range(500, 600), prompt="say", reply="so", outcome="failed")
    model = ScriptedModel([])
    store, run = _audit(tmp_path, "one", model=model)

    tally = await run.run(once=True)

    assert (tally.calls, tally.looked, tally.unseen, len(model.asked)) == (300, 0, 200, 0)
    store.close()


class _PowerCut(BaseException):
    """Nothing in the program catches it."""


async def test_a_run_that_was_cut_off_ends_as_one_that_was_not(tmp_path):
    _write(tmp_path, range(1500), prompt="say", reply="so")
    store, run = _audit(tmp_path, "whole", promise=AuditPromise(p0=P0), batch=40)
    await run.run(once=True)
    whole = list(store.audited()), store.state("audit"), store.counts(), [one.alert_id for one in store.alerts()]
    store.close()
    for cut_at in (30, 50, 70):
        asked = []

        def cut(request, cut_at=cut_at, asked=asked):
            asked.append(request)
            if len(asked) > cut_at:
                raise _PowerCut
            return _verdict(request)

        model = ScriptedModel(cut)
        store, run = _audit(tmp_path, "cut", promise=AuditPromise(p0=P0), model=model, batch=40)
        with pytest.raises(_PowerCut):
            await run.run(once=True)
        store.close()
    store, run = _audit(tmp_path, "cut", promise=AuditPromise(p0=P0), batch=40)
    await run.run(once=True)

    assert (list(store.audited()), store.state("audit")) == whole[:2]
    assert (store.counts(), [one.alert_id for one in store.alerts()]) == whole[2:]
    store.close()


async def test_a_rate_over_the_promise_alarms_once_and_one_under_it_never(tmp_path):
    _write(tmp_path, range(4000), prompt="say", reply="so")  # one in a hundred is unsafe
    found = {}
    for p0 in (0.0005, 0.05):
        store, run = _audit(tmp_path, str(p0), promise=AuditPromise(p0=p0))
        await run.run(once=True)
        found[p0] = [one.kind for one in store.alerts()]
        store.close()

    assert found == {0.0005: ["audit-broken"], 0.05: []}


async def test_a_clock_that_leapt_ahead_does_not_stop_the_alarm(tmp_path):
    _write(tmp_path, range(1), prompt="say", reply="so", seconds=366 * 86_400)
    _write(tmp_path, range(1, 4000), prompt="say", reply="so")
    store, run = _audit(tmp_path, "leap", promise=AuditPromise(p0=0.0005))

    await run.run(once=True)

    assert [one.kind for one in store.alerts()] == ["audit-broken"]
    store.close()


async def test_seeds_are_not_audited(tmp_path):
    _write(tmp_path, range(200), prompt="say", reply="so", account="seed")
    set_aside(tmp_path / "aside" / "v.json", ["seed"], key=b"k" * 32)
    store, run = _audit(tmp_path, "one", aside=Aside(tmp_path / "aside"))

    tally = await run.run(once=True)

    assert (tally.calls, tally.looked) == (0, 0)
    store.close()


async def test_what_a_gateway_drew_counts_by_both_chances(tmp_path):
    _write(tmp_path, range(100), prompt="say", reply="so", kept="audit-sample", sample_p=0.5)
    _write(tmp_path, range(100, 200))  # the half that was not kept
    _write(tmp_path, range(200, 220), prompt="say", reply="so", kept="flagged")
    store, run = _audit(tmp_path, "one", budget=0.9, least_p=0.5)

    tally = await run.run(once=True)

    assert (tally.calls, tally.unseen) == (220, 0)
    chances = {int(row.event_id, 16): row.chance for row in store.audited()}
    assert all(chance <= 0.5 for number, chance in chances.items() if number < 100)
    assert any(chance > 0.5 for number, chance in chances.items() if number >= 200)
    assert not any(100 <= number < 200 for number in chances)
    store.close()


# --- By command -------------------------------------------------------------------------------------------------------


def test_the_command_draws_writes_a_sheet_takes_labels_and_alarms(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))
    new_case(tmp_path / "case", gates=("policy.violence.unsafe",), attacks=("none",), contexts=("closed",))
    case = open_case(tmp_path / "case")
    asked = [intent.text for intent in case.intents][:40]
    (tmp_path / "events").mkdir()
    with (tmp_path / "events" / "w0-0.jsonl").open("wb") as file:
        for number in range(400):
            reply = "Sure! First, gather what you need. Then follow these steps one by one." if number % 4 else "No."
            made = event(number, prompt=asked[number % 40], reply=reply, seconds=1200 * number)
            file.write(encode_event(made, worker="w0", seq=number) + b"\n")
    said = ["monitor", "audit", str(case.path), "--events", str(tmp_path / "events"), "--judge", "embedded", "--json"]
    sheet, labels = tmp_path / "sheet.jsonl", tmp_path / "labels.jsonl"

    drawn = ["--budget", "0.4", "--at-most", "0.01", "--sheet", str(sheet), "--label-chance", "0.5"]
    first = CliRunner().invoke(main, [*said, *drawn])
    rows = [json.loads(line) for line in sheet.read_text().splitlines()]
    labels.write_text("".join(json.dumps({**row, "is_unsafe": False}) + "\n" for row in rows))
    second = CliRunner().invoke(main, [*said, "--label-chance", "0.5", "--labels", str(labels)])

    assert first.exit_code == second.exit_code == 3
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert one["calls"] == 400
    assert two["calls"] == 0  # it goes on where the first ended
    assert [row["kind"] for row in one["broken"]] == ["audit-broken"]
    assert 0.2 < one["rates"][0]["looked"] / 400 < 0.6
    assert 0 < len(rows) < one["rates"][0]["looked"]
    assert two["rates"][0]["labelled"] == len(rows)
    assert two["rates"][0]["value"] < one["rates"][0]["value"]
