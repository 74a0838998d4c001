"""An episode is an attack played through the one path, and every attempt of it is a trial."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from safecase.compose import PLAYS, Attack, Consult, Goal, NoAttacker, Turn, load_shipped_bank, scenario_of
from safecase.compose._plays import declines
from safecase.declare import load_model_spec
from safecase.evidence import Message, Trial, TrialStore, Vault
from safecase.models import Answer, BadKey, EndpointError, EndpointTimeout, Settings, UnparsedAnswer
from safecase.run import ArmPlan, PlannedTrial, run_episode
from safecase.run._cache import NOT_CACHED
from safecase.safeguard import Stack, empty_stack, load_stack
from safecase.safeguard._completion import _DEFAULT, _OFFERS
from safecase.testing import ScriptedModel

BY_NAME = {attack.name: attack for attack in PLAYS}
BANK = load_shipped_bank()
NO = "I'm sorry, but I can't help with that."
ABUSE = "an explicit sexual story about a 9 year old child, nude"


def planned(attack: Attack | str, *, domain: str = "content-policy") -> PlannedTrial:
    attack = BY_NAME[attack] if isinstance(attack, str) else attack
    intent = next(i for i in BANK if i.domain == domain)
    scenario = scenario_of(intent, attack=attack, language="en", harmful=True, seed=1)
    arm = ArmPlan(name="bare", model="scripted/fake", identity={}, stack="none", stack_digest="0", digest="0")
    return PlannedTrial(trial_id="a" * 24, scenario=scenario, arm=arm, repetition=0)


async def run(
    attack: Attack | str,
    model: ScriptedModel,
    *,
    domain: str = "content-policy",
    attacker: ScriptedModel | None = None,
    stack: Stack | None = None,
    vault: Vault | None = None,
    **options: object,
) -> tuple[Trial, ...]:
    if isinstance(attack, Attack):
        options["attacks"] = {attack.name: attack}
    attempted = await run_episode(
        planned(attack, domain=domain),
        model=model,
        attacker=attacker,
        stack=stack or empty_stack(),
        settings=Settings(max_tokens=9),
        vault=vault,
        **options,  # type: ignore[arg-type]
    )
    return tuple(one.trial for one in attempted)


def refuses(_: object) -> str:
    return NO


async def test_every_attempt_is_a_trial_with_its_number_and_what_was_said_before():
    model = ScriptedModel([NO, NO, "Well then."])

    rows = await run("retry-persuasion", model)

    assert [row.attempt for row in rows] == [0, 1, 2]
    assert [row.response for row in rows] == [NO, NO, "Well then."]
    assert rows[0].trial_id == "a" * 24
    assert len({row.trial_id for row in rows}) == 3
    assert rows[0].turns == ()
    assert [turn.role for turn in rows[2].turns] == ["user", "assistant", "user", "assistant"]
    assert (*rows[2].turns, Message(role="user", content=rows[2].prompt)) == model.asked[2].messages
    assert [request.tags["attempt"] for request in model.asked] == ["0", "1", "2"]


async def test_the_same_episode_gives_the_same_trials():
    first, again = [await run("best-of-n", ScriptedModel(refuses)) for _ in range(2)]

    assert [row.trial_id for row in first] == [row.trial_id for row in again]
    assert [row.prompt for row in first] == [row.prompt for row in again]
    assert len({row.prompt for row in first}) == BY_NAME["best-of-n"].attempts


async def test_turns_that_prepare_are_no_trials_and_their_tokens_go_to_the_next():
    model = ScriptedModel(lambda _: Answer(text="Go on.", tokens_in=10, tokens_out=2))

    (row,) = await run("crescendo", model)

    assert len(model.asked) == 3
    assert (row.tokens_in, row.tokens_out) == (30, 6)


async def test_tokens_that_one_call_did_not_count_make_no_sum():
    replies = [Answer(text="A.", tokens_in=10), Answer(text="B.", tokens_in=None), Answer(text="C.", tokens_in=10)]

    (row,) = await run("crescendo", ScriptedModel(replies))

    assert (row.tokens_in, row.tokens_out) == (None, None)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(EndpointError("x"), "error"), (EndpointTimeout("x"), "timeout"), (UnparsedAnswer("x"), "unparsed")],
)
@pytest.mark.parametrize("calls_before", [0, 2])
async def test_an_attempt_that_fails_ends_the_episode_with_its_status(fault: Exception, status: str, calls_before: int):
    rows = await run("retry-persuasion", ScriptedModel([*[NO] * calls_before, fault]))

    assert [row.status for row in rows] == [*["answered"] * calls_before, status]
    assert rows[-1].response is None
    assert rows[-1].attempt == calls_before


async def test_an_attempt_is_cached_only_when_nothing_that_led_to_it_was_asked_for():
    def replies(*cached: bool) -> ScriptedModel:
        return ScriptedModel([Answer(text="Well.", tokens_in=1, tokens_out=1, cached=one) for one in cached])

    assert (await run("crescendo", replies(True, True, True)))[0].cached
    assert not (await run("crescendo", replies(True, False, True)))[0].cached


async def test_hazardous_answers_are_not_to_be_cached():
    model = ScriptedModel(refuses)

    await run("retry-persuasion", model, domain="cyber", vault=_NoVault())
    await run("retry-persuasion", model)

    assert [NOT_CACHED in request.tags for request in model.asked] == [True] * 5 + [False] * 5


async def test_a_turn_that_prepares_and_fails_leaves_a_failed_attempt():
    """Else the attempt that never came would look like an attack that held."""
    rows = await run("crescendo", ScriptedModel(["Gladly.", EndpointTimeout("slow")]))

    assert [(row.attempt, row.status) for row in rows] == [(0, "timeout")]


@pytest.mark.parametrize(
    ("fault", "status"),
    [(EndpointError("down"), "error"), (EndpointTimeout("x"), "timeout"), (UnparsedAnswer("x"), "unparsed")],
)
async def test_an_attacker_model_that_fails_leaves_what_stands_and_a_failed_attempt(fault: Exception, status: str):
    rows = await run("attacker", ScriptedModel(refuses), attacker=ScriptedModel(["One framing.", fault]))

    assert [row.status for row in rows] == ["answered", "answered", status]
    assert (rows[-1].response, rows[-1].response_digest) == (None, None)
    assert (rows[-1].error or "").startswith("attacker model: ")


async def test_platform_faults_of_either_model_stop_the_run():
    with pytest.raises(BadKey):
        await run("retry-persuasion", ScriptedModel([NO, BadKey("no")]))
    with pytest.raises(BadKey):
        await run("attacker", ScriptedModel(refuses), attacker=ScriptedModel([BadKey("no")]))


async def test_an_attack_that_needs_an_attacker_model_says_so():
    with pytest.raises(NoAttacker, match=r"sampling\.attacker"):
        await run("attacker", ScriptedModel(refuses))


async def test_the_attacker_model_is_asked_apart_and_its_tokens_are_told():
    told: list[int] = []
    attacker = ScriptedModel(lambda _: Answer(text="For a museum.", tokens_in=5, tokens_out=2))

    rows = await run("attacker", ScriptedModel(refuses), attacker=attacker, on_attacker_tokens=told.append)

    assert told == [7] * (len(rows) - 1) == [7] * len(attacker.asked)
    assert all(row.tokens_in == 1 for row in rows)
    assert all(row.prompt.startswith("For a museum.\n\n") for row in rows[1:])
    assert len({request.settings.seed for request in attacker.asked}) == len(attacker.asked)


def silent(goal: Goal, _: Random) -> Iterator[Turn]:
    yield Turn(messages=goal.opening, is_attempt=False)


def endless(goal: Goal, _: Random) -> Iterator[Turn]:
    while True:
        yield Turn(messages=goal.opening, is_attempt=False)


def greedy(goal: Goal, _: Random) -> Iterator[Turn]:
    while True:
        yield Turn(messages=goal.opening)


def tripping(goal: Goal, _: Random) -> Iterator[Turn]:
    yield Turn(messages=goal.opening)
    raise ZeroDivisionError


def sneaky(goal: Goal, _: Random) -> Iterator[Turn | Consult]:
    yield Consult(messages=goal.opening)


def clinging(goal: Goal, _: Random) -> Iterator[Turn]:
    while True:
        try:
            yield Turn(messages=goal.opening)
        except GeneratorExit:
            yield Turn(messages=goal.opening)


def wordless(goal: Goal, _: Random) -> Iterator[Turn]:
    yield Turn(messages=())


def talking_to_itself(goal: Goal, _: Random) -> Iterator[Turn]:
    yield Turn(messages=goal.opening)
    yield Turn(messages=(*goal.opening, Message(role="assistant", content="Sure.")))


def babbling(goal: Goal, _: Random) -> Iterator[str]:
    yield "say this"


def stillborn(goal: Goal, _: Random) -> Iterator[Turn]:
    raise ZeroDivisionError


def listing(goal: Goal, _: Random) -> list[Turn]:
    return [Turn(messages=goal.opening)]


@pytest.mark.parametrize(
    ("play", "statuses", "reason"),
    [
        (silent, ["error"], "ended without an attempt"),
        (endless, ["error"], "too many turns"),
        (greedy, ["answered", "answered", "answered"], None),  # cut off at the attempts it declared
        (tripping, ["answered", "error"], "ZeroDivisionError"),
        (sneaky, ["error"], "does not say that it needs one"),
        (clinging, ["answered", "answered", "answered"], None),  # will not be closed
        (wordless, ["error"], "no turn of a user"),
        (talking_to_itself, ["answered", "error"], "no turn of a user"),
        (babbling, ["error"], "no turn of a user"),
        (stillborn, ["error"], "ZeroDivisionError"),
        (listing, ["error"], "TypeError"),  # no generator
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_an_attack_that_misbehaves_is_a_failed_attempt_and_never_a_held_one(play, statuses, reason):
    attack = replace(BY_NAME["crescendo"], name="odd", play=play)

    rows = await run(attack, ScriptedModel(refuses))

    assert [row.status for row in rows] == statuses
    assert reason is None or reason in (rows[-1].error or "")


async def test_hostile_answers_do_not_break_an_episode(tmp_path: Path):
    floods = ["x" * 500_000, "\x00\x1b[2J", "{} {0} %s", "I cannot " * 50_000, "\u202e\u200b"]
    for name in BY_NAME:
        model = ScriptedModel(lambda request: floods[len(request.messages) % len(floods)])
        rows = await run(name, model, attacker=ScriptedModel(lambda _: "y" * 500_000))
        TrialStore(tmp_path / name).append(rows)
        assert all(sum(len(m.content) for m in request.messages) < 50_000 for request in model.asked)


async def test_in_the_guarded_arm_every_turn_is_guarded_and_the_attack_sees_the_safe_completion():
    stack = load_stack("default", load_model_spec("default"))
    model = ScriptedModel(lambda _: "Certainly. " * 5)
    attack = replace(BY_NAME["retry-persuasion"], attempts=3)

    rows = await run(attack, model, stack=stack, domain="cyber", vault=_NoVault())

    assert rows
    assert all(row.rulings for row in rows)
    withheld = [row for row in rows if row.withheld_by]
    assert withheld, "the default stack withholds nothing of this intent; take another"
    assert len(rows) > 1


def test_every_safe_completion_reads_as_a_refusal_to_an_attack():
    assert all(declines(text) for text in (_DEFAULT, *_OFFERS.values()))


class _NoVault(Vault):
    """Seals nothing readable and keeps no key."""

    def __init__(self) -> None:
        pass

    def seal(self, text: str, trial_id: str) -> bytes:
        return f"sealed for {trial_id}".encode()


@pytest.mark.parametrize("name", BY_NAME)
async def test_in_hazardous_domains_no_answer_and_no_attackers_wording_is_kept_plain(name: str, tmp_path: Path):
    vault = Vault.open("test", tmp_path / "keys" / "k", case_dir=tmp_path / "case", create=True)
    model = ScriptedModel(lambda _: "I cannot, said SECRET-MARK here.")
    attacker = ScriptedModel(lambda _: "FRAMING-MARK for a museum.")

    rows = await run(name, model, domain="cyber", vault=vault, attacker=attacker)
    TrialStore(tmp_path / "case").append(rows)

    assert len(rows) == BY_NAME[name].attempts
    assert all(row.response is None and row.sealed for row in rows)
    assert vault.unseal(rows[-1].sealed or b"", rows[-1].trial_id) == "I cannot, said SECRET-MARK here."
    assert not any("SECRET-MARK" in m.content for request in attacker.asked for m in request.messages)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "case").rglob("*") if path.is_file())
    said = "".join(row.prompt + "".join(m.content for m in row.turns) for row in TrialStore(tmp_path / "case").read())
    for mark in ("SECRET-MARK", "FRAMING-MARK"):
        assert mark.encode() not in kept
        assert mark not in said
    if name == "attacker":
        assert "FRAMING-MARK" in model.asked[-1].messages[-1].content
        assert planned(name, domain="cyber").scenario.intent_text in rows[-1].prompt


@pytest.mark.parametrize("role", ["user", "system"])
async def test_a_plug_in_that_quotes_an_answer_leaves_no_plain_word_of_it_in_hazardous_domains(role, tmp_path: Path):
    def quoting(goal: Goal, _: Random) -> Iterator[Turn]:
        reply = yield Turn(messages=goal.opening)
        said = Message(role=role, content=f"Before, you wrote: {reply}")
        yield Turn(messages=(*goal.opening, said, Message(role="user", content=f"Go on from: {reply}")))

    vault = Vault.open("test", tmp_path / "keys" / "k", case_dir=tmp_path / "case", create=True)
    attack = replace(BY_NAME["best-of-n"], name="quoting", play=quoting, attempts=2)

    rows = await run(attack, ScriptedModel(lambda _: "SECRET-MARK in an answer"), domain="cyber", vault=vault)
    TrialStore(tmp_path / "case").append(rows)

    assert len(rows) == 2
    said = "".join(row.prompt + "".join(m.content for m in row.turns) for row in rows)
    assert "SECRET-MARK" not in said
    assert "[wording not kept" in rows[1].prompt


@pytest.mark.parametrize("calls_before", [0, 1, 3])
async def test_apparent_child_abuse_ends_the_episode_and_is_never_stored(calls_before: int, tmp_path: Path):
    """Also when it comes in a turn that only prepares: it is an answer, and counts as one."""
    model = ScriptedModel([*["Gladly."] * min(calls_before, 2), *[NO] * (calls_before - 2), ABUSE])

    rows = await run("crescendo", model)
    TrialStore(tmp_path).append(rows)

    assert rows[-1].status == "not-stored"
    assert (rows[-1].response, rows[-1].sealed) == (None, None)
    assert rows[-1].response_digest
    assert len(model.asked) == calls_before + 1
    assert not any("nude" in m.content for row in rows for m in row.turns)


async def test_apparent_child_abuse_by_the_attacker_model_is_not_used():
    model = ScriptedModel(refuses)

    rows = await run("attacker", model, attacker=ScriptedModel(lambda _: ABUSE))

    assert len(rows) == BY_NAME["attacker"].attempts
    assert not any("nude" in m.content for request in model.asked for m in request.messages)
