"""The content of a report as one JSON value, from which HTML, PDF and JSON are all made."""

from collections.abc import Mapping
from typing import Any

from safecase.compose import ATTACKS, LEARNED, PLAYS, TRANSLATED
from safecase.decide import arm_of
from safecase.report import _results, _summary
from safecase.report._argument import arguments
from safecase.report._balance import balance
from safecase.report._campaigns import campaign_limits, campaigns
from safecase.report._changed import changed
from safecase.report._input import ReportInput, SampleRow
from safecase.report._layers import layer_rows
from safecase.report._numbers import (
    CASE,
    DECISION,
    Tracer,
    framework_digest,
    judge_lines,
)
from safecase.report._samples import withheld_for
from safecase.report._since import since
from safecase.report._suites import suites
from safecase.report._uplift import studies
from safecase.report._validation import validation_tables
from safecase.report._words import ANSWERS, ARMS, CALIBRATION, sentence_case

SAMPLES_ASKED = 5


def document(given: ReportInput, tracer: Tracer) -> dict[str, Any]:
    """Everything a report says. Sentences carry `⟦id⟧` where a number stands; `tracer` holds the numbers."""
    tracer.num("edition")
    return {
        "title": "Safety & Preparedness Report",
        "case": given.spec.title,
        "case_id": given.spec.id,
        "case_path": given.case_path,
        "model": _model(given),
        "framework": _framework(given),
        "date": given.date.isoformat(),
        "edition": given.edition,
        "sample_seed": given.sample_seed,
        "is_demo": given.is_stamped_demo,
        "verdicts": _summary.verdicts(given, tracer),
        "tiers": _summary.tiers(given),
        "exceptions": _summary.exceptions(given, tracer),
        "hold": _summary.hold(given, tracer),
        "headline": _summary.headline_figures(given, tracer),
        "signoff": _signoff(given),
        "admitted": [*_admitted(given, tracer), *campaign_limits(given, tracer)],
        "proposals": _summary.proposals(given, tracer),
        "frontier": _frontier(given, tracer),
        "contexts": _contexts(given),
        "method": _method(given, tracer),
        "results": {
            "gates": _results.gate_results(given, tracer),
            "rates": _results.rate_rows(given, tracer),
            "attacks": _results.attack_rows(given, tracer),
            "worst_attacks": [*_results.worst_attacks(given, tracer), *_results.worst_of_gates(given, tracer)],
            "attempt_curves": _results.attempt_curves(given, tracer),
            "changed": changed(given, tracer),
            "balance": balance(given, tracer),
            "suites": suites(given, tracer),
            "studies": studies(given, tracer),
            "layers": layer_rows(given, tracer),
            "validations": validation_tables(given, tracer),
        },
        "campaigns": campaigns(given, tracer),
        "arguments": arguments(given, tracer),
        "unmeasured": _results.unmeasured_gates(given),
        "samples": _samples(given, tracer),
        "reference_class": _reference_class(given, tracer),
        "benefits": _benefits(given, tracer),
        "residual": _residual(given),
        "watch_list": _watch_list(given),
        "tier_meanings": _tier_meanings(given),
        "principles": _principles(given),
        "governance": _governance(given, tracer),
        "conditions": [
            tracer.quote(words, file=DECISION, pointer=f"/conditions/{place}")
            for place, words in enumerate(given.conditions)
        ],
        "redactions": [
            {
                "what": tracer.quote(r.what, file=DECISION, pointer=f"/redactions/{place}/what"),
                "reason": tracer.quote(r.reason, file=DECISION, pointer=f"/redactions/{place}/reason"),
            }
            for place, r in enumerate(given.redactions)
        ],
        "changes": [
            {
                "edition": change.edition,
                "date": change.date.isoformat(),
                "change": tracer.quote(change.change, file=DECISION, pointer=f"/changes/{place}/change"),
                "reason": tracer.quote(change.reason, file=DECISION, pointer=f"/changes/{place}/reason"),
            }
            for place, change in enumerate(given.changes)
        ],
        "since": since(given, tracer),
        "checklist": _checklist(given),
        "evidence": {
            "ledger_head": given.ledger_head,
            "merkle_root": given.merkle_root,
            "evidence_root": given.evidence_root,
            "framework_digest": framework_digest(given),
            "verify": f"safecase verify {given.case_path}",
            "verify_trusted": f"safecase verify {given.case_path} --trust ROSTER --head {given.ledger_head}",
        },
    }


def _model(given: ReportInput) -> dict[str, Any]:
    model, identity = given.spec.model, given.facts.identity
    return {
        "title": model.title,
        "name": model.name,
        "parent": model.parent,
        "safeguard_state": model.safeguard_state,
        "modalities": list(model.modalities),
        "intended_uses": list(model.intended_uses),
        "identity_kind": identity.kind,
        "identity_digest": identity.digest,
    }


def _framework(given: ReportInput) -> dict[str, Any]:
    framework = given.framework
    return {
        "id": framework.id,
        "title": framework.title,
        "version": framework.version,
        "date": framework.date.isoformat(),
        "source": framework.source,
        "next_review": framework.next_review.isoformat(),
    }


def _signoff(given: ReportInput) -> str:
    """Who stands behind it, in a sentence: two people in different roles, of one position, for the same context."""
    proposal = "this is the program's proposal, and people decide."
    if not given.signatures:
        return f"Nobody has signed: {proposal}"
    if given.is_stamped_demo:
        return f"Only demonstration keys signed, and they authenticate nothing: {proposal}"
    signed = [context.title for context in _summary.contexts(given) if _is_signed(given, context.id)]
    if not signed:
        return f"Not yet signed by two people in different roles: {proposal}"
    return f"Signed by two people in different roles for: {', '.join(signed)}. For any other context {proposal}"


def _is_signed(given: ReportInput, context: str) -> bool:
    here = [s for s in given.signatures if _summary.speaks_of(given, s, context)]
    mine = [s for s in here if s.counts and s.position != "dissent"]
    by_position = [[s for s in mine if s.position == position] for position in {s.position for s in mine}]
    return any(len({s.person for s in same}) > 1 and len({s.role for s in same}) > 1 for same in by_position)


def _admitted(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """Limits, as `decide` lists them, those of one kind together. What is about many things is said once."""
    groups: dict[str, dict[str, list[str]]] = {title: {} for title, _ in _LIMIT_KINDS}
    for place, limit in enumerate(given.decided.limits):
        subject, said = _split_limit(limit)
        words = tracer.quote(said, file=DECISION, pointer=f"/limits/{place}", near=_near_limit(given, subject))
        title = next(title for title, phrase in _LIMIT_KINDS if phrase in limit)
        groups[title].setdefault(words, []).append(subject)
    return [
        {
            "title": title,
            "lines": [_limit_line(subjects, words) for words, subjects in lines.items()],
        }
        for title, lines in groups.items()
        if lines
    ]


_LIMIT_KINDS = (
    ("The judge", "judge's error"),
    ("Attempts without an answer", "attempts gave no answer"),
    ("Not measured", "was not measured"),
    ("Not planned", "was not planned"),
    ("Figures that the framework calls illustrative", "illustrative"),
    ("Other limits", ""),
)


def _limit_line(subjects: list[str], words: str) -> dict[str, Any]:
    several = len(subjects) > 1 and words.startswith("was ")
    return {"subjects": [s for s in subjects if s], "words": f"were {words.removeprefix('was ')}" if several else words}


def _split_limit(limit: str) -> tuple[str, str]:
    """The gate or estimate a limit speaks of, and what it says of it."""
    subject, _, rest = limit.partition(" ")
    is_id = "." in subject.strip(".:") or "/" in subject
    return (subject.rstrip(":"), rest) if is_id and rest else ("", limit)


def _near_limit(given: ReportInput, subject: str) -> list[str]:
    known = any(estimate.estimate_id == subject for estimate in given.estimates)
    near = [f"{subject}/absent", f"{subject}/n"] if known else []
    return [*near, "facts/training_operations", "frontier/min_operations"]


def _frontier(given: ReportInput, tracer: Tracer) -> dict[str, Any]:
    facts, test = given.facts, given.framework.frontier_test
    answers = {True: "yes, likely", False: "no", None: "unknown, so the gates apply"}
    domains = [domain for domain in given.framework.domains if domain.kind == "catastrophic"]
    near = ["facts/training_operations", "frontier/min_operations"]
    for number_id in near:
        tracer.num(number_id)
    return {
        "sentence": tracer.quote(given.decided.frontier, file=DECISION, pointer="/frontier", near=near),
        "operations": "facts/training_operations",
        "source": tracer.quote(facts.operations_source, file=CASE, pointer="/model/operations_source"),
        "line": "frontier/min_operations",
        "cites": test.cites,
        "domains": [
            {"domain": domain.title, "more_capable": answers[facts.more_capable.get(domain.id)]} for domain in domains
        ],
        "is_assumed": facts.assume_frontier,
    }


def _contexts(given: ReportInput) -> list[dict[str, Any]]:
    return [
        {
            "title": context.title,
            "who": context.who,
            "affordances": list(context.affordances),
            "adversary": context.adversary,
            "elicitation": context.elicitation,
            "layers": list(context.layers_count),
            "identity": context.minimum_identity,
            "arm": ARMS[arm_of(context, given.facts)],
        }
        for context in _summary.contexts(given)
    ]


def _method(given: ReportInput, tracer: Tracer) -> dict[str, Any]:
    plan = given.plan
    return {
        "arms": [
            {
                "name": str(arm.get("name", "")),
                "title": ARMS.get(str(arm.get("name")), sentence_case(str(arm.get("name", "")))),
                "model": str(arm.get("model", "")),
                "stack": str(arm.get("stack", "")),
                "stack_digest": str(arm.get("stack_digest", "")),
                "digest": str(arm.get("digest", "")),
            }
            for arm in plan.get("arms", ())
        ],
        "is_imported": not plan,
        "bank_digest": plan.get("bank_digest"),
        "scenarios_digest": plan.get("scenarios_digest"),
        "languages": list(plan.get("sampling", {}).get("languages", ())),
        "sampling": _settings(plan, "sampling", tracer),
        "generation": _settings(plan, "generation", tracer),
        "resources": _resources(given, tracer),
        "portfolio": _portfolio(given),
        "judge": plan.get("judge") or given.spec.judge,
        "judge_lines": _judge_lines(given, tracer),
        "guard_heads": _guard_heads(given, tracer),
        "estimators": sorted({estimate.method for estimate in given.estimates}),
        "levels": _levels(given, tracer),
    }


_UNSET = {"attacker": "none", "attempts": "as many as each attack has", "plugins": "none"}
"""What leaving out a setting means, where it does not mean all."""


def _settings(plan: Mapping[str, Any], part: str, tracer: Tracer) -> list[dict[str, Any]]:
    """Numeric settings as ids, the others as words."""
    rows = []
    for key, value in sorted(plan.get(part, {}).items()):
        number_id = f"plan/{part}/{key}"
        if number_id in tracer.table:
            rows.append({"name": sentence_case(key), "number": tracer.num(number_id) and number_id, "words": None})
        elif key != "languages":
            listed = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words = _UNSET.get(key, "all") if value in (None, [], ()) else listed
            rows.append({"name": sentence_case(key), "number": None, "words": words})
    return rows


def _resources(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    named = {
        "Trials": "trials/total",
        **{f"Trials, {status}": f"trials/status/{status}" for status in sorted(given.totals.by_status)},
        "Intents": "trials/intents",
        "Scenarios": "trials/scenarios",
        "Answers with a person's label": "trials/labels",
        "Answers the judge could not judge": "trials/unscored",
        "Tokens in": "trials/tokens_in",
        "Tokens out": "trials/tokens_out",
        "Wall-clock time": "trials/seconds",
    }
    return [{"name": name, "number": tracer.num(number_id) and number_id} for name, number_id in named.items()]


def _portfolio(given: ReportInput) -> list[dict[str, Any]]:
    """Attacks that were met, by family, with what each does."""
    met = {e.group.removeprefix("attack:") for e in given.estimates if e.group.startswith("attack:")}
    met |= {row.attack for row in given.samples}
    families: dict[str, list[dict[str, str]]] = {}
    for attack in (*ATTACKS, *PLAYS, TRANSLATED):
        if attack.name in met:
            families.setdefault(attack.family, []).append({"name": attack.name, "summary": attack.summary})
    for name in sorted(name for name in met if name.startswith(f"{LEARNED}-")):
        families.setdefault(LEARNED, []).append({"name": name, "summary": "Met in live use, and accepted by a person."})
    return [{"family": sentence_case(family), "attacks": attacks} for family, attacks in families.items()]


def _judge_lines(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    rows = []
    for line_id, line in judge_lines(given):
        for part in ("sensitivity", "specificity"):
            for suffix in ("", "/low", "/high", "/n"):
                tracer.num(f"{line_id}/{part}{suffix}")
        rows.append(
            {
                "event": line.event.replace("_", " "),
                "domain": line.domain,
                "language": line.language,
                "source": line.source,
                "arm": line.arm,
                "level": CALIBRATION.get(line.level, line.level),
                "sensitivity": f"{line_id}/sensitivity",
                "specificity": f"{line_id}/specificity",
                "has_sensitivity": line.sensitivity.value is not None,
                "has_specificity": line.specificity.value is not None,
                "kappa": f"{line_id}/kappa" if line.kappa is not None and tracer.num(f"{line_id}/kappa") else None,
            }
        )
    return rows


_HEAD_FIELDS = ("auroc", "precision", "recall", "rows", "threshold")


def _guard_heads(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    rows = []
    for head in given.guard_heads:
        fields = {field: f"guard/{head.name}/{field}" for field in _HEAD_FIELDS}
        for number_id in fields.values():
            tracer.num(number_id)
        rows.append({"name": head.name, "is_enabled": head.enabled, "source": head.source, **fields})
    return rows


def _levels(given: ReportInput, tracer: Tracer) -> str:
    first = next(iter(given.estimates), None)
    return tracer.mark(f"{first.estimate_id}/level") if first else ""


def _samples(given: ReportInput, tracer: Tracer) -> dict[str, Any]:
    titles = {gate.id: gate.title for gate in given.framework.gates}
    gates: dict[str, list[dict[str, Any]]] = {}
    for row in given.samples:
        gates.setdefault(row.gate, []).append(_sample(row))
    tracer.num("samples/total")
    return {
        "total": "samples/total",
        "seed": "samples/seed" if given.sample_seed is not None and tracer.num("samples/seed") else None,
        "gates": [
            {
                "gate": gate,
                "title": titles.get(gate, sentence_case(gate)),
                "rows": rows,
                "is_short": len(rows) < SAMPLES_ASKED,
            }
            for gate, rows in gates.items()
        ],
    }


def _sample(row: SampleRow) -> dict[str, Any]:
    """A sample for print. What should not be printed is withheld here too, whatever the caller left in."""
    reason = row.withheld_reason or withheld_for(row.verdict, is_harmful=row.harmful)
    label, tone = ANSWERS.get(row.verdict or "", ("not judged", "open"))
    if row.prompt is None and row.prompt_withheld is not None:
        reason = reason or "held out"
    text = None if reason else row.response
    return {
        "scenario_id": row.scenario_id,
        "trial_id": row.trial_id,
        "arm": ARMS.get(row.arm, sentence_case(row.arm)),
        "category": sentence_case(row.category),
        "attack": row.attack,
        "language": row.language,
        "is_harmful": row.harmful,
        "verdict": label,
        "tone": tone if row.harmful else "none",
        "prompt": row.prompt,
        "prompt_withheld": row.prompt_withheld or (None if row.prompt is not None else "not kept"),
        "response": text,
        "withheld": None if text is not None else reason or "no text kept",
        "characters": row.characters if row.characters is not None else (len(row.response) if row.response else None),
        "response_digest": row.response_digest,
        "withheld_by": row.withheld_by,
    }


def _reference_class(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    why = {member.name: member.why for member in given.spec.reference_class}
    tones = {"measured": "good", "imported": "good", "not evaluated": "none"}
    return [
        {
            "name": line.name,
            "why": why.get(line.name),
            "status": line.status,
            "tone": tones[line.status],
            "detail": tracer.quote(line.detail, file=CASE, pointer=f"/reference_class/{place}/detail"),
        }
        for place, line in enumerate(given.reference_class)
    ]


def _benefits(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    def words(place: int, field: str, text: str) -> str:
        return tracer.quote(text, file=CASE, pointer=f"/benefits/{place}/{field}")

    return [
        {
            "who": benefit.who,
            "claim": words(place, "claim", benefit.claim),
            "evidence": words(place, "evidence", benefit.evidence),
        }
        for place, benefit in enumerate(given.spec.benefits)
    ]


def _residual(given: ReportInput) -> list[dict[str, Any]]:
    """Residual risk as the benefits stand beside it: per domain, the states over all contexts."""
    table = _summary.tiers(given)
    rows = []
    for row in table["rows"]:
        states: dict[str, dict[str, Any]] = {}
        for title, found in zip(table["contexts"], row["cells"], strict=True):
            if found:
                entry = states.setdefault(found["residual"], {"tone": found["residual_tone"], "contexts": []})
                entry["contexts"].append(title)
        rows.append({"domain": row["domain"], "states": [{"label": label, **entry} for label, entry in states.items()]})
    return rows


def _watch_list(given: ReportInput) -> list[dict[str, Any]]:
    return [
        {"title": outcome.title, "cites": outcome.cites}
        for domain in given.framework.domains
        if domain.kind == "watch-list"
        for outcome in domain.outcomes
    ]


def _tier_meanings(given: ReportInput) -> list[dict[str, Any]]:
    standing = {d.residual for d in given.decided.determinations} | {d.inherent for d in given.decided.determinations}
    return [
        {
            "title": tier.title,
            "meaning": tier.meaning,
            "decision": sentence_case(tier.decision),
            "measures": list(tier.measures),
            "security": tier.security_protocol,
            "cites": tier.cites,
            "is_met": tier.id in standing or (tier.id == "high" and "provisional-high" in standing),
        }
        for tier in given.framework.tiers
    ]


def _principles(given: ReportInput) -> dict[str, Any] | None:
    spec = given.model_spec
    if spec is None:
        return None
    return {
        "id": spec.id,
        "version": spec.version,
        "system_prompt": spec.system_prompt(),
        "rows": [
            {"id": p.id, "rule": p.rule, "reason": p.reason, "areas": [sentence_case(c) for c in p.categories]}
            for p in spec.principles
        ],
    }


def _governance(given: ReportInput, tracer: Tracer) -> dict[str, Any]:
    for number_id in ("framework/review_every_months", "triggers/compute_multiple", "triggers/capability_gain"):
        tracer.num(number_id)
    age = tracer.mark("triggers/max_age_months")
    return {
        "author": given.spec.author,
        "roles": [
            {"title": role.title, "may": [sentence_case(act) for act in role.may]} for role in given.framework.roles
        ],
        "triggers": [
            f"training compute grows {tracer.mark('triggers/compute_multiple')} times since the last assessment",
            f"a capability measure rises by {tracer.mark('triggers/capability_gain')} or more",
            f"the last assessment is older than {age} months",
            *(["a checkpoint is marked for assessment"] if given.framework.triggers.each_checkpoint_marked else []),
        ],
        "triggers_cite": given.framework.triggers.cites,
        "review": f"The framework is reviewed at least every {tracer.mark('framework/review_every_months')} months, "
        f"next by {given.framework.next_review.isoformat()}.",
    }


def _checklist(given: ReportInput) -> list[dict[str, Any]]:
    """What the framework asks a report to hold (A2 2.2.1, CoP), and where it stands here. Absence is said."""
    in_use = given.since is not None and bool(given.since.events)
    has_reference = any(line.status != "not evaluated" for line in given.reference_class)
    here: list[tuple[str, str | None, str]] = [
        ("Risk assessment per domain, tier per context with justification", "summary", ""),
        ("Method, elicitation, time and resources", "method", ""),
        ("Results with uncertainty and margins to the line", "results", ""),
        ("Random samples of each evaluation", "samples" if given.samples else None, "no sample was drawn"),
        ("Mitigations and how they were shown adequate", "safeguards", ""),
        ("Residual risk and rationale", "proposal", ""),
        ("Conditions under which it would no longer hold", "conditions" if given.conditions else None, "none stated"),
        ("Reference class", "reference" if has_reference else None, "no member was measured or imported"),
        ("Adherence to the published model spec", "principles" if given.model_spec else None, "no model spec here"),
        ("Governance and sign-off", "governance", ""),
        ("Redactions with reasons, change log", "changes", ""),
        ("Ideological balance tested", "results" if _has_balance(given) else None, "the case asks for no `balance:`"),
        ("Recall of the live monitor, by sown attacks", *_sown(given)),
        ("Human expert baseline", None, "none recorded in this case"),
        ("Access given to internal and external evaluators", None, "none recorded in this case"),
        ("Evaluation awareness, per evaluation", None, "not measured for any evaluation here"),
        ("Undesirable behaviours from post-training (reward hacking, scheming)", None, "not measured"),
        ("Training that obscures reasoning", None, "not stated by the developer"),
        ("Evidence from earlier deployments", "changes" if in_use else None, "none recorded in this case"),
        ("State of weight security", None, "the protocols that tiers start are listed; their working was not assessed"),
    ]
    return [{"item": item, "section": section, "absence": absence or None} for item, section, absence in here]


def _sown(given: ReportInput) -> tuple[str | None, str]:
    return ("results" if given.validations else None, "no attack was sown in live traffic")


def _has_balance(given: ReportInput) -> bool:
    return any(estimate.measure == "signed_refusal_gap" for estimate in given.estimates)
