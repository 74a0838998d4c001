"""The risk map: from every domain down to the gates, with what can be measured here and what cannot."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from safecase.declare._framework import Domain, Framework, Gate, ThreatScenario

Status = Literal["measurable", "not-measured", "watch-list", "ungated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRow:
    """One way from a domain to a gate.

    Attributes:
        outcome, outcome_title: a catastrophic or watched outcome, or a content-policy area.
        scenario: id of the threat scenario, None where the row is about an area or an outcome without one.
        capabilities: titles of the capabilities that the scenario needs.
        gate: the gate that bears on it, None when none does.
        line: what the gate asks for, in words.
        status: `measurable` by a suite of this version; `not-measured` when the suite is not there; `watch-list`
            when nothing is gated.
        why: what the suite needs, and for a gap whether it bars deployment.
    """

    domain: str
    kind: str
    outcome: str
    outcome_title: str
    scenario: str | None
    capabilities: tuple[str, ...]
    gate: str | None
    line: str | None
    contexts: tuple[str, ...]
    status: Status
    why: str

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON value."""
        return asdict(self)


def risk_map(framework: Framework) -> tuple[RiskRow, ...]:
    """Every row of the risk map, in the order of the pack.

    >>> from safecase.declare import load_framework
    >>> rows = risk_map(load_framework("scaling-v2"))
    >>> sorted({row.status for row in rows})
    ['measurable', 'not-measured', 'watch-list']
    """
    rows: list[RiskRow] = []
    for domain in framework.domains:
        for area in domain.areas:
            rows += _rows(framework, domain, entry=area, title=area, scenario=None)
        for outcome in domain.outcomes:
            for scenario in outcome.threat_scenarios or (None,):
                rows += _rows(framework, domain, entry=outcome.id, title=outcome.title, scenario=scenario)
    return tuple(rows)


def risk_map_lines(rows: Iterable[RiskRow]) -> tuple[str, ...]:
    """The risk map for people: an indented outline, each level said once."""
    out: list[str] = []
    last: tuple[str | None, ...] = (None, None, None)
    for row in rows:
        if row.domain != last[0]:
            out.append(f"{row.domain} ({row.kind})")
        if (row.domain, row.outcome) != last[:2]:
            out.append(f"  {row.outcome}" + ("" if row.outcome == row.outcome_title else f": {row.outcome_title}"))
        if row.scenario and (row.domain, row.outcome, row.scenario) != last:
            out.append(f"    {row.scenario} needs {'; '.join(row.capabilities)}")
        indent = "      " if row.scenario else "    "
        out.append(f"{indent}[{row.status}] " + (f"{row.gate}: {row.line}; {row.why}" if row.gate else row.why))
        last = (row.domain, row.outcome, row.scenario)
    return tuple(out)


def _rows(
    framework: Framework, domain: Domain, *, entry: str, title: str, scenario: ThreatScenario | None
) -> Iterator[RiskRow]:
    names = {domain.id, entry, *((scenario.id,) if scenario else ())}
    gates = [gate for gate in framework.gates if names & set(gate.bears_on)]
    needs = {capability.id: capability.title for capability in framework.capabilities}
    for gate in gates or (None,):
        status, why = _status(framework, domain, gate)
        yield RiskRow(
            domain=domain.id,
            kind=domain.kind,
            outcome=entry,
            outcome_title=title,
            scenario=scenario.id if scenario else None,
            capabilities=tuple(needs[capability] for capability in scenario.capabilities) if scenario else (),
            gate=gate.id if gate else None,
            line=gate.line if gate else None,
            contexts=gate.contexts if gate else (),
            status=status,
            why=why,
        )


def _status(framework: Framework, domain: Domain, gate: Gate | None) -> tuple[Status, str]:
    if domain.kind == "watch-list":
        return "watch-list", "followed and reported; informs and does not gate"
    if gate is None:
        return "ungated", "no gate bears on it"
    suite = next(suite for suite in framework.suites if suite.id == gate.suite)
    if suite.available:
        return "measurable", f"by suite {suite.id}"
    bars = "bars deployment until measured" if gate.blocks_unmeasured else "does not bar deployment by itself"
    if shallower := [other.id for other in framework.gates if gate.id in other.then]:
        bars = f"called for only when {' or '.join(shallower)} does not pass"
    return "not-measured", f"suite {suite.id} needs {suite.needs}; {bars}"
