"""The argument for other tools: JSON after OMG's Structured Assurance Case Metamodel (SACM 2.3), and Mermaid."""

import re
from collections.abc import Iterator, Mapping

from safecase.decide._argument_values import Argument, ClaimState, Defeater, Node, Relation

SCHEMA = "safecase.argument/1"

_DECLARED: Mapping[ClaimState, str] = {
    "supported": "asserted",
    "excepted": "asserted",
    "undecided": "needsSupport",
    "refuted": "defeated",
    "set-aside": "needsSupport",
}
"""SACM's word for the state of a claim."""

_ASSERTED: Mapping[Relation, str] = {"supported-by": "AssertedInference", "in-context-of": "AssertedContext"}


def to_sacm(argument: Argument) -> dict[str, object]:
    """One argument package in SACM's terms.

    Claims, reasonings and references to artefacts by `gid`; what SACM has no word for stands under `safecase`. A
    defeater is a claim whose relationship is a counter-argument (`isCounter`).
    """
    nodes = {node.node_id: node for node in argument.nodes}
    elements = [_element(node) for node in argument.nodes]
    elements += [_counter_claim(defeater) for defeater in argument.defeaters]
    relations: list[dict[str, object]] = [
        _relation(
            "AssertedEvidence" if nodes[link.target].kind == "solution" else _ASSERTED[link.relation],
            source=link.target,
            target=link.source,
        )
        for link in argument.links
    ]
    relations += [
        _relation("AssertedInference", source=f"defeater:{d.defeater_id}", target=d.target, is_counter=True)
        for d in argument.defeaters
    ]
    return {
        "schema": SCHEMA,
        "context": argument.context,
        "framework": argument.framework,
        "state": argument.top.state,
        "confidence": argument.top.confidence,
        "argumentPackage": {"gid": f"argument:{argument.context}", "elements": [*elements, *relations]},
    }


def _element(node: Node) -> dict[str, object]:
    said: dict[str, object] = {"gid": node.node_id, "content": node.text}
    extra: dict[str, object] = {
        "about": node.about,
        "citation": node.citation,
        "state": node.state,
        "confidence": node.confidence,
    }
    extra |= {"pattern": node.pattern, "moved": list(node.moved), "rests_on": node.rests_on}
    kept = {name: value for name, value in extra.items() if value}
    match node.kind:
        case "goal":
            said |= {"type": "Claim", "assertionDeclaration": _DECLARED[node.state or "undecided"]}
        case "assumption":
            said |= {"type": "Claim", "assertionDeclaration": "assumed"}
        case "strategy":
            said |= {"type": "ArgumentReasoning"}
        case "solution":
            said |= {"type": "ArtifactReference", "referencedArtifactElement": list(node.evidence)}
        case "context":
            said |= {"type": "ArtifactReference", "referencedArtifactElement": []}
    return said | ({"safecase": kept} if kept else {})


def _counter_claim(defeater: Defeater) -> dict[str, object]:
    return {
        "gid": f"defeater:{defeater.defeater_id}",
        "type": "Claim",
        "content": defeater.text,
        "assertionDeclaration": "defeated" if defeater.state == "rebutted" else "asserted",
        "safecase": {"kind": defeater.kind, "state": defeater.state, "by": defeater.by, "digest": defeater.digest},
    }


def _relation(kind: str, *, source: str, target: str, is_counter: bool = False) -> dict[str, object]:
    gid = f"{kind}:{source}>{target}"
    return {"gid": gid, "type": kind, "source": [source], "target": [target], "isCounter": is_counter}


def to_mermaid(argument: Argument) -> str:
    """A Mermaid flowchart: boxes claim, slanted boxes argue, circles are evidence, hexagons defeat."""
    return "\n".join(_mermaid(argument)) + "\n"


_SHAPES = {
    "goal": ('["', '"]'),
    "strategy": ('[/"', '"/]'),
    "solution": ('(("', '"))'),
    "context": ('("', '")'),
    "assumption": ('(["', '"])'),
}


def _mermaid(argument: Argument) -> Iterator[str]:
    yield "flowchart TD"
    for node in argument.nodes:
        opening, closing = _SHAPES[node.kind]
        standing = "" if node.state is None else f"<br/>{node.state}, confidence {node.confidence}"
        again = "<br/>open again" if node.moved else ""
        mark = f":::{node.state}" if node.state else ""
        yield f"  {_name(node.node_id)}{opening}{_plain(node.text)}{standing}{again}{closing}{mark}"
    for link in argument.links:
        arrow = "-->" if link.relation == "supported-by" else "-.-"
        yield f"  {_name(link.source)} {arrow} {_name(link.target)}"
    for defeater in argument.defeaters:
        name = _name(f"defeater:{defeater.defeater_id}")
        answered = f"<br/>{defeater.by}" if defeater.by else ""
        yield f'  {name}{{{{"{_plain(defeater.text)}<br/>{defeater.state}{_plain(answered)}"}}}}:::{defeater.state}'
        yield f"  {name} -. defeats .-> {_name(defeater.target)}"
    yield "  classDef refuted stroke:#8a1c33,stroke-width:3px"
    yield "  classDef undecided stroke:#b25e1b,stroke-dasharray:4"
    yield "  classDef supported stroke:#0b6b74"
    yield "  classDef open stroke:#8a1c33,stroke-width:3px"


def _name(node_id: str) -> str:
    """An id that Mermaid takes: one name per id, since what is replaced is spelt out."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found.group()):x}_", node_id)


def _plain(text: str) -> str:
    """Text inside quotes; Mermaid reads `#quot;` as the mark."""
    return text.replace('"', "#quot;").replace("\n", " ")
