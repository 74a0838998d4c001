"""What a case comes to at a moment: gates, tiers, proposals, signatures, permits, conditions, the age of evidence.

Everything is read from the case's files through the rooms that own them; no verdict is made here.
"""

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from safecase.assess import (
    SIGNERS,
    Case,
    Issue,
    NotSupported,
    Restriction,
    SignedBy,
    Standing,
    case_roster,
    changed_terms,
    due_reasons,
    evidence_root,
    kept_estimates,
    permit_name,
    permit_terms,
    restrictions,
    roles_that_approve,
    signatures,
    standing,
)
from safecase.console._desk import Troubles
from safecase.console._part import Part, attempt
from safecase.console._words import bounds, measured
from safecase.decide import Choice, Determination, Proposal
from safecase.evidence import (
    PERMIT,
    Estimate,
    Finding,
    Roster,
    StatementBroken,
    digest_file,
    parse_public_key,
    read_envelope,
    verify_envelope,
)
from safecase.respond import ConditionState, condition_states

Tone = Literal["good", "bad", "open", "none"]
TONES: Mapping[str, Tone] = {
    "pass": "good",
    "fail": "bad",
    "inconclusive": "open",
    "provisional-high": "bad",
    "not-measured": "open",
    "approve": "good",
    "require-mitigation": "bad",
    "require-testing": "open",
    "valid": "good",
    "narrowed": "open",
}
_UNREAD = frozenset({"not-planned", "not-applicable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One estimate that a finding rests on, in words.

    Attributes:
        bounds: one-sided, by which a gate is cleared.
    """

    id: str
    group: str
    value: str
    bounds: str
    n: int
    clusters: int
    absent: int
    judge: str
    calibration: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLine:
    """A finding with the line that its gate draws.

    Attributes:
        anchor: its id on the page.
        limit: what the gate asks for.
        tone: how it is coloured.
    """

    anchor: str
    finding: Finding
    title: str
    limit: str
    tone: Tone
    is_catastrophic: bool
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitState:
    """A context's permit at a moment.

    Attributes:
        state: `none`; `valid`; `narrowed`: valid and made stricter; `expired`; `revoked`; `not-backed`: the case no
            longer gives it, or its signature does not hold.
        why: in sentences.
        expires: None without a permit.
    """

    state: Literal["none", "valid", "narrowed", "expired", "revoked", "not-backed"]
    why: tuple[str, ...]
    expires: dt.datetime | None = None
    restrictions: tuple[Restriction, ...] = ()

    @property
    def tone(self) -> Tone:
        """How it is coloured."""
        return TONES.get(self.state, "none" if self.state == "none" else "bad")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextView:
    """One deployment context: what is proposed, what was found, and how its permit and conditions stand."""

    id: str
    title: str
    who: str
    adversary: str
    proposal: Proposal | None
    read: tuple[GateLine, ...]
    unread: tuple[GateLine, ...]
    tiers: tuple[Determination, ...]
    permit: Part[PermitState]
    conditions: Part[tuple[ConditionState, ...]]

    @property
    def choice(self) -> Choice | None:
        """What is proposed, None before a decision."""
        return self.proposal.choice if self.proposal else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A role that could still sign, and who on the roster holds it and would count."""

    role: str
    title: str
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignView:
    """What is to be signed, who did, and who is missing.

    Attributes:
        sha256: of decision.json, which a sign-off is about.
        signed: None without a roster.
        short_of: how many people are missing from the quorum.
        missing: roles that did not sign yet; empty once the quorum is met.
        command: what a signer runs where the private key is.
    """

    sha256: str
    signed: SignedBy | None
    short_of: int
    missing: tuple[Missing, ...]
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Whether what was decided is still about the evidence.

    Attributes:
        is_stale: evidence was added since, or it is not what it was.
        due: why another assessment falls due.
        evidence_at: when the last segment of trials was listed; None without any.
    """

    is_stale: bool
    due: tuple[str, ...]
    evidence_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The whole of it.

    Attributes:
        standing: None where nothing was decided yet.
        troubles: what could not be read and is missing from the rest.
    """

    standing: Standing | None
    contexts: tuple[ContextView, ...]
    signing: Part[SignView | None]
    freshness: Part[Freshness | None]
    troubles: tuple[str, ...]


def overview(case: Case, *, known: Part[Troubles | None], at: dt.datetime) -> Overview:
    """What a case comes to.

    Args:
        known: what the desk knows that may break a condition.

    Raises:
        EvidenceError: decision, findings or ledger cannot be read.
    """
    stands = standing(case)
    estimates = attempt(lambda: {one.estimate_id: one for one in kept_estimates(case)} if stands else {})
    kept = estimates.value or {}
    return Overview(
        standing=stands,
        contexts=tuple(_context(case, name, stands, kept, known.value, at=at) for name in case.spec.contexts),
        signing=attempt(lambda: signing(case, at=at)),
        freshness=attempt(lambda: _freshness(case, stands, at=at) if stands else None),
        troubles=tuple(text for text in (estimates.trouble, known.trouble) if text),
    )


def signing(case: Case, *, at: dt.datetime) -> SignView | None:
    """What is to be signed and by whom; None without a decision.

    Raises:
        RosterBroken, StatementBroken: the roster or a sign-off does not hold.
    """
    path = case.path / "decision.json"
    if not path.exists():
        return None
    roster = case_roster(case)
    signed = signatures(case, roster, at=at)
    counted = signed.quorum.counted if signed else ()
    short_of = max(0, SIGNERS - len(counted))
    return SignView(
        sha256=digest_file(path),
        signed=signed,
        short_of=short_of,
        missing=tuple(_missing(case, roster, signed, at=at)) if short_of and roster else (),
        command=f'safecase decide sign {shlex.quote(str(case.path))} --key FILE --position approve --reason "..."',
    )


def gate_lines(
    case: Case, findings: Sequence[Finding], estimates: Mapping[str, Estimate], context: str
) -> Iterator[GateLine]:
    """The findings of a context, each with its gate's line and the figures it rests on."""
    gates = {gate.id: gate for gate in case.framework.gates}
    for finding in findings:
        if finding.context != context:
            continue
        gate = gates.get(finding.gate)
        yield GateLine(
            anchor=gate_anchor(finding.context, finding.gate, finding.arm),
            finding=finding,
            title=gate.title if gate else "not a gate of this framework",
            limit=gate.line if gate else "unknown",
            tone=TONES.get(finding.verdict, "none"),
            is_catastrophic=gate is not None and case.framework.is_catastrophic(gate),
            measured=tuple(_measured(estimates[name]) for name in finding.evidence if name in estimates),
        )


def gate_anchor(context: str, gate: str, arm: str) -> str:
    """Id of a finding on the page."""
    return f"f-{context}-{gate}-{arm}"


def measured_lines(names: Sequence[str], estimates: Mapping[str, Estimate]) -> tuple[Measured, ...]:
    """Those of these estimates that were kept, in words."""
    return tuple(_measured(estimates[name]) for name in names if name in estimates)


def _measured(estimate: Estimate) -> Measured:
    return Measured(
        id=estimate.estimate_id,
        group=estimate.group,
        value=measured(estimate),
        bounds=bounds(estimate),
        n=estimate.n,
        clusters=estimate.clusters,
        absent=estimate.absent,
        judge=estimate.judge,
        calibration=estimate.calibration,
    )


def _context(
    case: Case,
    name: str,
    stands: Standing | None,
    estimates: Mapping[str, Estimate],
    known: Troubles | None,
    *,
    at: dt.datetime,
) -> ContextView:
    context = case.framework.context(name)
    lines = list(gate_lines(case, stands.findings if stands else (), estimates, name))
    return ContextView(
        id=name,
        title=context.title,
        who=context.who,
        adversary=context.adversary,
        proposal=next((one for one in stands.proposals if one.context == name), None) if stands else None,
        read=tuple(line for line in lines if line.finding.verdict not in _UNREAD),
        unread=tuple(line for line in lines if line.finding.verdict in _UNREAD),
        tiers=tuple(one for one in stands.determinations if one.context == name) if stands else (),
        permit=attempt(lambda: permit_state(case, name, at=at)),
        conditions=attempt(
            lambda: condition_states(
                case,
                name,
                incidents=known.incidents if known else None,
                reopened=known.reopenings if known else (),
                at=at,
            )
        ),
    )


def permit_state(case: Case, context: str, *, at: dt.datetime) -> PermitState:
    """How the permit of a context stands. The gateway checks more: what it loaded, the model that answers.

    Raises:
        StatementBroken: the permit or a restriction does not hold.
    """
    roster = case_roster(case)
    path = case.path / permit_name(context)
    if not path.exists():
        try:
            permit_terms(case, context, Issue(at=at), roster=roster, at=at)
        except NotSupported as fault:
            return PermitState(state="none", why=(str(fault),))
        command = f"safecase decide permit {shlex.quote(str(case.path))} --context {context}"
        return PermitState(state="none", why=(f"the case supports one; `{command}` issues it",))
    held = _held(case, context)
    expires = dt.datetime.fromisoformat(held["expires"])
    found = restrictions(case, context, roster, at=at)
    revoked = [one.sentence for one in found if one.revokes(held)]
    narrowed = tuple(_narrowing(one) for one in found if one.kind == "narrowing")
    if revoked:
        return PermitState(state="revoked", why=tuple(revoked), expires=expires, restrictions=found)
    if at >= expires:
        return PermitState(state="expired", why=(f"it ended on {held['expires'][:10]}",), expires=expires)
    try:
        issue = Issue(at=dt.datetime.fromisoformat(held["issued"]), share=held["share"], demo=held["demo"])
        moved = changed_terms(held, permit_terms(case, context, issue, roster=roster, at=at))
    except NotSupported as fault:
        return PermitState(state="not-backed", why=(str(fault),), expires=expires, restrictions=found)
    if moved:
        why = (f"the case no longer gives it: {', '.join(name.replace('_', ' ') for name in moved)} changed",)
        return PermitState(state="not-backed", why=why, expires=expires, restrictions=found)
    return PermitState(state="narrowed" if narrowed else "valid", why=narrowed, expires=expires, restrictions=found)


def _narrowing(one: Restriction) -> str:
    """Who narrowed a permit, why, and to what."""
    said = [one.sentence]
    if one.share is not None:
        said.append(f"it serves at most {one.share:.4g} of the accounts")
    if one.where:
        named = ", ".join(f"{name} {value!r}" for name, value in sorted(one.where.items()))
        said.append(f"accounts with {named} are suspended, and those of which it is not known are {one.unverified}")
    return "; ".join(said)


def _held(case: Case, context: str) -> Mapping[str, Any]:
    """The terms of a permit that a key of the case signed."""
    path = case.path / permit_name(context)
    envelope = read_envelope(path)
    said = envelope.statement()
    keys = [
        parse_public_key(one.read_text(encoding="utf-8"), origin=str(one))
        for one in sorted((case.path / "keys").glob("*.pem"))
    ]
    if said.predicate_type != PERMIT or not verify_envelope(envelope, keys):
        raise StatementBroken(f"{path}: no permit that a key of the case signed as it stands; issue it again")
    return said.predicate


def _missing(case: Case, roster: Roster, signed: SignedBy | None, *, at: dt.datetime) -> Iterator[Missing]:
    """Roles that approve and did not count yet, with whoever on the roster holds them."""
    taken = {one.role for one in signed.quorum.counted} if signed else set()
    against = {one.person for one in signed.quorum.dissents} if signed else set()
    done = {one.person for one in signed.quorum.counted} if signed else set()
    titles = {role.id: role.title for role in case.framework.roles}
    for role in sorted(roles_that_approve(case) - taken):
        people = sorted(
            {
                one.person
                for one in roster.entries
                if one.role == role
                and one.is_valid(at)
                and one.person not in against | done
                and one.person.casefold() != case.spec.author.casefold()
            }
        )
        yield Missing(role=role, title=titles.get(role, role), people=tuple(people))


def _freshness(case: Case, stands: Standing, *, at: dt.datetime) -> Freshness:
    listed = [segment.entry.at for segment in case.trials.segments()]
    return Freshness(
        is_stale=evidence_root(case) != stands.evidence_root,
        due=due_reasons(case, now=lambda: at),
        evidence_at=max(listed, default=None),
    )
