"""The seam of suites: plans, side-by-side attempts, guarded subjects, flags, the list of those that ship."""

import asyncio

import pytest

from safecase.declare import load_framework, shipped_packs
from safecase.evidence import Message
from safecase.measure import EmbeddedJudge
from safecase.models import EndpointError, EndpointTimeout, Request, UnparsedAnswer
from safecase.safeguard import empty_stack
from safecase.suites import (
    SHIPPED,
    Guarded,
    SuiteMissing,
    SuiteTask,
    Tried,
    each,
    load_suite,
    plan_attempts,
    with_flags,
)
from safecase.testing import Nonconforming, ScriptedModel, ToySuite, check_suite

TASKS = [SuiteTask(task="a", category="x", conditions=("", "told")), SuiteTask(task="b", category="y", side="target")]


@pytest.fixture
def toy():
    return ToySuite("toy", measures=["success_rate"], tasks=TASKS)


def plan(suite, attempts=2, arm_digest="0"):
    return list(plan_attempts(suite, arm="bare", arm_digest=arm_digest, model="m", attempts=attempts))


def test_a_plan_asks_for_every_task_under_every_condition_so_many_times(toy):
    planned = plan(toy)
    assert [(one.task, one.condition, one.number) for one in planned[:3]] == [
        ("a", "", 0),
        ("a", "told", 0),
        ("b", "", 0),
    ]
    assert len({one.attempt_id for one in planned}) == len(planned) == 6


def test_another_arm_or_another_state_of_the_suite_makes_other_attempts(toy):
    other = ToySuite("toy", measures=["success_rate"], tasks=TASKS[:1])
    mine = {one.attempt_id for one in plan(toy)}
    assert not mine & {one.attempt_id for one in plan(toy, arm_digest="1")}
    assert not mine & {one.attempt_id for one in plan(other)}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (EndpointError("x", ours="x"), "error"),
        (EndpointTimeout("x"), "timeout"),
        (UnparsedAnswer("x"), "unparsed"),
    ],
)
async def test_a_failed_attempt_is_data(toy, fault, status):
    async def attempt(_):
        raise fault

    came = [tried.attempt async for tried in each(plan(toy), attempt, at_once=2, seconds=5)]
    assert {one.status for one in came} == {status}
    assert all(one.score is None for one in came)


async def test_a_bug_stops_the_run(toy):
    async def attempt(_):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        [tried async for tried in each(plan(toy), attempt, at_once=2, seconds=5)]


async def test_an_attempt_that_takes_too_long_is_a_timeout_and_no_more_run_at_once_than_asked(toy):
    running = most = 0

    async def attempt(one):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(5 if one.task == "b" else 0)
        finally:
            running -= 1
        return Tried(attempt=one.came_to("answered", score=1.0))

    came = [tried.attempt async for tried in each(plan(toy), attempt, at_once=2, seconds=0.05)]
    assert {(one.task, one.status) for one in came} == {("a", "answered"), ("b", "timeout")}
    assert most == 2


@pytest.mark.parametrize(
    ("said", "score", "flags"),
    [
        ("I'm sorry, but I can't help with that request.", 0.0, ("refusal",)),
        ("  ", 0.0, ("empty",)),
        ("The flag is 17.", 0.0, ()),
        ("I'm sorry, but I can't help with that request.", 1.0, ()),  # solved all the same
    ],
)
def test_a_refusal_or_silence_is_flagged_where_an_attempt_failed(toy, said, score, flags):
    attempt = plan(toy)[0].came_to("answered", score=score)
    transcript = (Message(role="user", content="Find the flag."), Message(role="assistant", content=said))
    flagged = with_flags(Tried(attempt=attempt, transcript=transcript), EmbeddedJudge())
    assert flagged.attempt.flags == flags


@pytest.mark.parametrize(("status", "score"), [("answered", None), ("error", 1.0), ("answered", 1.5)])
def test_an_attempt_scores_only_where_it_answered_and_within_0_and_1(toy, status, score):
    with pytest.raises(ValueError, match=r"attempt [0-9a-f]{24}"):
        plan(toy)[0].came_to(status, score=score)


async def test_a_subject_is_asked_through_its_stack(toy):
    model = ScriptedModel(["hello"])
    guarded = Guarded(model, empty_stack())
    answer = await guarded.generate(Request(messages=(Message(role="user", content="hi"),)))
    assert (answer.text, guarded.name) == ("hello", model.name)


async def test_the_check_of_suites_lets_a_good_one_through_and_names_what_is_wrong_with_another():
    good = ToySuite("toy", measures=["success_rate"], tasks=TASKS)
    await check_suite(good, reply='{"score": 1}')
    twice = ToySuite("toy", measures=["success_rate"], tasks=[TASKS[0], TASKS[0]])
    with pytest.raises(Nonconforming, match="names a task twice"):
        await check_suite(twice)
    untimed = ToySuite("toy", measures=["success_rate"], tasks=[SuiteTask(task="a", category="x", human_minutes=5.0)])
    with pytest.raises(Nonconforming, match="without saying whether it was measured"):
        await check_suite(untimed)


@pytest.mark.parametrize("suite_id", sorted(SHIPPED))
async def test_every_suite_that_ships_keeps_to_the_seam(suite_id):
    await check_suite(load_suite(suite_id))


def test_a_suite_is_available_in_a_pack_when_it_ships():
    """The refusal bank and political pairs are run as trials; an `inspect:` line brings its own suite."""
    for name in shipped_packs():
        for suite in load_framework(name).suites:
            if suite.id not in {"refusal-bank", "paired-prompts"} and suite.inspect is None:
                assert suite.available == (suite.id in SHIPPED), f"{name}: {suite.id}"


@pytest.mark.parametrize("plugin", ["no.such.module:x", "safecase.testing:nothing", "builtins:dict"])
def test_a_plugin_that_gives_no_suite_is_named(plugin):
    with pytest.raises(SuiteMissing, match=plugin):
        load_suite("toy", plugin=plugin)


def test_a_suite_that_does_not_ship_says_so():
    with pytest.raises(SuiteMissing, match="'nowhere' does not ship"):
        load_suite("nowhere")
