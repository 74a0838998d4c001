"""The permit of one context: what it binds, and whether a case still says the same.

A permit is derived: everything in it but the moment of its issue follows from the case. So whoever holds one against a
case (the gateway, at start and on a timer) makes it anew and compares, and trusts no stored field.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._restrict import restrictions
from safecase.assess._signing import (
    SIGNERS,
    NotSupported,
    SignedBy,
    assessor_key,
    case_roster,
    decision_of,
    must_be_current,
    openings,
    sign_off_files,
    signatures,
)
from safecase.declare import Condition, Context, usual_conditions
from safecase.evidence import (
    IDENTITY_KINDS,
    PERMIT,
    Identity,
    IdentityKind,
    Roster,
    Statement,
    Subject,
    canonical_json,
    digest_bytes,
    format_utc,
    meets,
    parse_utc,
    read_envelope,
    sign,
    write_atomic,
)

PERMIT_DAYS = 180
"""Longest life of a permit; a framework's shorter limit on the age of evidence wins."""
_DAYS_A_MONTH = 30
_MOVES = frozenset({"signers", "evidence_at", "expires"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What of a permit does not follow from the case.

    Attributes:
        at: when it was issued.
        share: of the accounts that are served, in (0, 1]; None for all that the context admits, or as decided.
        demo: it was asked for as a demonstration.
    """

    at: dt.datetime
    share: float | None = None
    demo: bool = False


def write_permit(
    case: Case, context_id: str, *, share: float | None = None, demo: bool = False, now: Clock = utc_now
) -> Path:
    """Issue the permit of one context.

    Args:
        share: serve less than the share that was decided, in (0, 1].

    Raises:
        NotSupported: no decision, the proposal is not to approve, two people in different roles have not signed, the
            decision was revoked, its evidence changed since, or a share is wider than the one that was decided.
    """
    issue = Issue(at=now(), share=share, demo=demo)
    roster = case_roster(case)
    predicate = permit_terms(case, context_id, issue, roster=roster, at=issue.at)
    must_be_current(case)
    revoked = [one for one in restrictions(case, context_id, roster, at=issue.at) if one.revokes(predicate)]
    if revoked:
        raise NotSupported(
            f"no permit for {context_id!r}: {revoked[0].sentence}; decide on new evidence and sign that, or have two "
            f"people lift it with `safecase decide lift {case.path} --restriction {revoked[0].id}`"
        )
    statement = Statement(
        subject=(Subject(name="decision.json", sha256=predicate["decision_sha256"]),),
        predicate_type=PERMIT,
        predicate=predicate,
    )
    data = sign(statement, assessor_key(case, demo=demo, now=now)).to_bytes()
    name = permit_name(context_id)
    (case.path / "permits").mkdir(exist_ok=True)
    write_atomic(case.path / name, data)
    said = {"path": name, "sha256": digest_bytes(data), "context": context_id}
    case.ledger.append("permitted", actor="safecase", subject=said, at=issue.at)
    return case.path / name


def permit_name(context_id: str) -> str:
    """Where the permit of a context lies, inside the case."""
    return f"permits/{context_id}.json"


def permit_terms(
    case: Case, context_id: str, issue: Issue, *, roster: Roster | None, at: dt.datetime
) -> dict[str, Any]:
    """What the permit of a context says, made from the case as it is.

    Args:
        roster: by which signatures count.
        at: the instant for which signers' keys must be valid.

    Raises:
        NotSupported: as `write_permit`.
    """
    decision = decision_of(case)
    proposal = _approved(decision, context_id)
    if decision["author"] != case.spec.author:
        line = f"decision.json is by {decision['author']!r}, safecase.yaml names {case.spec.author!r}"
        raise NotSupported(f"no permit for {context_id!r}: {line}; decide again")
    signed = _signed(case, context_id, roster, at=at)
    context = case.framework.context(context_id)
    plan = case.plan
    if plan is None:
        raise NotSupported(f"no permit for {context_id!r}: imported trials name no model that a gateway could check")
    wanted = arm_of(case, context)
    arm = next((arm for arm in plan.arms if arm.name == wanted), None)
    if arm is None:
        raise NotSupported(f"no permit for {context_id!r}: it rests on arm {wanted!r}, which was not run")
    least = least_identity(case, context)
    if not meets(Identity(**arm.identity), least):
        kind = arm.identity["kind"]
        raise NotSupported(f"no permit for {context_id!r}: it rests on {kind!r}, {least!r} is asked for")
    days = min(PERMIT_DAYS, case.framework.triggers.max_age_months * _DAYS_A_MONTH)
    evidence_at = _evidence_at(case, signed)
    ends = [
        issue.at + dt.timedelta(days=PERMIT_DAYS),
        evidence_at + dt.timedelta(days=days),
        *_ends_of_exceptions(case, context_id, proposal, at=at),
    ]
    terms = {
        "case": case.spec.id,
        "context": context_id,
        "admits": context.admits,
        "share": _share(case, context, decision, issue),
        "model": arm.model,
        "identity": arm.identity,
        "minimum_identity": least,
        "arm": arm.name,
        "stack": arm.stack,
        "stack_digest": arm.stack_digest,
        "framework": decision["framework"],
        "framework_digest": decision["framework_digest"],
        "evidence_root": decision["evidence_root"],
        "evidence_at": format_utc(evidence_at),
        "decision_sha256": signed.decision_sha256,
        "conditions": list(conditions(case)),
        "validity": [one.model_dump(mode="json") for one in validity(case, context_id)],
        "affordances": list(context.affordances),
        "modalities": list(case.spec.model.modalities),
        "issued": issue.at.isoformat(),
        "expires": min(ends).isoformat(),
        "signers": [{"person": c.person, "role": c.role, "keyid": c.keyid} for c in signed.quorum.counted],
        "demo": issue.demo or signed.quorum.is_demo,
    }
    return dict(json.loads(canonical_json(terms)))


def changed_terms(held: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[str, ...]:
    """The terms in which a permit differs from the one that its case gives, by name.

    Who counts among the signers, and with them the dates, may move without harm: a quorum is needed, not the same one.
    """
    return tuple(name for name in sorted((held.keys() | made.keys()) - _MOVES) if held.get(name) != made.get(name))


def conditions(case: Case) -> tuple[str, ...]:
    """The conditions under which a decision holds, in sentences."""
    months = case.framework.triggers.max_age_months
    return (
        "the model's identity and the safeguard stack are those that were assessed, digest for digest",
        "the context, its affordances and who has access are not widened",
        f"the framework in force is {case.framework.id} {case.framework.version}",
        f"the evidence is no older than {months} months",
        f"compute has not grown by a factor of {case.framework.triggers.compute_multiple:g} since",
        "no incident or learned scenario contradicts a finding it rests on",
    )


def validity(case: Case, context_id: str) -> tuple[Condition, ...]:
    """The conditions under which a decision on a context stays valid, as typed values: declared, or the usual ones."""
    declared = case.spec.validity
    every = usual_conditions(months=case.framework.triggers.max_age_months) if declared is None else declared
    return tuple(one for one in every if not one.contexts or context_id in one.contexts)


def arm_of(case: Case, context: Context) -> str:
    """The arm that is served in a context: the deployed version, without a stack where only its weights count."""
    return case.spec.weights_arm if context.arm == "bare" else context.arm


def least_identity(case: Case, context: Context) -> IdentityKind:
    """The least that a context accepts of a model's identity, or the case where it asks for more."""
    asked = [context.minimum_identity, *([case.spec.minimum_identity] if case.spec.minimum_identity else [])]
    return min(asked, key=IDENTITY_KINDS.index)


def _approved(decision: Mapping[str, Any], context_id: str) -> Mapping[str, Any]:
    proposal = next((p for p in decision["proposals"] if p["context"] == context_id), None)
    if proposal is None:
        known = ", ".join(p["context"] for p in decision["proposals"])
        raise NotSupported(f"no decision on context {context_id!r}; this case decides on {known}")
    if proposal["choice"] != "approve":
        raise NotSupported(
            f"no permit for {context_id!r}: the evidence supports {proposal['choice']!r} ({proposal['reasons'][0]})"
        )
    approved: Mapping[str, Any] = proposal
    return approved


def _ends_of_exceptions(
    case: Case, context_id: str, proposal: Mapping[str, Any], *, at: dt.datetime
) -> Iterator[dt.datetime]:
    """When the exceptions end on which an approval rests; each must stand."""
    standing = {f"{one.gate} until {one.expires}": one for one in openings(case, at=at) if one.context == context_id}
    for named in proposal["exceptions"]:
        if named not in standing:
            raise NotSupported(
                f"no permit for {context_id!r}: it rests on the exception to {named}, which does not stand (it ended, "
                "its signers no longer count, or safecase.yaml changed since); grant it anew, decide and sign again"
            )
        yield dt.datetime.combine(dt.date.fromisoformat(standing[named].expires), dt.time(), tzinfo=dt.UTC)


def _signed(case: Case, context_id: str, roster: Roster | None, *, at: dt.datetime) -> SignedBy:
    signed = signatures(case, roster, at=at)
    if signed is None or not signed.quorum.is_met:
        have = ", ".join(f"{c.person} ({c.role})" for c in signed.quorum.counted) if signed else "nobody"
        raise NotSupported(
            f"no permit for {context_id!r}: {SIGNERS} people in different roles must sign, {have or 'nobody'} did; "
            f"run `safecase decide sign {case.path} --key FILE`"
        )
    return signed


def _share(case: Case, context: Context, decision: Mapping[str, Any], issue: Issue) -> float | None:
    """The share served: as decided, or less where the issue says so."""
    decided: float | None = decision.get("shares", {}).get(context.id)
    if context.admits == "share" and decided is None:
        raise NotSupported(
            f"no permit for {context.id!r}: it admits a share of the accounts, and the decision names none; write "
            f"`shares: {{{context.id}: 0.05}}` into {case.path / 'safecase.yaml'}, decide and sign again"
        )
    if issue.share is None:
        return decided
    ceiling = 1.0 if decided is None else decided
    if not 0 < issue.share <= ceiling:
        raise NotSupported(
            f"no permit for {context.id!r} with share {issue.share:g}: it must lie above 0 and at or below "
            f"{ceiling:g}, which was decided; a wider one needs a new decision"
        )
    return issue.share


def _evidence_at(case: Case, signed: SignedBy) -> dt.datetime:
    """When the evidence was complete: the last segment of trials or attempts before the decision, or the first counted
    signature if that is earlier.

    The ledger's times are its writer's word. A person's signature cannot have come before what it is about, and whoever
    holds only the case's own key cannot move it.
    """
    counted = {one.keyid for one in signed.quorum.counted}
    decided = max(entry.seq for entry in case.ledger.entries() if entry.subject.get("path") == "decision.json")
    segments = (*case.trials.segments(), *case.attempts.segments())
    added = [segment.entry.at for segment in segments if segment.entry.seq < decided]
    times = [max(added)] if added else []
    for path in sign_off_files(case):
        envelope = read_envelope(path)
        if counted & {one.keyid for one in envelope.signatures}:
            statement = envelope.statement()
            if [one.sha256 for one in statement.subject] == [signed.decision_sha256]:
                times.append(parse_utc(statement.predicate["at"]))
    return min(times)
