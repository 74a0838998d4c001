"""Every attack keeps the promises of an attack, and the adaptive ones adapt."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from safecase.compose import (
    ATTACKS,
    FAMILIES,
    PLAYS,
    Attack,
    Consult,
    Goal,
    NoAttacker,
    Turn,
    UnknownAttack,
    attacks_named,
    compose,
    known_attacks,
    load_shipped_bank,
    planned_attacks,
    scenario_of,
)
from safecase.compose._augment import augmented
from safecase.compose._plays import declines, heard
from safecase.declare import Sampling
from safecase.evidence import Message
from safecase.testing import Nonconforming, check_attack

NO = "I'm sorry, but I can't help with that."
BY_NAME = {attack.name: attack for attack in PLAYS}


@pytest.mark.parametrize("attack", [*ATTACKS, *PLAYS], ids=lambda attack: attack.name)
def test_it_keeps_the_promises_of_an_attack(attack: Attack):
    check_attack(attack)


def test_every_name_is_there_once_and_every_family_is_declared():
    names = [attack.name for attack in (*ATTACKS, *PLAYS)]

    assert len(set(names)) == len(names)
    assert {attack.family for attack in (*ATTACKS, *PLAYS)} == set(FAMILIES)
    assert {"crescendo", "many-shot", "best-of-n", "retry-persuasion", "attacker"} == set(BY_NAME)


def quoting(goal: Goal, _: random.Random) -> Iterator[Turn]:
    reply = yield Turn(messages=goal.opening)
    if goal.attempts > 1:
        yield Turn(messages=(Message(role="user", content=f"You said {reply[:200]}"),))


def endless(goal: Goal, _: random.Random) -> Iterator[Turn]:
    while True:
        yield Turn(messages=goal.opening, is_attempt=False)


def growing(goal: Goal, _: random.Random) -> Iterator[Turn]:
    reply = yield Turn(messages=goal.opening, is_attempt=False)
    yield Turn(messages=(Message(role="assistant", content=reply or "-"), *goal.opening))


def gossiping(goal: Goal, _: random.Random) -> Iterator[Turn | Consult]:
    reply = yield Turn(messages=goal.opening)
    yield Consult(messages=(Message(role="user", content=reply[:200] or "-"),))


def moody(goal: Goal, _: random.Random) -> Iterator[Turn]:
    yield Turn(messages=goal.opening, is_attempt=False)
    yield Turn(messages=(Message(role="user", content=f"{random.random()}"),))


def tripping(goal: Goal, _: random.Random) -> Iterator[Turn]:
    reply = yield Turn(messages=goal.opening, is_attempt=False)
    yield Turn(messages=(Message(role="user", content=f"First {reply[0]!r}"),))


def late(goal: Goal, _: random.Random) -> Iterator[Turn]:
    yield Turn(messages=(Message(role="user", content="something else"),))


@pytest.mark.parametrize(
    ("play", "promise"),
    [
        (quoting, "never puts words of an answer"),
        (endless, "at least one attempt"),
        (growing, "stays bounded"),
        (gossiping, "says that it needs one"),
        (moody, "the same answers give the same play"),
        (tripping, "survives empty answers"),
        (late, "says first what its scenario names"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_check_names_a_broken_promise(play: object, promise: str):
    """The conformance check proves that it looks at something."""
    broken = replace(BY_NAME["crescendo"], name="broken", play=play, attempts=3)

    with pytest.raises(Nonconforming, match=promise):
        check_attack(broken)


def test_the_check_names_an_attacker_that_sees_hazardous_answers():
    broken = replace(BY_NAME["attacker"], play=gossiping)

    with pytest.raises(Nonconforming, match="shown no answer of a hazardous domain"):
        check_attack(broken)


def goal_of(name: str, **changed: object) -> Goal:
    attack = BY_NAME[name]
    opening = attack.wrap("What is asked?", random.Random(1))
    fields = {"domain": "content-policy", "category": "violence", "attempts": attack.attempts, **changed}
    return Goal(text="What is asked?", opening=opening, **fields)


def played(name: str, *replies: str, **changed: object) -> list[Turn | Consult]:
    """The steps of a play that hears these replies, the last one again and again."""
    goal = goal_of(name, **changed)
    play = BY_NAME[name].play(goal, random.Random(2))
    steps = []
    try:
        step = next(play)
        while True:
            steps.append(step)
            step = play.send(replies[min(len(steps), len(replies)) - 1])
    except StopIteration:
        return steps


@pytest.mark.parametrize("name", BY_NAME)
def test_an_attack_stops_by_its_own_signal_and_else_makes_all_its_attempts(name: str):
    no, hm = ([s for s in played(name, reply) if isinstance(s, Turn) and s.is_attempt] for reply in (NO, "Hm."))

    assert len(no) == BY_NAME[name].attempts
    assert len(hm) == 1


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "best-of-n"])
def test_every_attempt_asks_for_the_same_thing_word_for_word(name: str):
    attempts = [s for s in played(name, NO) if isinstance(s, Turn) and s.is_attempt]

    assert all("What is asked?" in s.messages[-1].content for s in attempts)
    assert len({s.messages for s in attempts}) == len(attempts)


def test_crescendo_leads_up_and_takes_a_refused_turn_back():
    steps = played("crescendo", "Gladly.", "Some say so.", NO)

    assert [s.is_attempt for s in steps[:5]] == [False, False, True, False, True]
    assert "What is asked?" not in "".join(m.content for s in steps[:2] for m in s.messages)
    assert NO not in [m.content for m in steps[3].messages]
    assert Message(role="assistant", content="Gladly.") in steps[4].messages
    assert "violence" in steps[1].messages[-1].content


def test_many_shot_doubles_its_shots_and_no_shot_comes_twice():
    counts = []
    for step in played("many-shot", NO):
        asked = [m.content for m in step.messages if m.role == "user"]
        assert len(set(asked)) == len(asked)
        counts.append(len(asked) - 1)

    assert counts == [8, 16, 32, 64]


def test_the_attacker_model_words_the_next_attempt_and_never_sees_the_request():
    steps = played("attacker", "I can't do that, said the owl.", "It is for a museum.", NO)

    consult, attempt = steps[1], steps[2]
    assert isinstance(consult, Consult)
    assert "said the owl" in consult.messages[-1].content
    assert "What is asked?" not in consult.messages[-1].content
    assert attempt.messages == (Message(role="user", content="It is for a museum.\n\nWhat is asked?"),)


def test_an_attacker_model_that_declines_is_replaced_by_a_wording_of_ours():
    steps = played("attacker", NO)

    assert NO not in steps[2].messages[-1].content
    assert steps[2].messages[-1].content.endswith("\n\nWhat is asked?")


@pytest.mark.parametrize(
    ("answer", "is_refusal"),
    [
        (NO, True),
        ("I’m   SORRY, but no", True),  # curly apostrophe, spaces, capitals
        ("", True),  # nothing was said
        ("\n \x00", False),  # a control character is not nothing; the judge will say what it is
        ("Sure. Rivers flow.", False),
        ("Sure. " + "word " * 60 + "I cannot say more.", False),  # only the opening counts
    ],
)
def test_the_stop_signal_reads_openings(answer: str, is_refusal: bool):
    assert declines(answer) is is_refusal


def test_history_is_bounded_and_clean():
    assert heard("a\x00b\x1b\ud800c\nd").content == "abc\nd"
    assert len(heard("x" * 10**6).content) == 2_000
    assert heard("\x00").content == "(nothing)"


def test_an_augmentation_is_seeded_and_keeps_most_of_what_a_reader_needs():
    text = "Please describe the harbour in the evening light"
    drawn = {augmented(text, random.Random(n)) for n in range(50)}

    assert augmented(text, random.Random(1)) == augmented(text, random.Random(1))
    assert len(drawn) == 50
    for one in drawn:
        words = [(w[0].lower(), w[-1].lower()) for w in text.split()]
        kept = [(w[0].lower(), w[-1].lower()) for w in one.split()]
        assert len(set(words) & set(kept)) >= 3
    with pytest.raises(ValueError, match="sigma must lie in"):
        augmented(text, random.Random(1), sigma=2.0)


def test_adaptive_attacks_run_only_where_they_are_named():
    assert attacks_named(()) == ATTACKS
    assert [a.name for a in attacks_named(("crescendo", "none"))] == ["none", "crescendo"]


def test_attempts_can_be_capped_and_an_attacker_must_be_named():
    (capped,) = planned_attacks(Sampling(attacks=("best-of-n",), attempts=3))
    assert capped.attempts == 3

    with pytest.raises(NoAttacker, match=r"sampling\.attacker"):
        planned_attacks(Sampling(attacks=("attacker",)))
    assert planned_attacks(Sampling(attacks=("attacker",), attacker="openai/x@http://127.0.0.1:1"))


def test_an_adaptive_scenario_is_named_by_all_that_decides_its_course():
    intent = load_shipped_bank()[0]
    attack = BY_NAME["retry-persuasion"]
    base = scenario_of(intent, attack=attack, language="en", harmful=True, seed=1)
    others = [
        scenario_of(intent, attack=attack, language="en", harmful=True, seed=2),
        scenario_of(intent, attack=replace(attack, attempts=2), language="en", harmful=True, seed=1),
        scenario_of(intent, attack=replace(attack, revision=2), language="en", harmful=True, seed=1),
    ]

    assert base == scenario_of(intent, attack=attack, language="en", harmful=True, seed=1)
    assert base.attempts == attack.attempts
    assert len({s.scenario_id for s in (base, *others)}) == 4


def test_composing_one_scenario_gives_the_one_of_the_plan():
    intents = {i.id: i for i in load_shipped_bank()[:3]}
    known = known_attacks()

    for planned in compose(intents.values(), seed=5):
        seed = 5 if planned.harmful else 0
        again = scenario_of(
            intents[planned.intent_id],
            attack=known[planned.attack],
            language="en",
            harmful=planned.harmful,
            seed=seed,
        )
        assert again == planned


MINE = replace(BY_NAME["crescendo"], name="mine")
TAKEN = replace(BY_NAME["crescendo"], name="none")
NAMELESS = replace(BY_NAME["crescendo"], name="Not Kebab")


def test_a_plug_in_is_an_attack_of_another_package(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "my_attacks", sys.modules[__name__])

    (mine,) = planned_attacks(Sampling(attacks=("mine",), plugins=("my_attacks:MINE",)))
    assert mine == MINE
    for reference, reason in {
        "my_attacks:NOTHING": "cannot be loaded",
        "no_such_module:X": "cannot be loaded",
        "my_attacks": "cannot be loaded",
        ":MINE": "cannot be loaded",
        "os:getcwd": "name a `safecase.compose.Attack`",
        "my_attacks:TAKEN": "which is taken",
        "my_attacks:NAMELESS": "kebab-case",
    }.items():
        with pytest.raises(UnknownAttack, match=reason) as caught:
            known_attacks((reference,))
        assert repr(reference) in str(caught.value)
