"""Trusted access and audiences: who is not held to which rule, what stays, and that it is recorded."""

from pathlib import Path

import pytest

from safecase.declare import load_model_spec
from safecase.safeguard import (
    Audience,
    ChildAbuseScreen,
    Exchange,
    Ground,
    Pass,
    Post,
    Ruling,
    Stack,
    StackError,
    exchange_of,
    load_stack,
    reply_of,
)

SPEC = load_model_spec("default")
FILE = """
id: s
version: "1"
attributes: {age: [minor, adult], region: [EU, US]}
layers:
  - name: topics
    kind: topics
    stage: input
    topics:
      - {id: exploits, terms: [zanziscope], principle: no-mass-harm}
      - {id: weapons, terms: [quillarang], principle: no-serious-harm}
  - {name: words, kind: terms, stage: input, terms: [hollowberry], principle: no-mass-harm, relaxable: false}
  - {name: failing, kind: guard-model, stage: output, model: broken}
trusted_access:
  - {tier: defence, reason: they defend, passes: [{layer: topics, rules: [exploits]}]}
  - {tier: history, reason: they teach, passes: [{layer: topics, rules: [weapons]}]}
  - {tier: broad, reason: all of it, passes: [{principle: no-mass-harm}]}
"""


class Broken:
    name, concurrency = "broken", 1

    async def generate(self, request: object) -> object:
        raise OSError

    async def aclose(self) -> None: ...


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    (tmp_path / "s.yaml").write_text(FILE)
    return load_stack("s.yaml", SPEC, beside=tmp_path, open_as=lambda name: Broken())  # type: ignore[arg-type,return-value]


def asked(text: str, *tiers: str, **attributes: str) -> Exchange:
    body = {"messages": [{"role": "user", "content": text}]}
    return exchange_of(body, account="a", tiers=frozenset(tiers), attributes=attributes)


async def test_a_tier_passes_the_rule_it_names_and_the_ruling_stays_on_record(stack: Stack):
    plain = await stack.rule(asked("a zanziscope"))
    granted = await stack.rule(asked("a zanziscope", "defence"))

    assert plain.withheld is not None
    assert granted.withheld is None
    (before,), after = plain.rulings, granted.rulings[0]
    assert (before.action, before.rule, before.enforced, before.relaxed_by) == ("withhold", "exploits", True, None)
    assert (after.action, after.rule, after.enforced, after.relaxed_by) == ("withhold", "exploits", False, "defence")
    assert (after.score, after.principle) == (before.score, before.principle)
    assert [one.layer for one in granted.rulings] == ["topics", "words"]  # what follows is asked all the same


@pytest.mark.parametrize(
    ("text", "tiers"),
    [
        ("a quillarang", ("defence",)),  # another rule of the layer
        ("a zanziscope and a quillarang", ("defence",)),  # one ground of two
        ("a zanziscope and a quillarang", ("defence", "history")),  # two grants are not one
        ("a hollowberry", ("broad",)),  # a layer that nobody passes
        ("a zanziscope", ("unheard-of",)),
    ],
)
async def test_nothing_else_is_passed(stack: Stack, text: str, tiers: tuple[str, ...]):
    checked = await stack.rule(asked(text, *tiers))

    assert checked.withheld is not None
    assert checked.withheld.relaxed_by is None


async def test_a_principle_is_passed_in_every_layer_that_may_be(stack: Stack):
    assert (await stack.rule(asked("a zanziscope", "broad"))).rulings[0].relaxed_by == "broad"


async def test_a_failure_is_passed_by_nobody():
    class Failing:
        name, stage, digest, reach = "f", "input", "f", 0

        async def check(self, exchange: Exchange) -> Ruling:
            return Ruling(action="withhold", error="broke")

    passes = (Pass(tier="all", layer="f"),)
    one = Stack(id="t", layers=(Failing(),), system_prompt=None, timeout_s=1, digest="x", passes=passes)  # type: ignore[arg-type]

    checked = await one.rule(asked("hello", "all"))

    assert checked.withheld is not None
    assert checked.withheld.relaxed_by is None


async def test_the_child_abuse_screen_is_passed_by_nobody_however_a_stack_is_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("safecase.safeguard._layers.apparent_child_abuse", lambda text: True)
    screen = ChildAbuseScreen(name="screen", stage="input")
    one = Stack(
        id="t",
        layers=(screen,),
        system_prompt=None,
        timeout_s=1,
        digest="x",
        posts={"screen": Post(relaxable=True)},
        passes=(Pass(tier="all", layer="screen"), Pass(tier="all", principle="no-serious-harm")),
    )

    assert (await one.rule(asked("hello", "all"))).withheld is not None


async def test_a_replacement_is_passed_too():
    class Replacing:
        name, stage, digest, reach = "r", "output", "r", 0

        async def check(self, exchange: Exchange) -> Ruling:
            return Ruling(action="replace", spans=((0, 2),), grounds=(Ground(rule="x", principle=None),))

    passes = (Pass(tier="vetted", layer="r"),)
    one = Stack(id="t", layers=(Replacing(),), system_prompt=None, timeout_s=1, digest="x", passes=passes)  # type: ignore[arg-type]
    texts = []
    for tiers in ((), ("vetted",)):
        (replied,) = reply_of({"choices": [{"message": {"content": "harbour"}}]}, asked=asked("x", *tiers))
        texts.append((await one.rule(replied)).text("harbour"))

    assert texts == ["[removed]rbour", "harbour"]


@pytest.mark.parametrize(
    ("passes", "wrong"),
    [
        ("[{layer: nowhere}]", "which the stack does not hold"),
        ("[{layer: words}]", "which nobody may pass"),
        ("[{layer: screen}]", "which nobody may pass"),
        ("[{layer: topics, rules: [cakes]}]", "'cakes', which is no rule of layer 'topics'"),
        ("[{principle: be-nice}]", "which the model spec does not hold"),
        ("[{rules: [exploits]}]", "no layer and no principle"),
    ],
)
def test_a_pass_that_cannot_be_says_which(tmp_path: Path, passes: str, wrong: str):
    layers = FILE.split("  - {name: failing")[0] + "  - {name: screen, kind: child-abuse-screen, stage: output}\n"
    (tmp_path / "s.yaml").write_text(f"{layers}trusted_access: [{{tier: t, reason: r, passes: {passes}}}]\n")

    with pytest.raises(StackError, match=wrong):
        load_stack("s.yaml", SPEC, beside=tmp_path)


def test_the_digest_names_who_may_pass_what(tmp_path: Path):
    text = FILE.replace("  - {name: failing, kind: guard-model, stage: output, model: broken}\n", "")
    digests = set()
    for number, one in enumerate((text, text.replace("[exploits]", "[weapons]"), text.split("trusted_access")[0])):
        (tmp_path / f"{number}.yaml").write_text(one)
        digests.add(load_stack(f"{number}.yaml", SPEC, beside=tmp_path).digest)

    assert len(digests) == 3


# --- Audiences --------------------------------------------------------------------------------------------------------

MINORS = """
id: s
version: "1"
attributes: {age: [minor, adult], region: [EU, US]}
layers:
  - {name: gambling, kind: terms, stage: input, terms: [zanziscope], only_for: [{attribute: age, among: [minor]}]}
  - name: barred-here
    kind: topics
    stage: input
    topics: [{id: lottery, terms: [quillarang]}]
    only_for: [{attribute: region, among: [EU], unknown: skipped}]
"""


@pytest.mark.parametrize(
    ("text", "attributes", "is_withheld"),
    [
        ("a zanziscope", {"age": "minor"}, True),
        ("a zanziscope", {"age": "adult"}, False),
        ("a zanziscope", {}, True),  # not known: the stricter side
        ("a zanziscope", {"age": "Adult "}, True),  # no value that was declared: not known
        ("a quillarang", {"region": "EU"}, True),
        ("a quillarang", {"region": "US"}, False),
        ("a quillarang", {}, False),  # the file says so
    ],
)
async def test_a_layer_is_for_whom_the_file_says(
    tmp_path: Path, text: str, attributes: dict[str, str], is_withheld: bool
):
    (tmp_path / "s.yaml").write_text(MINORS)
    stack = load_stack("s.yaml", SPEC, beside=tmp_path)
    checked = await stack.rule(asked(text, **attributes))

    assert (checked.withheld is not None) is is_withheld


async def test_all_audiences_have_to_hold_and_all_at_once_asks_the_same(tmp_path: Path):
    (tmp_path / "s.yaml").write_text(f"ask: all\n{MINORS}")
    stack = load_stack("s.yaml", SPEC, beside=tmp_path)

    rulings = (await stack.rule(asked("hello", age="adult", region="EU"))).rulings
    assert [one.layer for one in rulings] == ["barred-here"]


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        (MINORS.replace("among: [minor]", "among: [baby]"), "does not declare"),
        (MINORS.replace("attribute: age, among", "attribute: height, among"), "does not declare"),
        (
            MINORS + "  - {name: late, kind: terms, stage: input, terms: [hollowberry], "
            "above: {layer: gambling, score: 0.5}}\n",
            "which is not asked for everyone",
        ),
    ],
)
def test_an_audience_that_cannot_be_says_which(tmp_path: Path, file: str, wrong: str):
    (tmp_path / "s.yaml").write_text(file)

    with pytest.raises(StackError, match=wrong):
        load_stack("s.yaml", SPEC, beside=tmp_path)


def test_an_audience_counts_the_unknown_in_unless_told_otherwise():
    minors = Audience(attribute="age", values=frozenset({"minor"}), known=frozenset({"minor", "adult"}))

    assert minors.holds({})
    assert not Audience(attribute="age", values=minors.values, known=minors.known, unknown=False).holds({})
