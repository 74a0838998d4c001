"""Sharing with other developers and with governments: what got round safeguards, and capabilities that emerged.

A bundle is STIX 2.1. Everything in it carries a TLP 2.0 marking, and content goes out only as far as that marking and
the case's policy allow; the wording of a scenario is the reworded one of the learned bank, never a user's.

    CLEAR, GREEN            that it happened, of what kind, how grave
    AMBER, AMBER+STRICT     the wording too, where the policy says so
    RED                     nothing leaves

What comes in is a stranger's: bounded, parsed as data, never fetched or run, kept as one report at the desk.
"""

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from safecase.declare import Record
from safecase.evidence import canonical_json, digest_bytes
from safecase.registry import Incident, Report
from safecase.respond._desk import Desk, person_name
from safecase.respond._errors import BadWord, NotAllowed
from safecase.respond._intake import Receipt, Submission, take
from safecase.respond._learned import LearnedScenario, wording
from safecase.web import Refused

Tlp = Literal["clear", "green", "amber", "amber+strict", "red"]

_MARKINGS: Mapping[Tlp, str] = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""Ids of the TLP 2.0 marking definitions. Source: OASIS, "TLP 2.0 marking definitions for STIX 2.1" (2022)."""
_TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
_TLP_1: Mapping[str, Tlp] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "clear",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
}
"""Those of TLP 1.0, which STIX 2.1 predefines: read, never written."""
_EXTENSION = "extension-definition--2f7a1f7c-3f0e-4a4c-9f5b-6f2d0a8f41c3"
_STRICTEST_FIRST: tuple[Tlp, ...] = ("red", "amber+strict", "amber", "green", "clear")
_WITH_CONTENT: frozenset[Tlp] = frozenset({"amber", "amber+strict"})

MOST_BYTES = 1_000_000
MOST_OBJECTS = 200
_DEEPEST = 12
_NAMESPACE = uuid.UUID("8a2f6f0e-6b53-4b5c-9f0e-2b7a0c1d5e11")


class SharingPolicy(Record):
    """How far this organisation goes. What it does not name stays at home.

    Attributes:
        most_open: the widest marking that may be given.
        with_wording: whether reworded scenarios go out, where the marking allows content.
    """

    organisation: str
    most_open: Tlp = "amber"
    with_wording: bool = False


class Capability(Record):
    """A capability that nobody expected of a model at this stage, at the level of categories."""

    title: str
    domain: str
    summary: str
    seen_at: dt.datetime


def share_out(
    desk: Desk,
    *,
    policy: SharingPolicy,
    tlp: Tlp,
    scenarios: Iterable[LearnedScenario] = (),
    capabilities: Iterable[Capability] = (),
    by: str,
    at: dt.datetime,
) -> bytes:
    """A STIX 2.1 bundle of circumvention attempts and emergent capabilities, named in the ledger by its digest.

    Raises:
        NotAllowed: the marking is wider than the policy, or RED, under which nothing leaves.
        BadWord: nothing to share, or a scenario that no person accepted.
    """
    import stix2

    by = person_name(by)
    if tlp == "red" or _STRICTEST_FIRST.index(tlp) > _STRICTEST_FIRST.index(policy.most_open):
        raise NotAllowed(f"TLP:{tlp.upper()} is not to leave, or wider than the policy's {policy.most_open!r}")
    made_by = stix2.Identity(
        id=_id("identity", policy.organisation),
        name=policy.organisation,
        identity_class="organization",
        created=at,
        modified=at,
    )
    common = {"created_by_ref": made_by.id, "created": at, "modified": at, "object_marking_refs": [_MARKINGS[tlp]]}
    content = tlp in _WITH_CONTENT and policy.with_wording
    objects = [_attempt(desk, one, common, content=content) for one in scenarios]
    objects += [_capability(one, common) for one in capabilities]
    if not objects:
        raise BadWord("nothing to share; name accepted scenarios or capabilities")
    bundle = stix2.Bundle(objects=[made_by, _marking(tlp), _extension(made_by.id, at), *objects])
    data: bytes = bundle.serialize().encode()
    desk.log("shared-out", by=by, at=at, sha256=digest_bytes(data), tlp=tlp, objects=len(objects), wording=content)
    return data


def take_in(desk: Desk, data: bytes, *, origin: str, at: dt.datetime) -> Receipt:
    """Keep a foreign bundle as one report, which waits for a person like any other. Nothing of it is believed or run.

    Raises:
        Refused: too large, too deep, no STIX 2.1 bundle, or marked RED for somebody else.
    """
    bundle = _parsed(data)
    lines = [_line(one) for one in bundle["objects"] if one["type"] in {"attack-pattern", "report", "indicator"}]
    tlp = _strictest(bundle["objects"])
    said = Submission(
        channel="policy-violation",
        title=f"Shared by {origin[:80]}, TLP:{tlp.upper()}",
        text="\n".join(lines)[: desk.spec.limits.characters - 500] or "A bundle without anything that is read here.",
        confidentiality="confidential" if tlp in {"red", "amber+strict"} else "open",
    )
    receipt = take(desk, said, source="exchange", at=at)
    desk.log("shared-in", by="exchange", at=at, report=receipt.report, sha256=digest_bytes(data), tlp=tlp)
    return receipt


def flaw_report(desk: Desk, incident: Incident, *, by: str, at: dt.datetime) -> bytes:
    """An incident as a flaw report, JSON with the fields that docs/respond.md lists; no user's word is in it.

    Fields after "In-House Evaluation Is Not Enough" (Longpre et al., 2025), appendix on AI flaw reports.
    """
    plan = desk.case.plan
    reports = [one for one in desk.registry.all(Report, case=desk.case.spec.id) if one.id in incident.reports]
    said = {
        "schema": "https://safecase.dev/flaw-report/v1",
        "id": incident.id,
        "title": incident.title,
        "reporter": person_name(by),
        "reported_at": at.isoformat(),
        "system": {
            "name": desk.case.spec.model.title,
            "identity": None if plan is None else plan.deployed.identity,
            "safeguards": None if plan is None else plan.deployed.stack_digest,
        },
        "kinds": list(incident.kinds),
        "severity": incident.severity,
        "near_miss": incident.near_miss,
        "status": incident.status,
        "observed_at": incident.awareness.at.isoformat(),
        "contexts": list(incident.contexts),
        "threat_scenario": incident.scenario,
        "gates": sorted({one.gate for one in reports if one.gate}),
        "reports": len(reports),
        "facts": incident.facts.model_dump(mode="json"),
        "mitigations": [
            {"action": one.action, "context": one.context, "at": one.at.isoformat()} for one in incident.containment
        ],
    }
    data = canonical_json(said) + b"\n"
    desk.log("flaw-reported", by=by, at=at, incident=incident.id, sha256=digest_bytes(data))
    return data


# --- Parts ------------------------------------------------------------------------------------------------------------


def _attempt(desk: Desk, one: LearnedScenario, common: Mapping[str, Any], *, content: bool) -> Any:
    import stix2

    if one.status != "accepted":
        raise BadWord(f"scenario {one.id!r} is {one.status}; only what a person accepted is shared")
    known: dict[str, Any] = {"extension_type": "property-extension", "domain": one.domain, "severity": one.severity}
    if content and one.domain != "chem-bio":
        known["wording"] = wording(desk, one.id)
    return stix2.AttackPattern(
        **common,
        id=_id("attack-pattern", str(one.scenario)),
        name=f"Circumvention of safeguards: {one.category}",
        description=f"Seen in live use of a language model, severity {one.severity} of 4.",
        extensions={_EXTENSION: known},
    )


def _capability(one: Capability, common: Mapping[str, Any]) -> Any:
    import stix2

    return stix2.AttackPattern(
        **common,
        id=_id("attack-pattern", one.title),
        name=f"Emergent capability: {one.title}",
        description=one.summary,
        extensions={
            _EXTENSION: {
                "extension_type": "property-extension",
                "domain": one.domain,
                "seen_at": one.seen_at.isoformat(),
            }
        },
    )


def _extension(made_by: str, at: dt.datetime) -> Any:
    import stix2

    return stix2.ExtensionDefinition(
        id=_EXTENSION,
        created_by_ref=made_by,
        created=at,
        modified=at,
        name="safecase: domain, severity and wording of an attempt",
        schema="https://safecase.dev/stix/v1",
        version="1.0.0",
        extension_types=["property-extension"],
    )


def _marking(tlp: Tlp) -> Any:
    """The published definition, word for word, so that a receiver needs no other source."""
    import stix2

    return stix2.MarkingDefinition(
        id=_MARKINGS[tlp],
        created="2022-10-01T00:00:00.000Z",
        name=f"TLP:{tlp.upper()}",
        extensions={_TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp}},
    )


def _id(kind: str, name: str) -> str:
    return f"{kind}--{uuid.uuid5(_NAMESPACE, f'{kind}/{name}')}"


def _parsed(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise Refused(413, "too-large", f"a bundle holds at most {MOST_BYTES} bytes, this one {len(data)}")
    try:
        value: dict[str, Any] = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused(400, "no-bundle", "not a STIX 2.1 bundle: it is no JSON") from None
    objects = value.get("objects") if isinstance(value, dict) and value.get("type") == "bundle" else None
    if not isinstance(objects, list) or not 0 < len(objects) <= MOST_OBJECTS:
        raise Refused(400, "no-bundle", f"not a STIX 2.1 bundle with 1 to {MOST_OBJECTS} objects")
    if not all(isinstance(one, dict) and isinstance(one.get("type"), str) for one in objects):
        raise Refused(400, "no-bundle", "an object of the bundle has no type")
    if _depth(value) > _DEEPEST:
        raise Refused(400, "too-deep", f"the bundle is nested more than {_DEEPEST} deep")
    return value


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level and deepest <= _DEEPEST:
        deepest += 1
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def _strictest(objects: Iterable[Mapping[str, Any]]) -> Tlp:
    """The strictest TLP marking of any object; unmarked material counts as AMBER."""
    refs = {str(ref) for one in objects for ref in _list(one.get("object_marking_refs"))}
    known = {**_TLP_1, **{ref: name for name, ref in _MARKINGS.items()}}
    given = {known.get(ref, "red") for ref in refs}  # a marking that nobody here knows may forbid anything
    return next((name for name in _STRICTEST_FIRST if name in given), "amber")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _line(one: Mapping[str, Any]) -> str:
    return f"{one['type']}: {str(one.get('name', ''))[:200]}. {str(one.get('description', ''))[:1000]}"
