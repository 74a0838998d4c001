"""The risk map: from every domain down to the gates, with what can be measured here and what cannot."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from safecase.declare._framework import Domain, Framework, Gate, Outcome, ThreatScenario

Status = Literal["measurable", "not-measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStatus:
    """A gate as it stands in the risk map.

    Attributes:
        line: what the gate asks for, in words.
        status: `measurable` by a suite of this version, `not-measured` when the suite is not there.
        why: the suite, or what it would need and what follows from the gap.
        own_figure: the line is safecase's own, not the framework's.
    """

    gate: str
    line: str
    contexts: tuple[str, ...]
    status: Status
    why: str
    own_figure: bool
    illustrative: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRow:
    """One threat scenario, content-policy area, or watched outcome, with everything that bears on it.

    Attributes:
        kind: of the domain: `catastrophic`, `content-policy` or `watch-list`.
        outcome, title: the outcome or area, and what people call it.
        scenario, scenario_title: None where the row is about an area, or about an outcome without scenarios.
        capabilities: titles of the capabilities that the scenario needs.
        gates: empty on the watch-list, which informs and does not gate.
    """

    domain: str
    kind: str
    outcome: str
    title: str
    scenario: str | None = None
    scenario_title: str | None = None
    capabilities: tuple[str, ...] = ()
    gates: tuple[GateStatus, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The row for people: where it stands, what it needs, and its gates below it."""
        path = " > ".join(name for name in (self.domain, self.outcome, self.scenario) if name)
        out = [path if self.title == self.outcome else f"{path}: {self.scenario_title or self.title}"]
        if self.capabilities:
            out.append(f"    needs: {'; '.join(self.capabilities)}")
        for gate in self.gates:
            figure = " (safecase's own figure)" if gate.own_figure else " (illustrative)" if gate.illustrative else ""
            out.append(f"    {gate.status}: {gate.gate}: {gate.line}{figure}; {gate.why}")
        if not self.gates:
            out.append(f"    {self.kind}: followed and reported; informs and does not gate")
        return tuple(out)

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON value."""
        return asdict(self)


def risk_map(framework: Framework) -> tuple[RiskRow, ...]:
    """Every row of the risk map, in the order of the pack.

    >>> from safecase.declare import load_framework
    >>> rows = {row.outcome: row for row in risk_map(load_framework("scaling-v2"))}
    >>> print("\\n".join(rows["loss-of-containment"].lines()))
    watch-list > loss-of-containment: Loss of containment (self-exfiltration, acquisition of resources)
        watch-list: followed and reported; informs and does not gate
    """
    return tuple(row for domain in framework.domains for row in _rows(framework, domain))


def _rows(framework: Framework, domain: Domain) -> Iterator[RiskRow]:
    for area in domain.areas:
        gates = _gates(framework, {domain.id, area})
        yield RiskRow(domain=domain.id, kind=domain.kind, outcome=area, title=area, gates=gates)
    for outcome in domain.outcomes:
        for scenario in outcome.threat_scenarios:
            yield _scenario_row(framework, domain, outcome, scenario)
        if not outcome.threat_scenarios:
            yield RiskRow(domain=domain.id, kind=domain.kind, outcome=outcome.id, title=outcome.title)


def _scenario_row(framework: Framework, domain: Domain, outcome: Outcome, scenario: ThreatScenario) -> RiskRow:
    titles = {capability.id: capability.title for capability in framework.capabilities}
    return RiskRow(
        domain=domain.id,
        kind=domain.kind,
        outcome=outcome.id,
        title=outcome.title,
        scenario=scenario.id,
        scenario_title=scenario.title,
        capabilities=tuple(titles[capability] for capability in scenario.capabilities),
        gates=_gates(framework, {domain.id, outcome.id, scenario.id}),
    )


def _gates(framework: Framework, names: set[str]) -> tuple[GateStatus, ...]:
    return tuple(_status(framework, gate) for gate in framework.gates if names & set(gate.bears_on))


def _status(framework: Framework, gate: Gate) -> GateStatus:
    suite = next(suite for suite in framework.suites if suite.id == gate.suite)
    return GateStatus(
        gate=gate.id,
        line=gate.line,
        contexts=gate.contexts,
        status="measurable" if suite.available else "not-measured",
        why=f"suite {suite.id}" + ("" if suite.available else f" needs {suite.needs}; {_gap(framework, gate)}"),
        own_figure=gate.own_figure,
        illustrative=gate.illustrative,
    )


def _gap(framework: Framework, gate: Gate) -> str:
    """What follows from a gate that cannot be measured."""
    if shallower := [other.id for other in framework.gates if gate.id in other.then]:
        return f"called for when {' or '.join(shallower)} is crossed, which bars deployment until this passes"
    return "bars deployment" if gate.blocks_unmeasured else "does not bar deployment by itself"
