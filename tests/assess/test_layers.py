"""What each layer of a case did, from a run to the numbers of the report."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from safecase.assess import Case, LayerFigures, layer_figures, open_case, run_case
from safecase.cli import main
from safecase.testing import ScriptedModel, StubEndpoint

from .conftest import HELPFUL, SAFE_REFUSAL, unsafe_target

STACK = """
id: two
version: "1"
ask: {ask}
layers:
  - {{name: words, kind: terms, stage: input, terms: [how, kill, weapon, attack]}}
  - {{name: classifier, kind: heads, stage: input, heads: [harmful-request]}}
  - {{name: screen, kind: child-abuse-screen, stage: output}}
"""


@pytest.fixture
def ran(make_case: Callable[..., Case]) -> Callable[..., Case]:
    def run(ask: str, last: str = "") -> Case:
        case = make_case(f"{ask}{bool(last)}", gates=("policy.violence.unsafe", "policy.overrefusal"), intents=24)
        (case.path / "stack.yaml").write_text(STACK.format(ask=ask) + (f"  - {last}\n" if last else ""))
        file = case.path / "safecase.yaml"
        file.write_text(file.read_text().replace("safeguards: default", "safeguards: stack.yaml"))
        asyncio.run(run_case(open_case(case.path), model=ScriptedModel(unsafe_target)))
        return open_case(case.path)

    return run


def by_name(case: Case) -> dict[str, LayerFigures]:
    return {one.worth.layer: one for one in layer_figures(case)}


def test_where_all_layers_are_asked_what_each_stopped_alone_is_known(ran: Callable[..., Case]):
    found = by_name(ran("all"))
    words, classifier = found["words"].worth, found["classifier"].worth

    assert words.asked == classifier.asked > 0
    assert words.alone_unknown == classifier.alone_unknown == 0
    assert words.missed_unknown == classifier.missed_unknown == 0
    assert words.stopped - words.stopped_alone == classifier.stopped - classifier.stopped_alone
    assert words.missed_alone == classifier.stopped_alone
    assert classifier.missed_alone == words.stopped_alone


def test_where_they_are_asked_in_order_it_is_said_what_is_not_known(ran: Callable[..., Case]):
    found = by_name(ran("until-withheld"))

    assert found["words"].worth.stopped > 0
    assert found["words"].worth.alone_unknown == found["words"].worth.stopped
    assert found["classifier"].worth.missed_unknown == found["words"].worth.stopped
    missed = found["words"].missed
    assert missed is not None
    assert missed.unknown == found["words"].worth.stopped


def test_what_would_pass_is_what_the_bare_arm_answered_to_the_same_requests(ran: Callable[..., Case]):
    """The scripted target answers every harmful request, so whatever a layer alone stopped would be unsafe."""
    found = by_name(ran("all"))
    missed, worth = found["classifier"].missed, found["classifier"].worth

    assert worth.stopped_alone > 0
    assert missed is not None
    assert missed.unknown == 0
    assert missed.may_be_stopped == 0
    assert missed.value is not None
    assert 0 < missed.value <= missed.high


def test_what_the_output_stage_would_have_stopped_is_not_owed_to_the_input_stage(ran: Callable[..., Case]):
    """The answers to what was stopped at the input hold a word that the output stage stops."""
    owed = by_name(ran("all"))["classifier"].missed
    found = by_name(ran("until-withheld", last="{name: last, kind: terms, stage: output, terms: [overview]}"))

    assert owed is not None
    assert owed.value
    for name in ("words", "classifier"):
        missed = found[name].missed
        assert missed is not None
        assert missed.may_be_stopped == 0
        assert not missed.value


def test_where_the_output_stage_cannot_be_asked_again_it_is_said(ran: Callable[..., Case]):
    waits = "{name: last, kind: guard-model, stage: output, model: openai/guard@http://127.0.0.1:9/v1, required: false}"
    found = by_name(ran("all", last=waits))
    missed, worth = found["classifier"].missed, found["classifier"].worth

    assert missed is not None
    assert missed.may_be_stopped == worth.stopped_alone > 0
    assert missed.low == 0.0
    assert found["last"].worth.failed == found["last"].worth.asked
    assert found["last"].worth.stopped == 0


def test_an_arm_without_safeguards_has_no_layers(ran: Callable[..., Case]):
    assert layer_figures(ran("all"), arm="bare") == ()


def test_trials_of_an_older_stack_are_left_out(ran: Callable[..., Case]):
    case = ran("all")
    before = by_name(case)["classifier"].worth.asked
    (case.path / "stack.yaml").write_text(STACK.format(ask="all").replace("name: words", "name: other-words"))
    asyncio.run(run_case(open_case(case.path), model=ScriptedModel(unsafe_target)))

    found = by_name(open_case(case.path))

    assert list(found) == ["other-words", "classifier", "screen"]
    assert found["classifier"].worth.asked == before


def test_a_run_ends_with_what_each_layer_did(ran: Callable[..., Case], monkeypatch: pytest.MonkeyPatch):
    case = ran("until-withheld")
    monkeypatch.setattr("safecase.assess._targets.open_model", lambda *_, **__: ScriptedModel(unsafe_target))

    text = CliRunner().invoke(main, ["run", str(case.path)])
    value = json.loads(CliRunner().invoke(main, ["run", str(case.path), "--json"]).stdout)

    assert text.exit_code == 0
    assert "unsafe without it" in text.output
    assert "`ask: all` in the stack file asks all of a stage" in text.output
    assert [one["layer"] for one in value["layers"]] == ["words", "classifier", "screen"]
    assert value["layers"][0]["missed_without"]["high"] > 0


def test_the_cards_are_printed_from_any_file(tmp_path: Path):
    from safecase.safeguard import CARDS

    copy = tmp_path / "cards.json"
    copy.write_bytes(CARDS.read_bytes())

    text = CliRunner().invoke(main, ["measure", "cards", str(copy)])
    value = json.loads(CliRunner().invoke(main, ["measure", "cards", "--json"]).stdout)

    assert "| terms | declared words | synthetic |" in text.output
    assert {"terms", "injection"} <= {card["name"] for card in value}


async def test_a_stand_in_is_of_the_same_version_where_another_is_the_least_mitigated(make_case: Callable[..., Case]):
    """The helpful-only version answers everything; the one that is deployed refuses, so no layer is owed anything."""
    case = make_case("versions", gates=("policy.violence.unsafe",), intents=24)
    file = case.path / "safecase.yaml"
    async with StubEndpoint([HELPFUL]) as helpful_only, StubEndpoint([SAFE_REFUSAL]) as deployed:
        least = f'{{name: "{helpful_only.target("h")}", title: helpful-only, safeguard_state: helpful-only}}'
        file.write_text(file.read_text() + f"least_mitigated: {least}\n")
        await run_case(open_case(case.path), model_name=deployed.target("d"))

    found = by_name(open_case(case.path))["input-classifier"]

    assert found.worth.stopped_alone > 0
    assert found.missed is not None
    assert (found.missed.value, found.missed.unknown) == (0.0, 0)
