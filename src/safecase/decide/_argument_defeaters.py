"""What speaks against the argument, looked for by the program: nobody has to raise these doubts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from safecase.decide._argument_values import Concern, DefeaterKind, Node
from safecase.decide._elicitation import shortfalls
from safecase.declare import Context, Framework, Gate
from safecase.evidence import Elicitation, Estimate, Finding

_ADAPTATION = frozenset({"adaptation_difference", "preserved_share"})
"""Measures that show a model playing its abilities down."""

_CAPABILITY = _ADAPTATION | {
    "pass_at_10",
    "success_rate",
    "time_horizon_hours",
    "networks_taken",
    "networks_taken_unseen",
    "working_exploits",
    "undetected_rate",
}
"""Measures that are low when nobody tried hard enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A defeater before people answered it. `rebuttal` names the evidence that answers it, "" where there is none."""

    defeater_id: str
    kind: DefeaterKind
    target: str
    text: str
    rebuttal: str


def doubts_of(
    framework: Framework,
    context: Context,
    nodes: Sequence[Node],
    carried: Mapping[str, Sequence[str]],
    findings: Mapping[str, Finding],
    estimates: Mapping[str, Estimate],
    elicited: Mapping[tuple[str, str], Elicitation],
    concerns: Sequence[Concern],
) -> tuple[Doubt, ...]:
    """Every doubt that an argument of these nodes must answer, in the order of its nodes.

    Args:
        carried: strategy -> ids of the gates that carry it.
        findings: gate id -> its finding in this context, of the gates in the argument.
    """
    gates = {gate.id: gate for gate in framework.gates}
    found: list[Doubt] = []
    for node in nodes:
        if node.kind == "strategy" and node.pattern == "inability":
            found += _sandbagging(
                node, [gates[name] for name in carried.get(node.node_id, ())], findings, framework.gates
            )
        if node.kind == "goal" and (finding := findings.get(node.about)) is not None:
            gate = gates[node.about]
            found += _under_elicitation(framework, context, node, gate, finding, elicited)
            found += _uncalibrated(node, gate, finding, estimates)
        if node.node_id.startswith("goal:") and node.state == "undecided" and _is_scenario(framework, node.about):
            found.append(_uncovered(node))
    return (*found, *_of_concerns(nodes, concerns))


def _sandbagging(
    node: Node, gates: Sequence[Gate], findings: Mapping[str, Finding], known: Sequence[Gate]
) -> Iterator[Doubt]:
    """A low ability may be an ability hidden; only measures of adaptation answer that."""
    if not any(findings[gate.id].evidence for gate in gates):
        return
    asked = {
        gate.id: findings[gate.id].verdict for gate in known if gate.measure in _ADAPTATION and gate.id in findings
    }
    is_answered = bool(asked) and set(asked.values()) == {"pass"}
    said = "; ".join(f"{name}: {verdict}" for name, verdict in asked.items()) or "no gate measures adaptation"
    text = "The model may have played its abilities down"
    yield Doubt(
        defeater_id=f"sandbagging:{node.about}",
        kind="sandbagging",
        target=node.node_id,
        text=text if is_answered else f"{text} ({said})",
        rebuttal=f"no adaptation was found: {said}" if is_answered else "",
    )


def _under_elicitation(
    framework: Framework,
    context: Context,
    node: Node,
    gate: Gate,
    finding: Finding,
    elicited: Mapping[tuple[str, str], Elicitation],
) -> Iterator[Doubt]:
    if gate.measure not in _CAPABILITY or not finding.evidence:
        return
    suite = next(suite for suite in framework.suites if suite.id == gate.suite)
    if not suite.asks_model:
        return
    standard = suite.elicitation
    done = elicited.get((gate.suite, finding.arm))
    short = (
        shortfalls(standard, done, context=context.id)
        if standard
        else ("the pack sets no standard of elicitation for this suite",)
    )
    text = "Better elicitation may find more"
    yield Doubt(
        defeater_id=f"under-elicitation:{gate.id}",
        kind="under-elicitation",
        target=node.node_id,
        text=f"{text}: {'; '.join(short)}" if short else text,
        rebuttal="" if short else f"the record of suite {gate.suite} on {finding.arm} keeps to the pack's standard",
    )


def _uncalibrated(node: Node, gate: Gate, finding: Finding, estimates: Mapping[str, Estimate]) -> Iterator[Doubt]:
    used = [estimates[name] for name in finding.evidence if name in estimates]
    if not used:
        return
    unknown = sorted({one.judge for one in used if one.calibration == "none"})
    levels = ", ".join(sorted({one.calibration for one in used}))
    yield Doubt(
        defeater_id=f"uncalibrated-judge:{gate.id}",
        kind="uncalibrated-judge",
        target=node.node_id,
        text=f"Nobody knows how often the judge errs here ({', '.join(unknown)})" if unknown else "The judge may err",
        rebuttal="" if unknown else f"its error is known: {levels}",
    )


def _is_scenario(framework: Framework, entry: str) -> bool:
    scenarios = (s for domain in framework.domains for outcome in domain.outcomes for s in outcome.threat_scenarios)
    return any(scenario.id == entry for scenario in scenarios)


def _uncovered(node: Node) -> Doubt:
    return Doubt(
        defeater_id=f"uncovered-scenario:{node.about}",
        kind="uncovered-scenario",
        target=node.node_id,
        text="Nothing that was found bears on this scenario",
        rebuttal="",
    )


def _of_concerns(nodes: Sequence[Node], concerns: Sequence[Concern]) -> Iterator[Doubt]:
    """An incident or a broken condition stands against every claim it touches, or against the whole."""
    kinds: dict[str, DefeaterKind] = {"incident": "open-incident", "condition": "broken-condition"}
    claims = {node.about: node for node in reversed(nodes) if node.kind == "goal"}
    for concern in concerns:
        touched = [claims[entry] for entry in concern.touches if entry in claims] or [claims[""]]
        for node in touched:
            yield Doubt(
                defeater_id=f"{kinds[concern.kind]}:{concern.concern_id}" + (f"/{node.about}" if node.about else ""),
                kind=kinds[concern.kind],
                target=node.node_id,
                text=concern.what,
                rebuttal="" if concern.closed is None else f"closed: {concern.closed}",
            )
