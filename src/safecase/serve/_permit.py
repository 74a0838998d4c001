"""The whole check of a permit: everything it binds, held against the case and what is served. No clock, no timer.

The permit is made anew from the case and compared (`assess.permit_terms`), so no stored field is taken on trust but the
moment of its issue. What people signed is the decision; with a root key from outside the case, nobody who can write the
case alone can make one.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from safecase.assess import (
    HANDOVER,
    HANDOVER_FILE,
    HANDOVER_KIND,
    Case,
    Issue,
    NotSupported,
    Restriction,
    case_roster,
    changed_terms,
    evidence_root,
    left_out_of,
    open_case,
    permit_name,
    permit_terms,
    restrictions,
    signatures,
)
from safecase.declare import Admits, DeclareError
from safecase.evidence import (
    DECISION,
    PERMIT,
    Entry,
    EvidenceError,
    Identity,
    PublicKey,
    Roster,
    RosterBroken,
    Statement,
    StatementBroken,
    digest_bytes,
    digest_value,
    parse_public_key,
    read_envelope,
    verify_envelope,
)
from safecase.models import EndpointOptions, ModelError, Options, open_model
from safecase.safeguard import SafeguardError
from safecase.serve._errors import NotPermitted
from safecase.serve._stamps import FileDigests

_TOLERANCE = dt.timedelta(minutes=5)
"""By how much this machine's clock may lag behind what was signed or recorded elsewhere."""

_OF_TERMS: dict[str, tuple[str, str]] = {
    "framework": ("framework-changed", "the framework in force is not the one that was decided under"),
    "framework_digest": ("framework-changed", "the framework in force is not the one that was decided under"),
    "conditions": ("framework-changed", "the conditions of the framework in force are not those of the permit"),
    "validity": ("conditions-changed", "the conditions that the decision stands under were changed"),
    "affordances": ("context-changed", "the context lets users do other things than when the permit was issued"),
    "modalities": ("model-changed", "the model takes or gives other kinds of material than what was assessed"),
    "admits": ("context-changed", "the context admits others than when the permit was issued"),
    "minimum_identity": ("context-changed", "the context asks for another identity than when the permit was issued"),
    "share": ("context-changed", "the share of accounts that was decided is not the permit's"),
    "stack": ("stack-changed", "the safeguards are not those that were assessed"),
    "stack_digest": ("stack-changed", "the safeguards are not those that were assessed"),
    "model": ("model-changed", "the model is not the one that was assessed"),
    "identity": ("model-changed", "the model is not the one that was assessed"),
    "evidence_root": ("evidence-changed", "the evidence is not what the decision rests on"),
    "decision_sha256": ("decision-changed", "the decision is not the one that the permit rests on"),
    "demo": ("demo-keys", "demonstration keys stand behind it, which the permit does not say"),
}
"""Why a term that differs stops serving: the machine's word, and people's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is served, where, and what is believed about it from outside the case.

    Attributes:
        case: the case directory.
        context: the deployment context, by id.
        stack_digest: of the stack that this process really loaded.
        upstream: base URL of the server that answers; "" where the model runs in this process.
        weights: the file of local weights that answers; None where there is none here.
        trusted_root: key id of the roster's root, known from elsewhere; None takes the case's word, and then only
            loopback is served.
        loopback: whether only this machine can reach the gateway.
        head: a ledger head kept elsewhere, which the ledger must contain; None checks only that it never shrinks.
    """

    case: Path
    context: str
    stack_digest: str
    upstream: str = ""
    weights: Path | None = None
    trusted_root: str | None = None
    loopback: bool = True
    head: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A permit that holds, as the gateway needs it.

    Attributes:
        sha256: of its file.
        expires: first instant at which it no longer holds.
        share: of accounts, in (0, 1], the smallest of permit and narrowings; None for all.
        narrowings: those in force.
        is_demo: demonstration keys stand behind it. is_authentic: the roster's root is known from elsewhere.
        head: the ledger's head when it was checked.
        files: what it was checked with, of the case and what that names.
    """

    sha256: str
    case: str
    context: str
    model: str
    identity: Identity
    stack_digest: str
    expires: dt.datetime
    admits: Admits
    share: float | None
    narrowings: tuple[Restriction, ...]
    conditions: tuple[str, ...]
    signers: tuple[str, ...]
    is_demo: bool
    is_authentic: bool
    head: str
    files: tuple[Path, ...] = field(repr=False, default=())

    @property
    def served_name(self) -> str:
        """What clients call the model: its name without the kind of target and the address."""
        return served_name(self.model)

    @property
    def standing_word(self) -> Literal["authentic", "self-consistent"]:
        """What the signatures show."""
        return "authentic" if self.is_authentic else "self-consistent"


def check_permit(place: Place, *, at: dt.datetime, digests: FileDigests, head: str | None = None) -> Permit:
    """Hold the permit of a context against everything it binds.

    Args:
        at: now; aware.
        digests: remembers digests of files that did not change.
        head: the ledger's head at an earlier check; the ledger may only have grown since.

    Raises:
        NotPermitted: something differs, is over, is revoked, or cannot be read.
    """
    try:
        return _checked(place, at=at, digests=digests, heads=[one for one in (place.head, head) if one])
    except NotPermitted:
        raise
    except NotSupported as fault:
        raise NotPermitted("not-supported", "the case does not support serving here", str(fault)) from None
    except (StatementBroken, RosterBroken) as fault:
        raise NotPermitted("signature-broken", "a signed file of the case was changed", str(fault)) from None
    except (EvidenceError, DeclareError) as fault:
        raise NotPermitted("case-changed", "a file of the case does not hold", str(fault)) from None
    except SafeguardError as fault:
        raise NotPermitted("stack-changed", "the safeguards are not those that were assessed", str(fault)) from None
    except ModelError as fault:
        raise NotPermitted("model-changed", "the model is not the one that was assessed", str(fault)) from None
    except OSError as fault:
        line = f"{fault.filename}: {fault.strerror}"
        raise NotPermitted("unreadable", "a file that the permit rests on cannot be read", line) from None


def held_over(place: Place, permit: Permit, *, at: dt.datetime) -> Permit:
    """A permit that stood until a moment ago, for the while in which its case takes over another decision.

    The case signed a handover before it touched a file: it names this very permit, and ends. Restrictions are held
    against it as ever. It serves on what is loaded and starts nothing: `check_permit` knows no handover.

    Raises:
        NotPermitted: there is no handover, it is over, or of another permit; or the permit was revoked.
        EvidenceError, DeclareError, NotSupported, OSError: a file of the case cannot be read just now.
    """
    case = open_case(place.case)
    said = _signed_by_assessor(case, case.path / HANDOVER_FILE, HANDOVER_KIND).predicate
    begun, until = _instant(said["begun"]), _instant(said["until"])
    mine = said["permits"].get(place.context, {})
    is_now = begun <= at + _TOLERANCE and at < min(until, begun + HANDOVER)
    if said["case"] != case.spec.id or mine.get("sha256") != permit.sha256 or not is_now:
        raise NotPermitted("no-permit", "there is no permit for this context", f"{HANDOVER_FILE}: of another, or over")
    narrowings = _restrictions(case, place, mine, _roster(case, place), at=at)
    shares = [one for one in (permit.share, *(narrowing.share for narrowing in narrowings)) if one is not None]
    return replace(permit, expires=min(permit.expires, until), share=min(shares, default=None), narrowings=narrowings)


def _checked(place: Place, *, at: dt.datetime, digests: FileDigests, heads: list[str]) -> Permit:
    case = open_case(place.case)
    entries = _ledger(case, heads, at=at)
    held, sha256 = _read_permit(case, place)
    roster = _roster(case, place)
    _decision(case, digests)
    made = _terms(case, place, held, roster, at=at)
    _safeguards(case, place, made)
    _dates(held, made, at=at)
    _files(case, entries, digests)
    narrowings = _restrictions(case, place, held, roster, at=at)
    identity = _model(case, place, made, roster, digests)
    if made["demo"] and not place.loopback:
        raise NotPermitted(
            "demo-keys",
            "the permit is a demonstration, and is served on this machine alone",
            "demo keys stand behind the decision; sign it with real ones, or serve on 127.0.0.1",
        )
    shares = [one for one in (made["share"], *(narrowing.share for narrowing in narrowings)) if one is not None]
    return Permit(
        sha256=sha256,
        case=case.spec.id,
        context=place.context,
        model=made["model"],
        identity=identity,
        stack_digest=place.stack_digest,
        expires=min(_instant(held["expires"]), _instant(made["expires"])),
        admits=made["admits"],
        share=min(shares, default=None),
        narrowings=narrowings,
        conditions=tuple(made["conditions"]),
        signers=tuple(f"{one['person']} ({one['role']})" for one in made["signers"]),
        is_demo=made["demo"],
        is_authentic=roster.is_trusted,
        head=entries[-1].hash,
        files=_read_with(case, entries),
    )


def _ledger(case: Case, heads: list[str], *, at: dt.datetime) -> list[Entry]:
    if problems := case.ledger.check():
        raise NotPermitted("ledger-broken", "the record of the case was changed", str(problems[0]))
    entries = list(case.ledger.entries())
    hashes = {entry.hash for entry in entries}
    for head in heads:
        if head not in hashes:
            line = f"{case.ledger.path}: no entry has head {head}; it was cut short or written anew"
            raise NotPermitted("ledger-broken", "the record of the case was cut short or written anew", line)
    if not entries:
        raise NotPermitted("no-permit", "there is no permit for this context", f"{case.ledger.path} is empty")
    if (latest := max(entry.at for entry in entries)) > at + _TOLERANCE:
        line = f"the clock says {at.isoformat()}, the ledger has an entry of {latest.isoformat()}"
        raise NotPermitted("clock-behind", "the clock of this machine is behind", line)
    return entries


def _read_permit(case: Case, place: Place) -> tuple[Mapping[str, Any], str]:
    """The permit's terms, signed by the case's assessor, and its digest."""
    path = case.path / permit_name(place.context)
    if not path.exists():
        line = f"{path}: there is none; `safecase decide permit {case.path} --context {place.context}` issues one"
        raise NotPermitted("no-permit", "there is no permit for this context", line)
    data = path.read_bytes()
    statement = _signed_by_assessor(case, path, PERMIT)
    held = statement.predicate
    about = [one.sha256 for one in statement.subject]
    if (held["case"], held["context"]) != (case.spec.id, place.context) or about != [held["decision_sha256"]]:
        line = f"{path}: it is about {held['context']!r} of case {held['case']!r}"
        raise NotPermitted("no-permit", "the permit is about something else", line)
    return held, digest_bytes(data)


def _signed_by_assessor(case: Case, path: Path, kind: str) -> Statement:
    envelope = read_envelope(path)
    statement = envelope.statement()
    if statement.predicate_type != kind:
        raise StatementBroken(f"{path}: a {statement.predicate_type!r}, not a {kind!r}")
    if not verify_envelope(envelope, _assessor_keys(case)):
        raise StatementBroken(f"{path}: no key of the case signed it as it stands")
    return statement


def _assessor_keys(case: Case) -> list[PublicKey]:
    paths = sorted((case.path / "keys").glob("*.pem"))
    return [parse_public_key(path.read_text(encoding="utf-8"), origin=str(path)) for path in paths]


def _files(case: Case, entries: list[Entry], digests: FileDigests) -> None:
    """Every file that the ledger names is what it was last said to be."""
    listed = {entry.subject["path"]: entry.subject for entry in entries if {"path", "sha256"} <= entry.subject.keys()}
    left_out = {name for name in left_out_of(case) if name.startswith("evidence/")}
    for name, said in listed.items():
        path = case.path / name
        if name in left_out and not path.exists():
            continue  # a bundle; the decision is bound to the ledger's list of segments, not to these bytes
        if ".." in Path(name).parts or digests.of(path) != said["sha256"]:
            part = "evidence" if name.startswith("evidence/") or name == "estimates.json" else "case"
            line = f"{path}: it is not what the ledger says; restore it from a copy of the case"
            raise NotPermitted(f"{part}-changed", f"a file of the {part} was changed", line)


def _roster(case: Case, place: Place) -> Roster:
    roster = case_roster(case, trusted_root=place.trusted_root)
    if roster is None:
        raise NotPermitted("not-signed", "nobody's signature stands behind the permit", f"{case.path}: no roster.json")
    if not roster.is_trusted and not place.loopback:
        raise NotPermitted(
            "not-authenticated",
            "it is not known whose signatures stand behind the permit",
            "the roster's root is known only from the case itself; give --root, or serve on 127.0.0.1",
        )
    return roster


def _decision(case: Case, digests: FileDigests) -> None:
    """The decision is about the plan and the estimates as they are: so people's signatures reach down to them."""
    statement = _signed_by_assessor(case, case.path / "decision.json", DECISION)
    for subject in statement.subject:
        if digests.of(case.path / subject.name) != subject.sha256:
            line = (
                f"{case.path / subject.name}: not the one that decision.json is about; decide again and have it signed"
            )
            raise NotPermitted("decision-changed", "the decision is about other evidence", line)


def _terms(case: Case, place: Place, held: Mapping[str, Any], roster: Roster, *, at: dt.datetime) -> dict[str, Any]:
    signed = signatures(case, roster, at=at)
    if signed is None or not signed.quorum.is_met:
        names = ", ".join(f"{one.person} ({one.role})" for one in signed.quorum.counted) if signed else ""
        line = f"of two people in different roles, counted now: {names or 'nobody'}; `safecase decide sign` adds one"
        raise NotPermitted("not-signed", "too few people's signatures stand behind the permit now", line)
    if signed.decision_sha256 != held["decision_sha256"]:
        line = f"decided anew; `safecase decide permit {case.path} --context {place.context}` issues a permit for that"
        raise NotPermitted("decision-changed", "the permit is of an earlier decision", line)
    issue = Issue(at=_instant(held["issued"]), share=held["share"], demo=held["demo"])
    made = permit_terms(case, place.context, issue, roster=roster, at=at)
    if held["framework_digest"] != digest_value(case.framework.model_dump(mode="json")):
        raise NotPermitted(*_OF_TERMS["framework_digest"], f"{case.spec.framework}: not as it was decided under")
    if held["evidence_root"] != evidence_root(case):
        raise NotPermitted(*_OF_TERMS["evidence_root"], f"{case.path}: evidence was added or taken away; decide again")
    if changed := changed_terms(held, made):
        reason, message = _OF_TERMS.get(changed[0], ("case-changed", "the case is not as it was permitted"))
        raise NotPermitted(reason, message, f"the permit differs from its case in {', '.join(changed)}; decide again")
    return made


def _safeguards(case: Case, place: Place, made: Mapping[str, Any]) -> None:
    """The stack in memory and the one on disk are both the one that was assessed."""
    stack = case.arms.get(made["arm"])
    on_disk = None if stack is None else stack.digest
    if stack is not None:
        asyncio.run(stack.aclose())
    for what, digest in (("loaded", place.stack_digest), ("on disk", on_disk)):
        if digest != made["stack_digest"]:
            line = f"the stack {what} has digest {digest}, the permit names {made['stack_digest']}"
            raise NotPermitted(*_OF_TERMS["stack_digest"], f"{line}; put its files back, or assess what they say now")


def _dates(held: Mapping[str, Any], made: Mapping[str, Any], *, at: dt.datetime) -> None:
    if at + _TOLERANCE < _instant(held["issued"]):
        line = f"the clock says {at.isoformat()}, the permit was issued at {held['issued']}"
        raise NotPermitted("clock-behind", "the clock of this machine is behind", line)
    if at >= _instant(held["expires"]):
        raise expired(held["expires"])
    if at >= _instant(made["expires"]):
        line = f"the evidence is of {made['evidence_at']} and held until {made['expires']}; assess again"
        raise NotPermitted("evidence-too-old", "the evidence is older than the framework allows", line)


def expired(expires: str) -> NotPermitted:
    """The permit is over."""
    return NotPermitted("permit-expired", "the permit has expired", f"it held until {expires}; assess and decide again")


def _restrictions(
    case: Case, place: Place, held: Mapping[str, Any], roster: Roster, *, at: dt.datetime
) -> tuple[Restriction, ...]:
    standing = restrictions(case, place.context, roster, at=at)
    for one in standing:
        if one.revokes(held):
            raise NotPermitted("permit-revoked", "the permit was revoked", f"{one.sentence} (restriction {one.id})")
    return tuple(one for one in standing if one.kind == "narrowing")


def _model(case: Case, place: Place, made: Mapping[str, Any], roster: Roster, digests: FileDigests) -> Identity:
    """The model that answers is the one of the permit, as far as its kind of identity can be checked without asking."""
    identity = Identity(**made["identity"])
    if identity.kind == "weights":
        _weights(place, identity, digests)
    if identity.kind == "attested":
        _attested(case, place, identity, roster)
    if identity.kind in {"fingerprint", "name-only"} and not place.upstream:
        raise NotPermitted("model-changed", "the model is not the one that was assessed", "give --upstream URL")
    return identity


def _weights(place: Place, identity: Identity, digests: FileDigests) -> None:
    if place.weights is None:
        line = f"the permit rests on weights {identity.digest}; give --upstream embedded, or --weights FILE"
        raise NotPermitted("weights-changed", "the weights cannot be checked", line)
    if digests.of(place.weights) != identity.digest:
        line = f"{place.weights}: SHA-256 is not {identity.digest}, which was assessed"
        raise NotPermitted("weights-changed", "the weights are not those that were assessed", line)


def _attested(case: Case, place: Place, identity: Identity, roster: Roster) -> None:
    if case.spec.model.attestation is None:
        raise NotPermitted("model-changed", "the model's attestation is gone", "safecase.yaml names no attestation")
    trusted = tuple(entry.key for entry in roster.entries)
    options = EndpointOptions(attestation=case.path / case.spec.model.attestation, trusted=trusted)
    found = asyncio.run(_identity(target(identity.model, place.upstream), options))
    if found != replace(identity, details=found.details, model=found.model):
        line = "the attestation is not the one that was assessed with"
        raise NotPermitted("model-changed", "the model is not the one that was assessed", line)


async def _identity(name: str, options: EndpointOptions) -> Identity:
    async with open_model(name, options=Options(endpoint=options)) as model:
        return await model.identity()


def served_name(model: str) -> str:
    """What clients call a permitted model: its name without the kind of target, the folder and the address.

    >>> served_name("openai/qwen@http://127.0.0.1:8000/v1"), served_name("llama-cpp/models/small.gguf")
    ('qwen', 'small')
    """
    kind, _, name = model.partition("/")
    if kind == "openai":
        return name.rpartition("@")[0]
    return name.rpartition("/")[2].removesuffix(".gguf")


def target(model: str, upstream: str) -> str:
    """The name of a permitted model at the server that really answers."""
    kind, _, name = model.partition("/")
    return f"openai/{name.rpartition('@')[0] if kind == 'openai' else served_name(model)}@{upstream}"


def _read_with(case: Case, entries: list[Entry]) -> tuple[Path, ...]:
    named = [entry.subject["path"] for entry in entries if "path" in entry.subject]
    given = [case.spec.framework, case.spec.safeguards, case.spec.model_spec, case.spec.model.attestation]
    paths = [case.path / name for name in (*named, *given) if name is not None]
    return tuple(dict.fromkeys(path for path in paths if path.is_file()))


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
