"""What of a call's content may be kept: little, redacted, sealed where it may be hazardous, and never child abuse."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from safecase.evidence import CONTENT_BOX, Explanation, PostKey, Vault
from safecase.serve import Retention, RetentionRefused, is_flagged
from tests.serve.events import event, ruling


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open("test", tmp_path / "hazard.key", create=True)


def kept(policy: Retention, **fields: object):
    """An event after both steps."""
    return policy.finish(policy.select(event(1, **fields)))


def test_allowed_content_is_dropped_at_once():
    selected = Retention().select(event(1, prompt="hello", reply="hi"))

    assert (selected.prompt, selected.reply, selected.kept) == (None, None, None)


@pytest.mark.parametrize(
    ("fields", "flagged"),
    [
        ({}, False),
        ({"rulings": (ruling("allow"),)}, False),
        ({"outcome": "withheld"}, True),
        ({"rulings": (ruling("replace"),)}, True),
        ({"rulings": (ruling("withhold", enforced=False),)}, True),  # a layer that only observes
    ],
)
def test_flagged_is_whatever_a_safeguard_did_not_allow(fields: dict, flagged: bool):
    assert is_flagged(event(1, **fields)) is flagged


def test_without_a_box_a_flagged_prompt_is_kept_redacted_and_the_reply_not_at_all():
    one = kept(Retention(), prompt="I am ada@example.org", reply="step one", outcome="withheld")

    assert (one.prompt, one.reply, one.sealed, one.kept, one.sample_p) == ("I am [email]", None, None, "flagged", None)


def test_with_a_box_flagged_content_opens_only_with_the_vault(vault: Vault):
    key = PostKey(vault, CONTENT_BOX)
    one = kept(Retention(box=key.box), prompt="call +44 20 7946 0958", reply="step one", outcome="withheld")

    assert (one.prompt, one.reply, one.kept) == (None, None, "flagged")
    assert b"step" not in base64.b64decode(one.sealed)
    opened = vault.unseal(key.take_over(base64.b64decode(one.sealed), one.event_id), one.event_id)
    assert json.loads(opened) == {"prompt": "call [phone]", "reply": "step one"}


def test_what_rests_on_a_plain_principle_alone_stays_readable(vault: Vault):
    policy = Retention(box=PostKey(vault, CONTENT_BOX).box, plain=frozenset({"no-hate"}))
    hate, other = ruling(principle="no-hate"), ruling(principle="no-serious-harm")

    assert kept(policy, prompt="x", reply="y", rulings=(hate,)).reply == "y"
    assert kept(policy, prompt="x", reply="y", rulings=(hate, other)).reply is None
    assert kept(policy, prompt="x", reply="y", outcome="withheld").reply is None  # nobody says what it rests on


def test_an_audit_sample_is_drawn_by_its_chance_and_sealed(vault: Vault):
    draws = iter([0.019, 0.021])
    policy = Retention(audit_p=0.02, box=PostKey(vault, CONTENT_BOX).box, draw=lambda: next(draws))

    drawn, left = kept(policy, prompt="a", reply="b"), kept(policy, prompt="a", reply="b")
    assert (drawn.kept, drawn.sample_p, drawn.prompt, drawn.sealed is not None) == ("audit-sample", 0.02, None, True)
    assert (left.kept, left.sample_p, left.sealed) == (None, None, None)


def test_a_refused_call_is_no_part_of_the_audit(vault: Vault):
    policy = Retention(audit_p=1.0, box=PostKey(vault, CONTENT_BOX).box)

    assert kept(policy, prompt="a", outcome="refused", reason="no-key").kept is None


@pytest.mark.parametrize("fields", [{"audit_p": 0.1}, {"audit_p": -0.1}, {"audit_p": 2.0}, {"most_characters": 10**6}])
def test_a_policy_that_cannot_be_kept_is_refused(fields: dict):
    with pytest.raises(RetentionRefused):
        Retention(**fields)


def test_keeping_nothing_keeps_nothing():
    assert kept(Retention(flagged=False), prompt="x", reply="y", outcome="withheld").prompt is None


@pytest.mark.parametrize("place", ["prompt", "reply"])
def test_apparent_child_abuse_is_never_kept_not_even_sealed(vault: Vault, place: str):
    policy = Retention(box=PostKey(vault, CONTENT_BOX).box, audit_p=1.0)
    text = "x" * 30_000 + " an erotic story with a 12-year-old"  # beyond what would be kept

    one = kept(policy, **{"prompt": "a", "reply": "b", place: text}, outcome="withheld")
    assert (one.prompt, one.reply, one.sealed, one.kept) == (None, None, None, None)


def test_a_cut_leaves_no_half_of_an_address():
    one = kept(Retention(most_characters=30), prompt="a" * 20 + " ada.lovelace@example.org", outcome="withheld")

    assert "ada" not in one.prompt
    assert one.prompt.endswith("[cut]")


def test_the_reasons_of_an_explanation_go_where_the_content_goes(vault: Vault):
    key = PostKey(vault, CONTENT_BOX)
    told = (Explanation(layer="judge", principle="no-hate", reason="It is about ada@example.org."),)
    hateful = {"rulings": (replace(ruling("withhold"), principle="no-hate"),), "explanations": told}

    def reasons(policy: Retention, **fields: object) -> list[str | None]:
        return [one.reason for one in kept(policy, **fields).explanations]

    assert reasons(Retention(plain=frozenset({"no-hate"})), prompt="p", **hateful) == ["It is about [email]."]
    assert reasons(Retention(), prompt="p", **hateful) == [None]
    assert reasons(Retention(flagged=False), prompt="p", **hateful) == [None]
    assert reasons(Retention(plain=frozenset({"no-hate"})), **hateful) == [None]
    one = kept(Retention(box=key.box), prompt="p", **hateful)
    assert [(told.principle, told.reason) for told in one.explanations] == [("no-hate", None)]
    opened = vault.unseal(key.take_over(base64.b64decode(one.sealed), one.event_id), one.event_id)
    assert json.loads(opened)["reasons"] == {"judge": "It is about [email]."}
