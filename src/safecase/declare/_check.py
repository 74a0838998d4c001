"""The faults that no single field shows: dangling ids, gates that bear on nothing, lines that overlap."""

from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from safecase.declare._errors import Problem
from safecase.declare._framework import Framework, Gate, Limit, Threshold
from safecase.declare._yaml import Document, Location

_BOUNDED = {
    "unsafe_rate",
    "safe_rate",
    "overrefusal_rate",
    "pass_at_10",
    "success_rate",
    "preserved_share",
    "honesty_rate",
    "misalignment_rate",
    "undetected_rate",
}


def check(framework: Framework, document: Document) -> tuple[Problem, ...]:
    """Every cross-reference fault of a framework, in the order of the file."""
    found = [
        *_repeated_ids(framework, document),
        *_criteria(framework, document),
        *_unused(framework, document),
        *(fault for i, gate in enumerate(framework.gates) for fault in _gate(framework, document, gate, i)),
        *_contexts(framework, document),
    ]
    return tuple(sorted(found, key=lambda problem: problem.line))


def _gate(framework: Framework, document: Document, gate: Gate, index: int) -> Iterator[Problem]:
    at: Location = ("gates", index)
    named = f"gate {gate.id!r}"
    entries = _entries(framework)
    for i, entry in enumerate(gate.bears_on):
        yield from _known(document, (*at, "bears_on", i), f"{named} bears on", entry, entries)
        if entry in entries and framework.domain_of(entry).kind == "watch-list":
            yield document.problem(
                (*at, "bears_on", i),
                f"{named} bears on the watch-list entry {entry!r}, which informs and does not gate",
                "move the entry to a gated domain or drop the gate",
            )
    suites = {suite.id: suite for suite in framework.suites}
    yield from _known(document, (*at, "suite"), f"{named} names suite", gate.suite, suites)
    if gate.suite in suites and gate.measure not in suites[gate.suite].measures:
        yield document.problem(
            (*at, "measure"),
            f"{named} reads {gate.measure!r}, which suite {gate.suite!r} does not give",
            f"use one of {', '.join(suites[gate.suite].measures)}",
        )
    for i, context in enumerate(gate.contexts):
        yield from _known(
            document, (*at, "contexts", i), f"{named} applies in", context, [c.id for c in framework.contexts]
        )
    for i, deeper in enumerate(gate.then):
        yield from _known(
            document, (*at, "then", i), f"{named} hands on to", deeper, [g.id for g in framework.gates]
        )
        if deeper == gate.id:
            yield document.problem((*at, "then", i), f"{named} hands on to itself", "name the deeper gate")
    if gate.tier_on_fail and gate.tier_on_fail not in {tier.id for tier in framework.tiers}:
        yield document.problem(
            (*at, "tier_on_fail"), f"{named} raises to undeclared tier {gate.tier_on_fail!r}", "declare the tier"
        )
    areas = [area for domain in framework.domains for area in (domain.id, *domain.areas)]
    for key in ("domains", "categories"):
        for i, name in enumerate(getattr(gate.scope, key)):
            yield from _known(document, (*at, "scope", key, i), f"{named} selects", name, areas)
    for i, threshold in enumerate(gate.thresholds):
        yield from _threshold(document, (*at, "thresholds", i), gate, threshold)


def _threshold(document: Document, at: Location, gate: Gate, threshold: Threshold) -> Iterator[Problem]:
    for key in ("passes", "fails"):
        limit: Limit | None = getattr(threshold, key)
        if limit is not None and gate.measure in _BOUNDED and not 0 <= limit.value <= 1:
            yield document.problem(
                (*at, key), f"gate {gate.id!r} has its line at {limit.value:g}", "a rate must lie in [0, 1]"
            )
    if threshold.fails is not None and _overlap(threshold.passes, threshold.fails):
        yield document.problem(
            (*at, "fails"),
            f"thresholds of gate {gate.id!r} overlap: passes {threshold.passes}, fails {threshold.fails}",
            "leave no rate that both passes and fails",
        )


def _overlap(passes: Limit, fails: Limit) -> bool:
    if passes.is_ceiling == fails.is_ceiling:
        return True
    low, high = (fails, passes) if passes.is_ceiling else (passes, fails)
    return low.value < high.value or (low.value == high.value and not (low.is_strict or high.is_strict))


def _entries(framework: Framework) -> list[str]:
    ids: list[str] = []
    for domain in framework.domains:
        ids += [domain.id, *domain.areas]
        for outcome in domain.outcomes:
            ids += [outcome.id, *(scenario.id for scenario in outcome.threat_scenarios)]
    return ids


def _criteria(framework: Framework, document: Document) -> Iterator[Problem]:
    for i, domain in enumerate(framework.domains):
        for j, outcome in enumerate(domain.outcomes):
            at: Location = ("domains", i, "outcomes", j)
            if domain.kind == "watch-list":
                continue
            if outcome.inclusion is None:
                yield document.problem(
                    at, f"outcome {outcome.id!r} answers none of the four inclusion criteria", "add `inclusion:`"
                )
            elif not outcome.inclusion.all_hold:
                yield document.problem(
                    (*at, "inclusion"),
                    f"outcome {outcome.id!r} does not meet all four inclusion criteria",
                    "move it to the watch-list or to a refused exercise record",
                )
            if not outcome.threat_scenarios:
                yield document.problem(at, f"outcome {outcome.id!r} has no threat scenario", "add one")
            for k, scenario in enumerate(outcome.threat_scenarios):
                for m, capability in enumerate(scenario.capabilities):
                    yield from _known(
                        document,
                        (*at, "threat_scenarios", k, "capabilities", m),
                        f"scenario {scenario.id!r} needs capability",
                        capability,
                        [c.id for c in framework.capabilities],
                    )


def _unused(framework: Framework, document: Document) -> Iterator[Problem]:
    """A gated outcome or area that no gate bears on would pass unseen."""
    borne = {entry for gate in framework.gates for entry in gate.bears_on}
    for i, domain in enumerate(framework.domains):
        if domain.kind == "watch-list":
            continue
        for j, outcome in enumerate(domain.outcomes):
            ids = {domain.id, outcome.id, *(scenario.id for scenario in outcome.threat_scenarios)}
            if not ids & borne:
                yield document.problem(
                    ("domains", i, "outcomes", j), f"no gate bears on outcome {outcome.id!r}", "add a gate"
                )
        for j, area in enumerate(domain.areas):
            if not {domain.id, area} & borne:
                yield document.problem(("domains", i, "areas", j), f"no gate bears on area {area!r}", "add a gate")


def _contexts(framework: Framework, document: Document) -> Iterator[Problem]:
    ids = [context.id for context in framework.contexts]
    for i, context in enumerate(framework.contexts):
        if context.needs_before is not None:
            yield from _known(
                document, ("contexts", i, "needs_before"), f"context {context.id!r} follows", context.needs_before, ids
            )


def _repeated_ids(framework: Framework, document: Document) -> Iterator[Problem]:
    for key in ("roles", "tiers", "contexts", "capabilities", "domains", "suites", "gates"):
        ids = [item.id for item in getattr(framework, key)]
        for name, count in Counter(ids).items():
            if count > 1:
                last = len(ids) - 1 - ids[::-1].index(name)
                yield document.problem((key, last), f"{key} declares {name!r} {count} times", "give each its own id")


def _known(document: Document, at: Location, who: str, name: str, known: Iterable[str]) -> Iterator[Problem]:
    names = list(known)
    if name not in names:
        close = get_close_matches(name, names, n=1)
        mend = f"did you mean {close[0]!r}?" if close else f"declare it, or use one of {', '.join(names[:8])}"
        yield document.problem(at, f"{who} unknown id {name!r}", mend)
