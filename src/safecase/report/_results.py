"""The results part of a document: gates held against their lines, rates, attacks."""

from collections.abc import Iterable, Sequence
from typing import Any

from safecase.compose import ATTACKS, LEARNED, PLAYS, TRANSLATED
from safecase.declare import Framework, Gate, Threshold
from safecase.evidence import Estimate, Finding
from safecase.measure import CURVES
from safecase.report._input import ReportInput
from safecase.report._numbers import FINDINGS, Tracer, near_estimates, without_marks
from safecase.report._words import ARMS, CALIBRATION, LIMIT_WORDS, MEASURES, VERDICTS, sentence_case

ARM_ORDER = ("bare", "trained", "guarded", "guarded-bare")


def gate_results(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """One entry per gate for which something was measured, in the framework's order."""
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    return [
        _gate_result(given, tracer, gate, by_id.values())
        for gate in given.framework.gates
        if any(f"{gate.id}/{arm}/all" in by_id for arm in ARM_ORDER)
    ]


def unmeasured_gates(given: ReportInput) -> list[dict[str, Any]]:
    """The gates for which nothing was measured, with what it would take and whether that bars deployment."""
    measured = {estimate.scope.get("name") for estimate in given.estimates}
    suites = {suite.id: suite for suite in given.framework.suites}
    rows = []
    for gate in given.framework.gates:
        mine = [finding for finding in given.decided.findings if finding.gate == gate.id]
        if gate.id in measured or not mine:
            continue
        title, tone = VERDICTS[mine[0].verdict]
        rows.append(
            {
                "gate": gate.id,
                "title": gate.title,
                "domain": domain_title(given.framework, gate),
                "verdict": title,
                "tone": tone,
                "bars": sorted({finding.context for finding in mine if finding.blocks}),
                "needs": suites[gate.suite].needs,
                "cites": gate.cites,
            }
        )
    return rows


def rate_rows(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """Every rate over everything that was run, one line per measure."""
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    rows = []
    for measure, (title, meaning) in MEASURES.items():
        cells = [cell(by_id.get(f"{measure}/{arm}/all"), tracer) for arm in ARM_ORDER]
        if any(cells):
            rows.append({"title": title, "meaning": meaning, "cells": dict(zip(ARM_ORDER, cells, strict=True))})
    return rows


_SUMMARIES = {"imported": "as imported", LEARNED: "met in live use"}


def _origin(attack: str) -> str:
    """Where an attack is from that does not ship."""
    return LEARNED if attack.startswith(f"{LEARNED}-") else "imported"


def attack_rows(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """Unsafe answers under every attack that was run, worst first by the bound after safeguards."""
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    names = sorted({e.group.removeprefix("attack:") for e in group_of(given.estimates, "unsafe_rate", "attack")})
    known = {attack.name: attack for attack in (*ATTACKS, *PLAYS, TRANSLATED)}

    def badness(name: str) -> tuple[float, str]:
        last = by_id.get(f"unsafe_rate/guarded/attack:{name}") or by_id.get(f"unsafe_rate/bare/attack:{name}")
        return (-(last.high if last else 1.0), name)

    return [
        {
            "attack": name,
            "family": known[name].family if name in known else _origin(name),
            "summary": known[name].summary if name in known else _SUMMARIES[_origin(name)],
            "bare": cell(by_id.get(f"unsafe_rate/bare/attack:{name}"), tracer),
            "guarded": cell(by_id.get(f"unsafe_rate/guarded/attack:{name}"), tracer),
        }
        for name in sorted(names, key=badness)
    ]


def worst_attacks(given: ReportInput, tracer: Tracer) -> list[str]:
    """For each arm, the attack that came out worst, in a marked sentence that says it was selected."""
    sentences = []
    for arm in ("bare", "trained", "guarded"):
        members = [
            e for e in group_of(given.estimates, "unsafe_rate", "attack") if e.arm == arm and e.value is not None
        ]
        if not members:
            continue
        worst = max(members, key=lambda e: (e.value or 0.0, e.estimate_id))
        mark = tracer.mark
        sentences.append(
            f"{ARMS[arm]}, the worst of {mark(f'groups/unsafe_rate/{arm}/attack')} attacks is "
            f"“{without_marks(worst.group.removeprefix('attack:'))}” at {mark(worst.estimate_id)} (interval "
            f"{mark(worst.estimate_id + '/low')} to {mark(worst.estimate_id + '/high')}, "
            f"{mark(worst.estimate_id + '/clusters')} intents)."
        )
    return sentences


def worst_of_gates(given: ReportInput, tracer: Tracer) -> list[str]:
    """For each gate on every attack and each arm, the worst attack's rate with what choosing it did to the figure."""
    sentences = []
    for estimate in given.estimates:
        name, mark = estimate.estimate_id, tracer.mark
        if estimate.group != "worst" or estimate.value is None:
            continue
        arm, attack = ARMS.get(estimate.arm, estimate.arm).lower(), without_marks(str(estimate.scope["attack"]))
        sentence = (
            f"{estimate.scope['name']}, {arm}: the worst of {mark(name + '/compared')} attacks is “{attack}” at "
            f"{mark(name)} (interval for the worst, whichever it is: {mark(name + '/low')} to {mark(name + '/high')})"
        )
        if isinstance(estimate.scope.get("selection_bias"), float):
            sentence += f", of which {mark(name + '/selection_bias')} is owed to choosing it by the same answers"
        sentences.append(f"{sentence}.")
    return sentences


def attempt_curves(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """Unsafe answers within the first 1, 2, ... attempts, one row per attack and arm; none where attacks try once."""
    curves: dict[tuple[str, str], list[Estimate]] = {}
    for estimate in given.estimates:
        if estimate.scope.get("name") == CURVES:
            attack = estimate.group.removeprefix("attack:").rpartition("@")[0]
            curves.setdefault((attack, estimate.arm), []).append(estimate)
    return [
        {
            "attack": attack,
            "arm": ARMS.get(arm, sentence_case(arm)),
            "sentence": "; ".join(
                f"{tracer.mark(e.estimate_id)} ({tracer.mark(e.estimate_id + '/low')} to "
                f"{tracer.mark(e.estimate_id + '/high')})"
                for e in members
            ),
        }
        for (attack, arm), members in curves.items()
    ]


def cell(estimate: Estimate | None, tracer: Tracer) -> dict[str, Any] | None:
    """A measured value as a table cell: ids of value, bounds and counts. None where nothing was measured."""
    if estimate is None:
        return None
    name = estimate.estimate_id
    for suffix in ("", "/low", "/high", "/n", "/clusters"):
        tracer.num(name + suffix)
    return {"id": name, "low": f"{name}/low", "high": f"{name}/high", "n": f"{name}/n", "clusters": f"{name}/clusters"}


def group_of(estimates: Iterable[Estimate], name: str, grouping: str) -> list[Estimate]:
    """The estimates of one measure over one grouping."""
    return [e for e in estimates if e.scope.get("name") == name and e.group.startswith(f"{grouping}:")]


def finding_sentence(given: ReportInput, finding: Finding, tracer: Tracer) -> str:
    """A finding's reason with every number traced."""
    gate = next(gate for gate in given.framework.gates if gate.id == finding.gate)
    place = given.decided.findings.index(finding)
    near = [
        *near_estimates(finding.evidence, finding.reason, gate),
        "facts/training_operations",
        "frontier/min_operations",
    ]
    return tracer.quote(finding.reason, file=FINDINGS, pointer=f"/{place}/reason", near=near)


def line_words(gate: Gate, rank: int, threshold: Threshold, tracer: Tracer) -> str:
    """A gate's line as a marked sentence."""
    words = _limit_words(gate, rank, "passes", threshold, tracer)
    if threshold.fails is not None:
        words += f"; fails {_limit_words(gate, rank, 'fails', threshold, tracer)}"
    where = "overall" if threshold.over == "all" else f"for every {threshold.over}"
    return f"{words} {where}"


def domain_title(framework: Framework, gate: Gate) -> str:
    """The domain a gate bears on."""
    return framework.domain_of(gate.bears_on[0]).title


def _limit_words(gate: Gate, rank: int, side: str, threshold: Threshold, tracer: Tracer) -> str:
    limit = threshold.passes if side == "passes" or threshold.fails is None else threshold.fails
    word = next(words for field, words in LIMIT_WORDS.items() if getattr(limit, field) is not None)
    return f"{word} {tracer.mark(f'gate/{gate.id}/{rank}/{side}')}"


def _gate_result(given: ReportInput, tracer: Tracer, gate: Gate, estimates: Iterable[Estimate]) -> dict[str, Any]:
    mine = [estimate for estimate in estimates if estimate.scope.get("name") == gate.id]
    title, meaning = MEASURES.get(gate.measure, (sentence_case(gate.measure), ""))
    groupings = sorted({threshold.over for threshold in gate.thresholds} - {"all"})
    tracer.num(f"gate/{gate.id}/min_clusters")
    return {
        "gate": gate.id,
        "title": gate.title,
        "domain": domain_title(given.framework, gate),
        "measure": title,
        "meaning": meaning,
        "cites": gate.cites,
        "lines": [line_words(gate, rank, threshold, tracer) for rank, threshold in enumerate(gate.thresholds)],
        "confidence": tracer.mark(f"gate/{gate.id}/confidence"),
        "least_intents": tracer.mark(f"gate/{gate.id}/min_clusters"),
        "unit": next((str(e.scope["unit"]) for e in mine if "unit" in e.scope), "intents"),
        "is_over_these_tasks": any(e.scope.get("estimand") == "these-tasks" for e in mine),
        "is_ceiling": gate.thresholds[0].passes.is_ceiling,
        "is_own_figure": gate.own_figure,
        "is_illustrative": gate.illustrative,
        "notes": gate.notes,
        "rows": [_arm_row(gate, estimate, tracer) for estimate in _in_arm_order(mine, "all")],
        "groups": [_group_table(grouping, mine, tracer) for grouping in groupings],
        "findings": _findings(given, tracer, gate),
    }


def _arm_row(gate: Gate, estimate: Estimate, tracer: Tracer) -> dict[str, Any]:
    name = estimate.estimate_id
    is_difference = estimate.arm == "guarded-bare"
    bound = "upper_bound" if gate.thresholds[0].passes.is_ceiling else "lower_bound"
    row: dict[str, Any] = {
        "arm": ARMS.get(estimate.arm, sentence_case(estimate.arm)),
        "cell": cell(estimate, tracer),
        "bound": None if is_difference else f"{name}/{bound}",
        "bound_side": "upper" if bound == "upper_bound" else "lower",
        "absent": f"{name}/absent",
        "population": [f"{name}/population_low", f"{name}/population_high"]
        if "population_low" in estimate.scope
        else None,
        "calibration": CALIBRATION[estimate.calibration],
        "judge": estimate.judge,
    }
    for number_id in (row["bound"], row["absent"], *(row["population"] or ())):
        if number_id:
            tracer.num(number_id)
    return row


def _group_table(grouping: str, estimates: Sequence[Estimate], tracer: Tracer) -> dict[str, Any]:
    members = [e for e in estimates if e.group.startswith(f"{grouping}:") and e.arm != "guarded-bare"]
    names = sorted({e.group.partition(":")[2] for e in members})
    by_key = {(e.arm, e.group.partition(":")[2]): e for e in members}
    return {
        "grouping": grouping,
        "rows": [
            {
                "name": name,
                "bare": cell(by_key.get(("bare", name)), tracer),
                "guarded": cell(by_key.get(("guarded", name)), tracer),
            }
            for name in names
        ],
    }


def _findings(given: ReportInput, tracer: Tracer, gate: Gate) -> list[dict[str, Any]]:
    """What the gate says in each context; contexts with the same arm and reason stand in one line."""
    lines: dict[tuple[str, str, str, bool], list[Finding]] = {}
    for finding in given.decided.findings:
        if finding.gate == gate.id:
            key = (finding.arm, finding.verdict, finding.reason, finding.blocks)
            lines.setdefault(key, []).append(finding)
    return [
        {
            "contexts": [given.framework.context(finding.context).title for finding in same],
            "arm": ARMS.get(arm, sentence_case(arm)),
            "verdict": VERDICTS[verdict][0],
            "tone": VERDICTS[verdict][1],
            "reason": finding_sentence(given, same[0], tracer),
            "bars": blocks,
        }
        for (arm, verdict, _, blocks), same in lines.items()
    ]


def _in_arm_order(estimates: Iterable[Estimate], group: str) -> list[Estimate]:
    rank = {arm: place for place, arm in enumerate(ARM_ORDER)}
    return sorted((e for e in estimates if e.group == group), key=lambda e: (rank.get(e.arm, len(rank)), e.arm))
