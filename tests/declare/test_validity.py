"""Validity conditions as a case declares them, and what cannot be one."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from safecase.declare import Condition, Document, NoSimilarIncident, RateHolds, usual_conditions

CONDITIONS: TypeAdapter[tuple[Condition, ...]] = TypeAdapter(tuple[Condition, ...])
ROOT = Path(__file__).parents[2]


def test_the_conditions_of_the_page_are_conditions():
    page = (ROOT / "docs" / "respond.md").read_text(encoding="utf-8")
    block = page.split("```yaml\nvalidity:")[1].split("```")[0]
    declared = Document.of(f"validity:{block}", path=Path("page.yaml")).values["validity"]
    found = CONDITIONS.validate_python(declared)
    assert {one.kind for one in found} == {one.kind for one in usual_conditions(months=6)}
    assert isinstance(found[0], RateHolds)
    assert found[0].series == ("unsafe/any",)
    assert any(isinstance(one, NoSimilarIncident) and one.models == ("qwen",) for one in found)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"id": "x", "kind": "rate-held"}, "does not match any of the expected tags"),
        ({"id": "x", "kind": "rate-holds", "share": 0.5}, "goes with `then: narrow`"),
        ({"id": "x", "kind": "rate-holds", "then": "narrow", "share": 1.0}, "less than 1"),
        ({"id": "x", "kind": "rate-holds", "then": "widen"}, "'revoke' or 'narrow'"),
        ({"id": "x", "kind": "no-incident", "kinds": ["bad-luck"]}, "Input should be"),
        ({"id": "x", "kind": "no-incident", "kinds": []}, "at least 1 item"),
    ],
)
def test_what_is_no_condition_is_refused(said, why):
    with pytest.raises(ValidationError, match=why):
        CONDITIONS.validate_python([said])
