"""A later edition tells what happened, its numbers are made again by verify, and it takes no signature away."""

import asyncio
import json
from pathlib import Path

import pytest

pytest.importorskip("typst")
pytest.importorskip("altair")

from safecase.assess import (
    decide_case,
    narrow_permit,
    note_concern,
    open_case,
    report_case,
    sign_decision,
    verify_case,
    write_permit,
)
from safecase.decide import Concern
from safecase.evidence import canonical_json, digest_bytes
from safecase.serve import NotPermitted
from safecase.testing import StubEndpoint
from tests.serve.permitted import Clock, Permitted, check, make_permitted, safe_answer


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Permitted:
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))

    async def make() -> Permitted:
        async with StubEndpoint(safe_answer) as stub:
            return await make_permitted(
                tmp_path, model_name=stub.target(), clock=Clock(), contexts=("internal", "limited"), intents=8
            )

    return asyncio.run(make())


def numbers(made: Permitted) -> dict[str, dict[str, object]]:
    return json.loads((made.path / "report" / "report.json").read_bytes())["numbers"]


def test_the_second_edition_counts_what_the_ledger_says_and_verify_counts_it_again(made):
    clock = Clock()
    clock.pass_days(1)
    asyncio.run(report_case(made.case, now=clock))
    assert not [name for name in numbers(made) if name.startswith("since/")]
    said = {"alert_id": "a", "kind": "promise-broken", "series": "unsafe/any", "what": "seen 9 times"}
    made.case.ledger.append("alerted", actor="safecase", subject=said, at=clock())
    narrow_permit(made.case, "limited", made.key("watch"), reason="alerts doubled", share=0.1, now=clock)
    asyncio.run(report_case(made.case, now=clock))
    found = numbers(made)
    assert {found[f"since/{name}"]["value"] for name in ("alerted", "narrowed")} == {1}
    assert found["since/near-miss"]["value"] == 0
    before = found["since/gate/policy.violence.unsafe/limited/before"]
    assert before["query"]["pointer"].startswith("/0/readings/")
    assert verify_case(made.case).holds

    report = made.path / "report" / "report.json"
    stored = json.loads(report.read_bytes())
    stored["numbers"]["since/alerted"]["value"] = 0
    report.write_bytes(canonical_json(stored))
    subject = {"path": "report/report.json", "sha256": digest_bytes(report.read_bytes())}
    made.case.ledger.append("reported", actor="safecase", subject=subject, at=clock())
    problems = [problem for one in verify_case(open_case(made.path)).checks for problem in one.problems]
    assert problems == ["report/report.json: number since/alerted does not follow from the evidence"]


def test_an_edition_tells_a_signed_decision_as_it_stands_and_deciding_renews_it(made):
    """A concern changes the argument, and an argument that changes takes new signatures; a report must not do that."""
    clock = Clock()
    clock.pass_days(1)
    asyncio.run(decide_case(made.case, argue=True, now=clock))
    for name in ("one", "two"):
        sign_decision(made.case, made.key(name), position="approve", reason="read it", now=clock)
    for context in ("internal", "limited"):
        write_permit(made.case, context, now=clock)
    before = check(made, clock)
    note_concern(made.case, Concern(concern_id="inc-1", kind="incident", what="it leaked"), actor="a", now=clock)
    asyncio.run(report_case(made.case, now=clock))
    assert check(made, clock).sha256 == before.sha256
    assert "it leaked" in (made.path / "report" / "report.html").read_text(encoding="utf-8")
    assert verify_case(made.case).holds

    asyncio.run(decide_case(open_case(made.path), now=clock))
    with pytest.raises(NotPermitted, match="not-signed"):
        check(made, clock)


def test_an_edition_of_an_older_safecase_has_no_readings_and_is_told_as_such(made):
    clock = Clock()
    clock.pass_days(1)
    asyncio.run(report_case(made.case, now=clock))
    editions = made.path / "report" / "editions.json"
    rows = json.loads(editions.read_bytes())
    for row in rows:
        del row["readings"]
    editions.write_bytes(canonical_json(rows) + b"\n")
    subject = {"path": "report/editions.json", "sha256": digest_bytes(editions.read_bytes())}
    made.case.ledger.append("reported", actor="safecase", subject=subject, at=clock())
    asyncio.run(report_case(open_case(made.path), now=clock))
    text = (made.path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Not on record" in text[text.index('id="since"') : text.index('id="checklist"')]
    assert verify_case(open_case(made.path)).holds
