"""The safety-case argument as the document tells it: claims, strategies, defeaters, and the names of its figures."""

from typing import Any

from safecase.decide import TOP, Argument, Node
from safecase.report._argument_drawn import STATES, argument_overview, argument_parts
from safecase.report._input import ReportInput
from safecase.report._numbers import DECISION, Tracer


def arguments(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """One entry per argument: its top claim, the claims of scenarios and areas, and every defeater."""
    return [_told_argument(given, place, argument, tracer) for place, argument in enumerate(given.arguments)]


def _told_argument(given: ReportInput, place: int, argument: Argument, tracer: Tracer) -> dict[str, Any]:
    def quoted(text: str, where: str) -> str:
        return tracer.quote(text, file=DECISION, pointer=f"/argument/{place}/{where}")

    context = given.framework.context(argument.context)
    claims = {"goal"}
    leaves = {s.id for d in given.framework.domains for o in d.outcomes for s in o.threat_scenarios}
    leaves |= {area for domain in given.framework.domains for area in domain.areas}
    return {
        "figures": [sheet.name for sheet in argument_overview(argument)],
        "context": context.title,
        "state": STATES[argument.top.state or "undecided"],
        "tone": _tone(argument.top),
        "confidence": argument.top.confidence,
        "moved": [
            quoted(f"{node.text}: {'; '.join(node.moved)}", f"moved/{node.node_id}")
            for node in argument.moved
            if node.kind in claims and node.node_id != TOP and any("carries it" not in why for why in node.moved)
        ],
        "claims": [
            {
                "claim": quoted(node.text, node.node_id),
                "by": ", ".join(_patterns(argument, node)) or "nothing",
                "state": STATES[node.state or "undecided"],
                "confidence": node.confidence,
            }
            for node in argument.nodes
            if node.kind in claims and node.about in leaves
        ],
        "defeaters": [
            {
                "kind": doubt.kind.replace("-", " ").capitalize(),
                "against": quoted(argument.node(doubt.target).text, doubt.defeater_id),
                "text": quoted(doubt.text, doubt.defeater_id),
                "state": doubt.state.capitalize(),
                "by": quoted(doubt.by, f"{doubt.defeater_id}/by"),
            }
            for doubt in argument.defeaters
            if doubt.state != "rebutted"
        ],
        "answered": _answered(argument),
        "parts": [
            {
                "claim": quoted(part.node.text, part.node.node_id),
                "state": STATES[part.node.state or "undecided"],
                "tone": _tone(part.node),
                "confidence": part.node.confidence,
                "is_open_again": bool(part.node.moved),
                "figures": [sheet.name for sheet in part.sheets],
            }
            for part in argument_parts(argument, given.framework)
        ],
    }


def _tone(node: Node) -> str:
    return "good" if node.state == "supported" else "bad" if node.state == "refuted" else "open"


def _patterns(argument: Argument, node: Node) -> list[str]:
    found = (argument.node(name) for name in argument.supports(node.node_id))
    return [one.pattern.replace("-", " ") for one in found if one.pattern and one.state != "set-aside"]


def _answered(argument: Argument) -> list[str]:
    """Kinds of doubt that evidence answered, each once."""
    kinds = (doubt.kind.replace("-", " ") for doubt in argument.defeaters if doubt.state == "rebutted")
    return list(dict.fromkeys(kinds))
