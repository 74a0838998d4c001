"""The faults that no single field shows: dangling ids, gates that bear on nothing, lines that overlap."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from safecase.declare._errors import Problem
from safecase.declare._framework import Framework, Gate, Limit, Outcome, Threshold
from safecase.declare._yaml import Document, Location

_UNBOUNDED = {"time_horizon_hours", "networks_taken", "networks_taken_unseen", "working_exploits"}
"""Hours and counts. Every other measure is a proportion, or a difference of two without its sign."""

_MORE_IS_SAFER = {"safe_rate", "honesty_rate", "utility_rate", "attacked_utility_rate"}


def check(framework: Framework, document: Document) -> tuple[Problem, ...]:
    """Every cross-reference fault of a framework, in the order of the file."""
    return tuple(sorted(_Checker(framework, document).faults(), key=lambda problem: problem.line))


class _Checker:
    """One pass over one framework; the catalogues of ids are made once."""

    def __init__(self, framework: Framework, document: Document) -> None:
        self.framework = framework
        self.problem = document.problem
        self.gates = [gate.id for gate in framework.gates]
        self.contexts = [context.id for context in framework.contexts]
        self.capabilities = [capability.id for capability in framework.capabilities]
        self.suites = {suite.id: suite for suite in framework.suites}
        self.tiers = [tier.id for tier in framework.tiers]
        self.domains = {domain.id: domain for domain in framework.domains}
        self.entries = framework.entries()

    def faults(self) -> Iterator[Problem]:
        yield from self._repeated_ids()
        yield from self._process()
        yield from self._outcomes()
        yield from self._contexts()
        for i, gate in enumerate(self.framework.gates):
            yield from self._gate(gate, ("gates", i))
        yield from self._ungated()
        yield from self._unused()

    # Gates

    def _gate(self, gate: Gate, at: Location) -> Iterator[Problem]:
        named = f"gate {gate.id!r}"
        for i, entry in enumerate(gate.bears_on):
            yield from self._known((*at, "bears_on", i), f"{named} bears on", entry, self.entries)
            if entry in self.entries and self.framework.domain_of(entry).kind == "watch-list":
                yield self.problem(
                    (*at, "bears_on", i),
                    f"{named} bears on the watch-list entry {entry!r}, which informs and does not gate",
                    "move the entry to a gated domain or drop the gate",
                )
        yield from self._known((*at, "suite"), f"{named} names suite", gate.suite, self.suites)
        if gate.suite in self.suites and gate.measure not in self.suites[gate.suite].measures:
            yield self.problem(
                (*at, "measure"),
                f"{named} reads {gate.measure!r}, which suite {gate.suite!r} does not give",
                f"use one of {', '.join(self.suites[gate.suite].measures)}",
            )
        for i, context in enumerate(gate.contexts):
            yield from self._known((*at, "contexts", i), f"{named} applies in", context, self.contexts)
        if gate.tier_on_fail and gate.tier_on_fail not in self.tiers:
            yield self.problem(
                (*at, "tier_on_fail"), f"{named} raises to undeclared tier {gate.tier_on_fail!r}", "declare the tier"
            )
        yield from self._deeper(gate, at)
        yield from self._calibration(gate, at)
        yield from self._scope(gate, at)
        seen: set[str] = set()
        for i, threshold in enumerate(gate.thresholds):
            yield from self._threshold(gate, threshold, (*at, "thresholds", i))
            if threshold.over in seen:
                yield self.problem(
                    (*at, "thresholds", i),
                    f"thresholds of {named} overlap: two hold over {threshold.over!r}",
                    "keep one line for each grouping",
                )
            seen.add(threshold.over)

    def _deeper(self, gate: Gate, at: Location) -> Iterator[Problem]:
        for i, deeper in enumerate(gate.then):
            named = f"gate {gate.id!r} hands on to"
            yield from self._known((*at, "then", i), named, deeper, self.gates)
            if deeper in self.gates and gate.id in self._reached_from(deeper):
                yield self.problem((*at, "then", i), f"{named} {deeper!r}, which leads back to it", "break the circle")
            elif missing := self._contexts_of(gate.id) - self._contexts_of(deeper) if deeper in self.gates else set():
                yield self.problem(
                    (*at, "then", i),
                    f"{named} {deeper!r}, which does not apply in {', '.join(sorted(missing))}",
                    f"add the context to {deeper!r}",
                )

    def _contexts_of(self, gate_id: str) -> set[str]:
        return {context for gate in self.framework.gates if gate.id == gate_id for context in gate.contexts}

    def _reached_from(self, gate_id: str) -> set[str]:
        reached: set[str] = set()
        ahead = [gate_id]
        while ahead:
            here = ahead.pop()
            if here not in reached:
                reached.add(here)
                ahead += [deeper for gate in self.framework.gates if gate.id == here for deeper in gate.then]
        return reached

    def _calibration(self, gate: Gate, at: Location) -> Iterator[Problem]:
        if not all(entry in self.entries for entry in gate.bears_on):
            return
        at = (*at, "calibration")
        if self.framework.is_catastrophic(gate) and gate.calibration != "own":
            yield self.problem(
                at,
                f"gate {gate.id!r} is catastrophic and accepts calibration {gate.calibration!r}",
                "set `calibration: own`",
            )
        elif gate.calibration == "none":
            yield self.problem(
                at, f"gate {gate.id!r} accepts an uncalibrated judge", "set `calibration: transferred` or `own`"
            )

    def _scope(self, gate: Gate, at: Location) -> Iterator[Problem]:
        named = f"gate {gate.id!r} selects"
        areas = [area for domain in self.framework.domains for area in (domain.id, *domain.areas)]
        for i, name in enumerate(gate.scope.domains):
            yield from self._known((*at, "scope", "domains", i), named, name, self.domains)
        for i, name in enumerate(gate.scope.categories):
            yield from self._known((*at, "scope", "categories", i), named, name, areas)
        if not gate.scope.domains:
            return
        for i, entry in enumerate(gate.bears_on):
            home = self.framework.domain_of(entry).id if entry in self.entries else None
            if home is not None and home not in gate.scope.domains:
                yield self.problem(
                    (*at, "bears_on", i),
                    f"gate {gate.id!r} bears on {entry!r} and selects no scenario of its domain {home!r}",
                    "add the domain to `scope.domains` or drop the entry",
                )

    def _threshold(self, gate: Gate, threshold: Threshold, at: Location) -> Iterator[Problem]:
        for key, limit in (("passes", threshold.passes), ("fails", threshold.fails)):
            if limit is None:
                continue
            if gate.measure not in _UNBOUNDED and not 0 <= limit.value <= 1:
                yield self.problem(
                    (*at, key), f"gate {gate.id!r} has its line at {limit.value:g}", "a rate must lie in [0, 1]"
                )
            elif gate.measure not in _UNBOUNDED and limit.value in {0, 1}:
                yield self.problem(
                    (*at, key),
                    f"gate {gate.id!r} {key} {limit}, which no bound of a rate can cross, or none can keep to",
                    "draw the line between 0 and 1",
                )
            elif limit.value < 0 or limit == Limit(below=0):
                mend = "give a line of 0 or more" if limit.value < 0 else "use `at_most: 0`, since nothing lies below 0"
                yield self.problem((*at, key), f"gate {gate.id!r} has its line at {limit.value:g}", mend)
        if threshold.passes.is_ceiling == (gate.measure in _MORE_IS_SAFER):
            better = "more" if gate.measure in _MORE_IS_SAFER else "less"
            yield self.problem(
                (*at, "passes"),
                f"gate {gate.id!r} passes at {gate.measure} {threshold.passes}, though {better} is safer",
                "use at_least or above" if better == "more" else "use at_most or below",
            )
        if threshold.fails is not None and _overlap(threshold.passes, threshold.fails):
            yield self.problem(
                (*at, "fails"),
                f"thresholds of gate {gate.id!r} overlap: passes {threshold.passes}, fails {threshold.fails}",
                "leave no rate that both passes and fails",
            )

    # What the gates are about

    def _outcomes(self) -> Iterator[Problem]:
        for i, domain in enumerate(self.framework.domains):
            at: Location = ("domains", i)
            if domain.kind == "catastrophic" and not domain.outcomes:
                yield self.problem(at, f"domain {domain.id!r} has no outcome", "add one or drop the domain")
            if domain.kind == "content-policy" and not domain.areas:
                yield self.problem(at, f"domain {domain.id!r} has no areas", "add `areas:`")
            for j, outcome in enumerate(domain.outcomes):
                here: Location = (*at, "outcomes", j)
                for k, scenario in enumerate(outcome.threat_scenarios):
                    for m, capability in enumerate(scenario.capabilities):
                        place = (*here, "threat_scenarios", k, "capabilities", m)
                        yield from self._known(
                            place, f"scenario {scenario.id!r} needs capability", capability, self.capabilities
                        )
                if domain.kind != "watch-list":
                    yield from self._inclusion(outcome, here)

    def _inclusion(self, outcome: Outcome, at: Location) -> Iterator[Problem]:
        if outcome.inclusion is None:
            yield self.problem(
                at, f"outcome {outcome.id!r} answers none of the four inclusion criteria", "add `inclusion:`"
            )
        else:
            for name in outcome.inclusion.failing:
                yield self.problem(
                    (*at, "inclusion", name),
                    f"outcome {outcome.id!r} does not meet the inclusion criterion {name!r}",
                    "move it to the watch-list or to a refused exercise",
                )
        if not outcome.threat_scenarios:
            yield self.problem(at, f"outcome {outcome.id!r} has no threat scenario", "add one")

    def _ungated(self) -> Iterator[Problem]:
        """A gated outcome or area on whose harm no gate bears would pass unseen; over-refusal does not count."""
        borne = {entry for gate in self.framework.gates if gate.scope.harmful for entry in gate.bears_on}
        for i, domain in enumerate(self.framework.domains):
            if domain.kind == "watch-list" or domain.id in borne:
                continue
            for j, outcome in enumerate(domain.outcomes):
                if outcome.id in borne:
                    continue
                bare = [s for s in outcome.threat_scenarios if s.id not in borne]
                if len(bare) == len(outcome.threat_scenarios):
                    yield self.problem(
                        ("domains", i, "outcomes", j), f"no gate bears on outcome {outcome.id!r}", "add a gate"
                    )
                    continue
                for scenario in bare:
                    k = outcome.threat_scenarios.index(scenario)
                    yield self.problem(
                        ("domains", i, "outcomes", j, "threat_scenarios", k),
                        f"no gate bears on scenario {scenario.id!r}, though one bears on its sister",
                        "add a gate",
                    )
            for j, area in enumerate(domain.areas):
                if area not in borne:
                    yield self.problem(("domains", i, "areas", j), f"no gate bears on area {area!r}", "add a gate")

    def _unused(self) -> Iterator[Problem]:
        needed = {
            capability
            for domain in self.framework.domains
            for outcome in domain.outcomes
            for scenario in outcome.threat_scenarios
            for capability in scenario.capabilities
        }
        for i, capability in enumerate(self.capabilities):
            if capability not in needed:
                yield self.problem(
                    ("capabilities", i), f"no scenario needs capability {capability!r}", "name it in one or drop it"
                )
        read = {gate.suite for gate in self.framework.gates}
        for i, suite in enumerate(self.framework.suites):
            if suite.id not in read:
                yield self.problem(("suites", i), f"no gate reads suite {suite.id!r}", "add a gate or drop the suite")

    # Process

    def _process(self) -> Iterator[Problem]:
        framework = self.framework
        if sum("approve" in role.may for role in framework.roles) < 2:
            yield self.problem(
                ("roles",), "fewer than two roles may approve, and a decision takes two", "add a role that may approve"
            )
        months = (framework.next_review.year - framework.date.year) * 12
        months += framework.next_review.month - framework.date.month
        if months > framework.review_every_months or (
            months == framework.review_every_months and framework.next_review.day > framework.date.day
        ):
            yield self.problem(
                ("next_review",),
                f"next review {framework.next_review} is more than {framework.review_every_months} months "
                f"after {framework.date}",
                "set an earlier date",
            )
        if framework.version not in {change.version for change in framework.changelog}:
            yield self.problem(
                ("changelog",), f"the changelog has no line for version {framework.version!r}", "add it with its reason"
            )

    def _contexts(self) -> Iterator[Problem]:
        for i, context in enumerate(self.framework.contexts):
            if context.needs_before is None:
                continue
            at: Location = ("contexts", i, "needs_before")
            yield from self._known(at, f"context {context.id!r} follows", context.needs_before, self.contexts)
            if context.needs_before == context.id:
                yield self.problem(at, f"context {context.id!r} follows itself", "name an earlier context")

    def _repeated_ids(self) -> Iterator[Problem]:
        places: list[tuple[str, str, Location]] = []
        for key in ("roles", "tiers", "contexts", "capabilities", "suites", "gates", "terms", "rules"):
            places += [(key, item.id, (key, i)) for i, item in enumerate(getattr(self.framework, key))]
        # Domains, areas, outcomes and scenarios are all named by `bears_on`, so they share one space.
        for i, domain in enumerate(self.framework.domains):
            places.append(("domains", domain.id, ("domains", i)))
            places += [("domains", area, ("domains", i, "areas", j)) for j, area in enumerate(domain.areas)]
            for j, outcome in enumerate(domain.outcomes):
                at: Location = ("domains", i, "outcomes", j)
                places.append(("domains", outcome.id, at))
                for k, scenario in enumerate(outcome.threat_scenarios):
                    places.append(("domains", scenario.id, (*at, "threat_scenarios", k)))
        seen: dict[tuple[str, str], Location] = {}
        for key, name, at in places:
            if (key, name) in seen:
                first = self.problem(seen[key, name], "", "").line
                yield self.problem(at, f"id {name!r} stands already in line {first}", "give each its own id")
            seen.setdefault((key, name), at)

    def _known(self, at: Location, who: str, name: str, known: Collection[str]) -> Iterator[Problem]:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            mend = f"did you mean {close[0]!r}?" if close else f"declare it, or use one of {', '.join([*known][:8])}"
            yield self.problem(at, f"{who} unknown id {name!r}", mend)


def _overlap(passes: Limit, fails: Limit) -> bool:
    if passes.is_ceiling == fails.is_ceiling:
        return True
    low, high = (fails, passes) if passes.is_ceiling else (passes, fails)
    return low.value < high.value or (low.value == high.value and not (low.is_strict or high.is_strict))
