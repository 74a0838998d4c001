"""The safety-case argument: from "acceptably safe" down through outcomes and threat scenarios to findings. Pure.

It adds no rule of its own: gates decide. It says by what kind of reasoning the findings carry the claim, what would
defeat that, and how sure it may be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from safecase.decide._argument_confidence import combined, doubted, least, of_calibrations
from safecase.decide._argument_defeaters import Doubt, doubts_of
from safecase.decide._argument_values import (
    Acceptance,
    Argument,
    ClaimState,
    Concern,
    Confidence,
    Defeater,
    Footing,
    Link,
    Node,
    NodeKind,
    Pattern,
)
from safecase.decide._decide import frontier_sentence
from safecase.decide._values import Decided, Facts
from safecase.decide._verdict import read_gate
from safecase.declare import Context, Domain, Framework, Gate, Outcome, ThreatScenario
from safecase.evidence import Elicitation, Estimate, Finding, digest_value

TOP = "goal:top"

_PATTERNS: Mapping[str, Pattern] = {
    "pass_at_10": "inability",
    "success_rate": "inability",
    "time_horizon_hours": "inability",
    "networks_taken": "inability",
    "networks_taken_unseen": "inability",
    "working_exploits": "inability",
    "adaptation_difference": "inability",
    "preserved_share": "inability",
    "undetected_rate": "control",
    "honesty_rate": "trustworthiness",
    "misalignment_rate": "trustworthiness",
    "attack_success_rate": "trustworthiness",
    "utility_rate": "trustworthiness",
    "attacked_utility_rate": "trustworthiness",
    "insecure_code_rate": "trustworthiness",
    "abuse_rate": "trustworthiness",
    "twin_refusal_rate": "trustworthiness",
}
"""Measure -> how a gate on it argues; every other measure is of what safeguards withhold."""

_STRATEGIES: Mapping[Pattern, str] = {
    "frontier-test": "Too little compute: the frontier test does not reach this model",
    "inability": "Inability: the model, tried hard, cannot do what the scenario needs",
    "control": "Control: what a model would do against its overseers is seen and stopped",
    "trustworthiness": "Trustworthiness: under pressure and temptation the model does not tend to it",
    "safeguard": "Safeguards: what is asked for is withheld, under every attack that was tried",
}


def pattern_of(gate: Gate) -> Pattern:
    """By what kind of reasoning a gate carries a claim."""
    return _PATTERNS.get(gate.measure, "safeguard")


def argument_asked(framework: Framework, decided: Decided) -> tuple[str, ...]:
    """Contexts for which the framework asks for an argument: a gate that says so was reached and did not pass."""
    asking = {gate.id for gate in framework.gates if gate.asks_argument}
    reached = {"fail", "provisional-high", "inconclusive"}
    return tuple(dict.fromkeys(f.context for f in decided.findings if f.gate in asking and f.verdict in reached))


def build_argument(
    framework: Framework,
    decided: Decided,
    estimates: Iterable[Estimate],
    facts: Facts,
    *,
    context: Context,
    elicited: Mapping[tuple[str, str], Elicitation] | None = None,
    concerns: Sequence[Concern] = (),
    acceptances: Sequence[Acceptance] = (),
    basis: Mapping[str, Footing] | None = None,
) -> Argument:
    """Build the argument of one context. The same inputs give the same argument.

    Args:
        decided: of the same framework, estimates and facts, with this context among its own.
        elicited: (suite, arm) -> how hard it tried.
        concerns: incidents and broken conditions since; those of other contexts are passed over.
        acceptances: verified words of people who live with a doubt.
        basis: what claims stood on when people last settled the argument; None marks nothing as moved.
    """
    here = [one for one in concerns if not one.contexts or context.id in one.contexts]
    given = _Given(
        framework=framework,
        decided=decided,
        estimates={one.estimate_id: one for one in estimates},
        facts=facts,
        context=context,
    )
    tree = _grow(given)
    doubts = doubts_of(
        framework,
        context,
        tuple(tree.nodes.values()),
        tree.carried(),
        tree.findings,
        given.estimates,
        elicited or {},
        here,
    )
    defeaters = tuple(_answered(doubt, tree.nodes[doubt.target], acceptances) for doubt in doubts)
    judged = _judge(tree, defeaters)
    argument = Argument(
        context=context.id,
        framework=decided.framework,
        nodes=judged,
        links=tuple(tree.links),
        defeaters=defeaters,
    )
    settled = argument.footing() if basis is None else dict(basis)
    return replace(argument, nodes=_marked(argument, settled), basis=settled)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    framework: Framework
    decided: Decided
    estimates: Mapping[str, Estimate]
    facts: Facts
    context: Context

    def finding(self, gate: Gate) -> Finding | None:
        """The gate's finding in this context."""
        found = (f for f in self.decided.findings if (f.gate, f.context) == (gate.id, self.context.id))
        return next(found, None)

    def gates_on(self, *entries: str) -> list[Gate]:
        """The gates of this context that bear on one of these entries."""
        return [g for g in self.framework.gates if self.context.id in g.contexts and set(entries) & set(g.bears_on)]


@dataclass(slots=True)
class _Tree:
    """Nodes as they are met, depth first; what several claims share is there once."""

    nodes: dict[str, Node] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)

    def add(self, node: Node, *, under: str | None = None) -> bool:
        """Put a node in, under another. False where it stood there already."""
        is_new = node.node_id not in self.nodes
        self.nodes.setdefault(node.node_id, node)
        if under is not None:
            is_around = node.kind in {"context", "assumption"}
            self.links.append(
                Link(source=under, target=node.node_id, relation="in-context-of" if is_around else "supported-by")
            )
        return is_new

    def carried(self) -> dict[str, list[str]]:
        """Strategy -> ids of the gates that carry it."""
        found: dict[str, list[str]] = {}
        for link in self.links:
            if self.nodes[link.source].kind == "strategy" and self.nodes[link.target].about in self.findings:
                found.setdefault(link.source, []).append(self.nodes[link.target].about)
        return found


def _grow(given: _Given) -> _Tree:
    tree = _Tree()
    context, framework = given.context, given.framework
    proposal = next(p for p in given.decided.proposals if p.context == context.id)
    safe = f"The model is acceptably safe in the context “{context.title}”, by {framework.title}"
    tree.add(_goal(TOP, safe, state="supported" if proposal.choice == "approve" else "undecided"))
    for node in _surroundings(given):
        tree.add(node, under=TOP)
    strategy = _node("strategy:domains", "strategy", "Over every domain that gates", pattern="decomposition")
    tree.add(strategy, under=TOP)
    for domain in framework.domains:
        if domain.kind != "watch-list":
            _grow_domain(tree, given, domain)
    return tree


def _surroundings(given: _Given) -> Iterator[Node]:
    """What the top claim is meant in, and what it takes for granted."""
    context, identity = given.context, given.facts.identity
    counted = ", ".join(context.layers_count)
    yield _node("context:deployment", "context", f"{context.title}: {context.who}. Layers that count: {counted}")
    yield _node("context:adversary", "context", f"Adversary: {context.adversary}")
    yield _node("context:frontier", "context", frontier_sentence(given.framework, given.facts))
    yield _node(
        "assumption:framework",
        "assumption",
        "The framework's outcomes and scenarios are those that matter; the watch-list informs and does not gate",
    )
    yield _node(
        "assumption:identity",
        "assumption",
        f"The model served is the one assessed; its identity rests on {identity.kind}",
    )
    yield _node(
        "assumption:adversary",
        "assumption",
        "What attacks and elicitation found bounds what this adversary will find while the decision holds",
    )


def _grow_domain(tree: _Tree, given: _Given, domain: Domain) -> None:
    held = next(d for d in given.decided.determinations if (d.domain, d.context) == (domain.id, given.context.id))
    own: ClaimState = "refuted" if held.residual in {"critical", "high", "unmet"} else "supported"
    goal = _goal(
        f"goal:{domain.id}",
        f"Residual risk of “{domain.title}” is acceptable",
        about=domain.id,
        state=own,
        rests_on=digest_value([held.inherent, held.residual, held.basis]),
    )
    tree.add(goal, under="strategy:domains")
    for outcome in domain.outcomes:
        _grow_outcome(tree, given, domain, outcome, under=goal.node_id)
    for area in domain.areas:
        claim = _goal(f"goal:{area}", f"Answers keep to the line on {area.replace('-', ' ')}", about=area)
        tree.add(claim, under=goal.node_id)
        mine = [gate for gate in given.gates_on(area) if len(gate.bears_on) == 1]  # others: once, for the domain
        _argue(tree, given, scope=area, gates=mine, under=claim.node_id)
    if not domain.outcomes:
        entries = (domain.id, *domain.areas)
        wide = [gate for gate in given.gates_on(*entries) if len(gate.bears_on) > 1 or domain.id in gate.bears_on]
        _argue(tree, given, scope=domain.id, gates=wide, under=goal.node_id)


def _grow_outcome(tree: _Tree, given: _Given, domain: Domain, outcome: Outcome, *, under: str) -> None:
    goal = _goal(
        f"goal:{outcome.id}", f"Not brought within reach: {outcome.title}", about=outcome.id, citation=outcome.cites
    )
    tree.add(goal, under=under)
    wide = given.gates_on(outcome.id, domain.id)
    for scenario in outcome.threat_scenarios:
        _grow_scenario(tree, given, outcome, scenario, wide)
    if not outcome.threat_scenarios:
        _argue(tree, given, scope=outcome.id, gates=wide, under=goal.node_id)


def _grow_scenario(
    tree: _Tree, given: _Given, outcome: Outcome, scenario: ThreatScenario, wide: Sequence[Gate]
) -> None:
    capabilities = {one.id: one.title for one in given.framework.capabilities}
    needs = ", ".join(capabilities.get(name, name) for name in scenario.capabilities)
    mine = [gate for gate in given.gates_on(scenario.id) if gate not in wide]
    goal = _goal(
        f"goal:{scenario.id}",
        f"Not enabled: {scenario.title} (by {scenario.actor}; needs {needs})",
        about=scenario.id,
        state="supported" if _speaks(given, [*wide, *mine]) else "undecided",
    )
    tree.add(goal, under=f"goal:{outcome.id}")
    _argue(tree, given, scope=outcome.id, gates=wide, under=goal.node_id)
    _argue(tree, given, scope=scenario.id, gates=mine, under=goal.node_id)


def _speaks(given: _Given, gates: Sequence[Gate]) -> bool:
    """Whether anything that was found bears on it; an absence does not."""
    found = [given.finding(gate) for gate in gates]
    return any(one is not None and one.verdict not in {"not-measured", "not-planned"} for one in found)


def _argue(tree: _Tree, given: _Given, *, scope: str, gates: Sequence[Gate], under: str) -> None:
    """A strategy per kind of reasoning that the findings of these gates allow."""
    by_pattern: dict[Pattern, list[tuple[Gate, Finding]]] = {}
    for gate in gates:
        finding = given.finding(gate)
        if finding is not None:
            pattern = "frontier-test" if finding.verdict == "not-applicable" else pattern_of(gate)
            by_pattern.setdefault(pattern, []).append((gate, finding))
    for pattern, words in _STRATEGIES.items():
        if pattern not in by_pattern:
            continue
        node = _node(f"strategy:{scope}/{pattern}", "strategy", words, about=scope, pattern=pattern)
        if tree.add(node, under=under):
            for gate, finding in by_pattern[pattern]:
                _grow_gate(tree, given, gate, finding, under=node.node_id)


def _grow_gate(tree: _Tree, given: _Given, gate: Gate, finding: Finding, *, under: str) -> None:
    used = [given.estimates[name] for name in finding.evidence if name in given.estimates]
    state, confidence = _state(given, gate, finding)
    goal = _goal(
        f"gate:{gate.id}",
        f"Keeps to its line: {gate.title}",
        about=gate.id,
        state=state,
        confidence=confidence,
        citation=gate.cites,
        rests_on=digest_value([_of_finding(finding), [_of_estimate(one) for one in used]]),
    )
    tree.findings[gate.id] = finding
    if not tree.add(goal, under=under) or not finding.evidence:
        return
    words = f"{finding.verdict} on {finding.arm}: {finding.reason}"
    solution = _node(f"solution:{gate.id}", "solution", words, about=gate.id, evidence=finding.evidence)
    tree.add(solution, under=goal.node_id)


def _of_finding(finding: Finding) -> list[object]:
    return [finding.gate, finding.context, finding.arm, finding.verdict, finding.reason, finding.blocks]


def _of_estimate(estimate: Estimate) -> list[object]:
    bounds = [estimate.lower_bound, estimate.upper_bound, estimate.failure_lower, estimate.failure_upper]
    return [estimate.estimate_id, estimate.value, *bounds, estimate.n, estimate.calibration, estimate.trial_ids_digest]


def _state(given: _Given, gate: Gate, finding: Finding) -> tuple[ClaimState, Confidence]:
    """What a finding makes of its gate's claim, before anyone doubts it."""
    used = [given.estimates[name] for name in finding.evidence if name in given.estimates]
    match finding.verdict:
        case "pass":
            return "supported", of_calibrations(one.calibration for one in used)
        case "fail":
            return "refuted", "none"
        case "not-applicable":
            seen = read_gate(gate, given.estimates, arm=finding.arm, planned=True, available=True)
            return ("refuted", "none") if seen.verdict == "fail" else ("supported", "low")
    if finding.blocks:
        return "undecided", "none"
    if finding.verdict in {"provisional-high", "inconclusive"} and gate.then:
        return "supported", "low"
    if finding.verdict in {"not-measured", "not-planned"} and not gate.blocks_unmeasured:
        return "set-aside", "none"
    return "excepted", "low"


def _answered(doubt: Doubt, target: Node, acceptances: Sequence[Acceptance]) -> Defeater:
    digest = digest_value([doubt.defeater_id, doubt.text, target.rests_on])
    accepted = next((one for one in acceptances if one.digest == digest), None)
    state, by = ("rebutted", doubt.rebuttal) if doubt.rebuttal else ("open", "")
    if state == "open" and accepted is not None:
        state, by = "accepted", f"{', '.join(accepted.signers)}: {accepted.reason}"
    return Defeater(
        defeater_id=doubt.defeater_id,
        kind=doubt.kind,
        target=doubt.target,
        text=doubt.text,
        state=state,  # type: ignore[arg-type]  # one of the three
        by=by,
        digest=digest,
    )


def _judge(tree: _Tree, defeaters: Sequence[Defeater]) -> tuple[Node, ...]:
    """State and confidence of every claim, from the leaves up."""
    against: dict[str, list[Defeater]] = {}
    for defeater in defeaters:
        against.setdefault(defeater.target, []).append(defeater)
    parts: dict[str, list[str]] = {}
    for link in tree.links:
        if link.relation == "supported-by" and tree.nodes[link.target].kind != "solution":
            parts.setdefault(link.source, []).append(link.target)
    known: dict[str, tuple[ClaimState, Confidence]] = {}

    def judged(node: Node) -> tuple[ClaimState, Confidence]:
        if node.node_id not in known:
            own = node.state or "supported"
            if node.confidence is not None:  # a gate's claim: its finding says it
                state, level = own, node.confidence
            else:
                state, level = combined(own, [judged(tree.nodes[part]) for part in parts.get(node.node_id, ())])
            after = doubted(level, against.get(node.node_id, ()))
            is_shaken = state in {"supported", "excepted", "set-aside"} and _has_open(against.get(node.node_id, ()))
            known[node.node_id] = ("undecided" if is_shaken else state, least((level, after)))
        return known[node.node_id]

    claims = {"goal", "strategy"}
    return tuple(
        replace(node, state=judged(node)[0], confidence=judged(node)[1]) if node.kind in claims else node
        for node in tree.nodes.values()
    )


def _has_open(defeaters: Sequence[Defeater]) -> bool:
    return any(defeater.state == "open" for defeater in defeaters)


def _marked(argument: Argument, basis: Mapping[str, Footing]) -> tuple[Node, ...]:
    """Mark every claim that stands on something else than in the basis, and every claim above it."""
    now = argument.footing()
    why: dict[str, list[str]] = {name: list(_changes(now[name], basis.get(name))) for name in now}
    for gone in basis.keys() - now.keys():
        why[TOP].append(f"{gone} is no longer part of the argument")
    own = {name for name, reasons in why.items() if reasons}
    above: dict[str, set[str]] = {}
    for link in argument.links:
        if link.relation == "supported-by":
            above.setdefault(link.target, set()).add(link.source)
    waiting, reached = list(own), set(own)
    while waiting:
        for parent in sorted(above.get(waiting.pop(), ())):
            if parent not in reached:
                reached.add(parent)
                why[parent].append("a claim that carries it is open again")
                waiting.append(parent)
    return tuple(replace(node, moved=tuple(sorted(why.get(node.node_id, ())))) for node in argument.nodes)


def _changes(now: Footing, settled: Footing | None) -> Iterator[str]:
    if settled is None:
        yield "it was not part of the argument that was settled"
        return
    if now.rests_on != settled.rests_on:
        yield "the evidence it rests on changed"
    for defeater in now.open:
        if defeater not in settled.open:
            yield f"defeater {defeater} opened"


def _goal(
    node_id: str,
    text: str,
    *,
    about: str = "",
    state: ClaimState = "supported",
    confidence: Confidence | None = None,
    citation: str = "",
    rests_on: str = "",
) -> Node:
    return Node(
        node_id=node_id,
        kind="goal",
        text=text,
        about=about,
        state=state,
        confidence=confidence,
        citation=citation,
        rests_on=rests_on,
    )


def _node(
    node_id: str,
    kind: NodeKind,
    text: str,
    *,
    about: str = "",
    pattern: Pattern | None = None,
    evidence: tuple[str, ...] = (),
) -> Node:
    return Node(node_id=node_id, kind=kind, text=text, about=about, pattern=pattern, evidence=evidence)
