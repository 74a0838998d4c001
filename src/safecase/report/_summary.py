"""Page one of a document: verdicts, tiers, exceptions."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from safecase.decide import Determination, Proposal
from safecase.declare import Context
from safecase.evidence import Finding
from safecase.report._input import ReportInput, Signature
from safecase.report._numbers import DECISION, LEDGER, Tracer, near_estimates
from safecase.report._results import finding_sentence
from safecase.report._words import BARRING, CHOICES, POLICY_STATES, POSITIONS, TIERS, Tone, sentence_case


def contexts(given: ReportInput) -> list[Context]:
    """The contexts that were decided, in the framework's order."""
    decided = {proposal.context for proposal in given.decided.proposals}
    return [context for context in given.framework.contexts if context.id in decided]


def verdicts(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """One sentence per context, with the choice it explains."""
    by_context = {proposal.context: proposal for proposal in given.decided.proposals}
    rows = []
    for context in contexts(given):
        proposal = by_context[context.id]
        title, tone = _choice(given, proposal)
        rows.append(
            {
                "context": context.id,
                "title": context.title,
                "who": context.who,
                "choice": proposal.choice,
                "label": title,
                "tone": tone,
                "sentence": _sentence(given, tracer, proposal),
                "exceptions": len(proposal.exceptions),
            }
        )
    return rows


def tiers(given: ReportInput) -> dict[str, Any]:
    """Tiers by domain and context, before and after safeguards."""
    by_key = {(d.domain, d.context): d for d in given.decided.determinations}
    columns = contexts(given)
    rows = []
    for domain in given.framework.domains:
        cells = [by_key.get((domain.id, context.id)) for context in columns]
        if any(cells):
            rows.append(
                {
                    "domain": domain.title,
                    "kind": domain.kind,
                    "cells": [_tier_cell(determination, domain.kind) for determination in cells],
                }
            )
    return {"contexts": [context.title for context in columns], "rows": rows}


def exceptions(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """Signed exceptions in force."""
    titles = {gate.id: gate.title for gate in given.framework.gates}
    return [
        {
            "gate": opening.gate,
            "title": titles.get(opening.gate, opening.gate),
            "context": given.framework.context(opening.context).title,
            "expires": opening.expires,
            "signers": list(opening.signers),
            "reason": _stop(tracer.quote(opening.reason, file=LEDGER, pointer=f"/exceptions/{place}/reason")),
        }
        for place, opening in enumerate(given.openings)
    ]


def hold(given: ReportInput, tracer: Tracer) -> list[str]:
    """Reasons for a development hold."""
    return [
        tracer.quote(reason, file=DECISION, pointer=f"/hold/{place}") for place, reason in enumerate(given.decided.hold)
    ]


def headline_figures(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """The few figures that stand large on page one."""
    table = tracer.table
    figures: list[dict[str, Any]] = [{"value": "trials/total", "label": "trials", "note": None}]
    if given.totals.intents is not None:
        figures[0]["note"] = f"over {tracer.mark('trials/intents')} intents"
    for measure, label in (("unsafe_rate", "unsafe answers"), ("overrefusal_rate", "over-refusal")):
        before, after = f"{measure}/bare/all", f"{measure}/guarded/all"
        if after in table and before in table:
            note = f"{tracer.mark(after + '/low')} to {tracer.mark(after + '/high')} after safeguards"
            figures.append({"value": after, "before": before, "label": label, "note": note})
        elif before in table:
            note = f"{tracer.mark(before + '/low')} to {tracer.mark(before + '/high')}, no safeguards assessed"
            figures.append({"value": before, "label": label, "note": note})
    for figure in figures:
        for key in ("value", "before"):
            if key in figure:
                tracer.num(figure[key])
    return figures


def proposals(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """The proposal of every context with all its reasons and its sign-offs."""
    rows = []
    for place, proposal in enumerate(given.decided.proposals):
        context = given.framework.context(proposal.context)
        label, tone = _choice(given, proposal)
        barring = [f for f in given.decided.findings if f.context == proposal.context and f.blocks]
        near = [name for finding in barring for name in _near(given, finding)]
        rows.append(
            {
                "context": context.title,
                "label": label,
                "tone": tone,
                "reasons": [
                    tracer.quote(
                        reason, file=DECISION, pointer=f"/proposals/{place}/reasons/{rank}", near=_own(near, reason)
                    )
                    for rank, reason in enumerate(proposal.reasons)
                ],
                "signatures": _signatures(given, tracer, proposal.context),
            }
        )
    return rows


def _choice(given: ReportInput, proposal: Proposal) -> tuple[str, Tone]:
    """An approval that no passed gate carries is not called support."""
    if proposal.choice == "approve" and not _passed(given, proposal.context):
        return ("Nothing bars it", "open")
    return CHOICES[proposal.choice]


def _passed(given: ReportInput, context: str) -> int:
    return sum(f.context == context and f.verdict == "pass" for f in given.decided.findings)


def _sentence(given: ReportInput, tracer: Tracer, proposal: Proposal) -> str:
    context, mark = proposal.context, tracer.mark
    if proposal.choice == "approve":
        passed = _passed(given, context)
        if not passed:
            return "No finding bars it, and none speaks for it: no gate that applies here was measured."
        gates = f"{mark(f'findings/{context}/pass')} gate{'s' if passed != 1 else ''} passed"
        return f"No finding bars it: {gates}, and the rest do not apply or do not block."
    barring = [f for f in given.decided.findings if f.context == context and f.blocks]
    if not barring:
        place = given.decided.proposals.index(proposal)
        return _stop(tracer.quote(proposal.reasons[0], file=DECISION, pointer=f"/proposals/{place}/reasons/0"))
    return f"{_count_of(tracer, context, barring)}{_foremost(given, tracer, barring)}"


def _count_of(tracer: Tracer, context: str, barring: Sequence[Finding]) -> str:
    counts = Counter[str](finding.verdict for finding in barring)
    parts = []
    for verdict, (one, several) in BARRING.items():
        if counts[verdict]:
            words = one if counts[verdict] == 1 else several
            parts.append(f"{tracer.mark(f'findings/{context}/blocking/{verdict}')} {words}")
    verb = "gates bars it" if len(barring) == 1 else "gates bar it"
    of = f"{tracer.mark(f'findings/{context}/blocking')} of {tracer.mark(f'findings/{context}')} {verb}"
    return f"{of}: {', '.join(parts)}"


def _foremost(given: ReportInput, tracer: Tracer, barring: Sequence[Finding]) -> str:
    """The worst finding, said in full where something was measured."""
    order = list(BARRING)
    worst = min(barring, key=lambda f: (order.index(f.verdict), not f.evidence))
    gate = next(gate for gate in given.framework.gates if gate.id == worst.gate)
    if not worst.evidence:
        return f"; foremost “{gate.title}”."
    first = finding_sentence(given, worst, tracer).split("; ")[0]
    return f"; foremost “{gate.title}”: {_stop(first)}"


def _tier_cell(determination: Determination | None, kind: str) -> dict[str, Any] | None:
    if determination is None:
        return None
    words = POLICY_STATES if kind == "content-policy" else TIERS

    def label(state: str) -> tuple[str, Tone]:
        return words.get(state) or TIERS[state]

    before, after = label(determination.inherent), label(determination.residual)
    return {
        "inherent": before[0],
        "inherent_tone": before[1],
        "residual": after[0],
        "residual_tone": after[1],
        "basis": determination.basis,
    }


def _signatures(given: ReportInput, tracer: Tracer, context: str) -> list[dict[str, Any]]:
    roles = {role.id: role.title for role in given.framework.roles}
    return [
        {
            "person": signature.person,
            "role": roles.get(signature.role, signature.role),
            "position": POSITIONS.get(signature.position, (sentence_case(signature.position), "open"))[0],
            "tone": POSITIONS.get(signature.position, ("", "open"))[1],
            "reason": tracer.quote(signature.reason, file=LEDGER, pointer=f"/signatures/{place}/reason"),
            "date": signature.date.isoformat() if signature.date else None,
            "is_demo": signature.is_demo,
            "counts": signature.counts,
        }
        for place, signature in enumerate(given.signatures)
        if speaks_of(given, signature, context)
    ]


def speaks_of(given: ReportInput, signature: Signature, context: str) -> bool:
    """A signature that names no context of the framework stands for the whole decision."""
    known = {entry.id for entry in given.framework.contexts}
    return signature.context == context or signature.context not in known


def _near(given: ReportInput, finding: Finding) -> list[str]:
    gate = next(gate for gate in given.framework.gates if gate.id == finding.gate)
    return list(near_estimates(finding.evidence, finding.reason, gate))


def _own(near: Sequence[str], reason: str) -> list[str]:
    """The ids whose gate the reason names."""
    return [name for name in near if any(part in reason for part in (name.split("/")[0], name.split("/")[1]))]


def _stop(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
