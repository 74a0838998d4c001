"""The argument of a case: kept, bound by the decision, made again by `verify`, open again when something moves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from safecase.assess import (
    ArgumentError,
    Case,
    NotSupported,
    accept_defeater,
    argue_case,
    argument_in,
    decide_case,
    note_concern,
    open_case,
    open_defeater,
    record,
    report_case,
    run_case,
    sign_decision,
    verify_case,
    write_roster,
)
from safecase.decide import Argument, Concern
from safecase.evidence import generate_key, read_envelope
from safecase.testing import ScriptedModel
from tests.assess.conftest import safe_target

LEAK = Concern(concern_id="inc-7", kind="incident", what="keys were printed", touches=("privacy",))


@pytest.fixture
async def case(make_case: Callable[..., Case], clock) -> Case:
    made = make_case(contexts=("closed",), gates=("policy.violence.unsafe",), intents=4)
    await run_case(made, model=ScriptedModel(safe_target), now=clock)
    return open_case(made.path)


async def argued(case: Case, clock, **options: bool) -> Argument:
    return argument_in(await argue_case(case, now=clock, **options), "closed")


def people(case: Case, tmp_path: Path, clock) -> list[Path]:
    """Two people on a roster, in different roles."""
    files = []
    entries = []
    for person, role in (("ana", "chief-ai-officer"), ("ben", "director-alignment-risk")):
        key = generate_key(tmp_path / f"{person}.pem", demo=False)
        public = tmp_path / f"{person}.pub.pem"
        public.write_text(key.public.pem)
        files.append(tmp_path / f"{person}.pem")
        entries.append(f"{person}:{role}:{public}")
    generate_key(tmp_path / "root.pem", demo=False)
    write_roster(case, tmp_path / "root.pem", entries, now=clock)
    return files


async def test_an_argument_is_kept_only_where_someone_asked_and_the_decision_then_names_it(case: Case, clock):
    await argued(case, clock)
    assert not (case.path / "argument.json").exists()

    await argued(case, clock, keep=True)

    named = [s.name for s in read_envelope(case.path / "decision.json").statement().subject]
    assert "argument.json" in named
    found = verify_case(case)
    assert not [p for check in found.checks for p in check.problems]
    assert next(check for check in found.checks if check.name == "argument").looked_at > 50


async def test_verify_finds_an_argument_that_was_made_kinder(case: Case, clock):
    await argued(case, clock, keep=True)
    kinder = (case.path / "argument.json").read_bytes().replace(b'"state":"undecided"', b'"state":"supported"')
    record(case, "argument.json", kinder, action="argued", now=clock)  # the ledger agrees

    problems = [p for check in verify_case(case).checks if check.name == "argument" for p in check.problems]

    assert len(problems) == 1
    assert "does not follow" in problems[0]


async def test_an_incident_reopens_the_argument_and_voids_the_signatures(case: Case, clock, tmp_path: Path):
    keys = people(case, tmp_path, clock)
    await argued(case, clock, keep=True)
    for key in keys:
        signed = sign_decision(case, key, position="approve", reason="", now=clock)
    assert signed.quorum.is_met

    note_concern(case, LEAK, actor="ana", now=clock)
    seen = await argued(case, clock)
    assert seen.node("goal:privacy").moved == ("defeater open-incident:inc-7/privacy opened",)
    assert any("concerns or acceptances came" in note for note in verify_case(case).notes)

    await decide_case(case, now=clock)
    again = sign_decision(case, keys[0], position="approve", reason="", now=clock)
    assert len(again.quorum.counted) == 1
    assert (await argued(case, clock)).node("goal:privacy").moved
    assert not [p for check in verify_case(case).checks for p in check.problems]


async def test_what_two_people_signed_is_settled(case: Case, clock, tmp_path: Path):
    keys = people(case, tmp_path, clock)
    await argued(case, clock, keep=True)
    note_concern(case, LEAK, actor="ana", now=clock)
    await decide_case(case, now=clock)
    for key in keys:
        sign_decision(case, key, position="approve", reason="seen", now=clock)

    await decide_case(case, now=clock)

    assert not (await argued(case, clock)).moved


async def test_two_people_accept_a_doubt_and_one_does_not(case: Case, clock, tmp_path: Path):
    keys = people(case, tmp_path, clock)
    note_concern(case, LEAK, actor="ana", now=clock)
    doubt = open_defeater(await argued(case, clock), "open-incident:inc-7/privacy")

    with pytest.raises(NotSupported, match="2 people in different roles"):
        accept_defeater(case, doubt, context="closed", reason="small", key_files=keys[:1], now=clock)
    accept_defeater(case, doubt, context="closed", reason="small", key_files=keys, now=clock)

    after = open_defeater(await argued(case, clock), doubt.defeater_id)
    assert after.state == "accepted"
    assert after.by.startswith("ana (chief-ai-officer), ben")


async def test_the_report_draws_and_tells_the_argument(case: Case, clock):
    note_concern(case, LEAK, actor="ana", now=clock)
    await argued(case, clock, keep=True)

    rendered = await report_case(case, now=clock)

    document = json.loads(rendered.paths["json"].read_bytes())["document"]
    (told,) = document["arguments"]
    assert told["confidence"] == "none"
    assert any(row["kind"] == "Open incident" for row in told["defeaters"])
    page = rendered.paths["html"].read_text()
    assert 'id="figure-argument-closed"' in page
    assert "keys were printed" in page
    drawn = [name for part in told["parts"] for name in part["figures"]]
    assert {"argument-closed-cyber-1", "argument-closed-content-policy"} <= set(drawn)
    for name in (*told["figures"], *drawn):
        assert rendered.paths[f"figures/{name}.svg"].read_text().startswith("<svg")
        assert f'id="figure-{name}"' in page
    assert (
        "Open incident, open: keys were printed"
        in rendered.paths["figures/argument-closed-content-policy.svg"].read_text()
    )
    assert not [p for check in verify_case(case).checks for p in check.problems]


@pytest.mark.parametrize(
    ("change", "what"),
    [({"touches": ("no-such",)}, "'no-such'"), ({"concern_id": "../x"}, "give letters")],
)
def test_a_concern_that_names_nothing_is_refused(make_case, change: dict[str, object], what: str):
    made = make_case()

    with pytest.raises(ArgumentError, match=what):
        note_concern(made, Concern(**{"concern_id": "a", "kind": "incident", "what": "x", **change}), actor="ana")
