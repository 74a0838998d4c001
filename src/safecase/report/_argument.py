"""The safety-case argument drawn in the Goal Structuring Notation, and told in the document."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from safecase.decide import TOP, Argument, Defeater, Node
from safecase.report._figures import AFTER, BEFORE, GRID, INK, LINE, SOFT, Figure
from safecase.report._input import ReportInput
from safecase.report._numbers import DECISION, Tracer

_FONT = "Libertinus Serif, Georgia, serif"
_WIDTH, _INDENT, _RIGHT = 760, 22, 146
_LINE_HEIGHT, _PAD, _GAP = 14, 6, 7
_LETTERS_PER_PIXEL = 1 / 6.7
_INSETS = {"strategy": 20, "defeater": 20, "context": 16, "assumption": 56}
"""Pixels that an outline takes from its text on either side, by kind of node."""
_OVERVIEW = 4
"""Depth at which an overview stops: top claim, strategy, domains, outcomes or areas."""

_TONES = {"supported": AFTER, "excepted": BEFORE, "undecided": BEFORE, "refuted": LINE, "set-aside": SOFT}
_STATES = {
    "supported": "supported",
    "excepted": "by exception",
    "undecided": "not supported yet",
    "refuted": "refuted",
    "set-aside": "not called for",
}
_DESCRIPTION = (
    "A tree read from the top. Rectangles are claims, slanted boxes are strategies, rounded boxes contexts, ellipses "
    "assumptions, circles evidence, hexagons defeaters that are open or accepted. Beside each claim stands its state "
    "and confidence; a claim that is open again says so. The table beside it says the same in words."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One row of the drawing: a node, a place where it was argued already, or a defeater."""

    depth: int
    kind: str
    text: str
    tone: str
    beside: tuple[str, ...]
    height: int
    lines: tuple[str, ...]
    is_hollow: bool = False
    evidence: bool = False


def draw_argument(argument: Argument, *, part: str | None = None, is_overview: bool = False) -> Figure:
    """Draw an argument, or the part of it below one claim. The same argument gives the same bytes.

    Args:
        part: id of a domain, outcome, scenario, area or gate; None for the whole.
        is_overview: stop at outcomes and areas.

    Raises:
        KeyError: nothing in the argument is about `part`.
    """
    start = _start(argument, part)
    rows = list(_rows(argument, start, deepest=_OVERVIEW if is_overview else None))
    name = f"argument-{argument.context}" + (f"-{part}" if part else "")
    title = f"Safety-case argument for the context “{argument.context}”" + (f", {part}" if part else "")
    return Figure(
        name=name,
        title=title,
        description=_DESCRIPTION,
        note="An overview down to outcomes; the whole is drawn by `safecase decide argument`." if is_overview else None,
        numbers=(),
        svg=_svg(rows, name=name, title=title),
    )


def _start(argument: Argument, part: str | None) -> str:
    if part is None:
        return TOP
    about = {node.about: node.node_id for node in reversed(argument.nodes) if node.kind == "goal" and node.about}
    return about[part]


def _rows(argument: Argument, start: str, *, deepest: int | None) -> Iterator[_Row]:
    """Rows depth first. A claim that several others share is argued once and named again where it is met again."""
    nodes = {node.node_id: node for node in argument.nodes}
    around = [link.target for link in argument.links if link.relation == "in-context-of"]
    met: set[str] = set()

    def walk(node_id: str, depth: int) -> Iterator[_Row]:
        node, doubts = nodes[node_id], argument.against(node_id)
        below = argument.supports(node_id)
        proofs = [name for name in below if nodes[name].kind == "solution"]
        if node_id in met:
            yield _row(depth, "again", f"Argued above: {node.text}", tone=_tone(node), beside=_beside(node, ()))
            return
        met.add(node_id)
        has_proof = bool(proofs) and deepest is None
        yield _row(depth, node.kind, node.text, tone=_tone(node), beside=_beside(node, doubts), evidence=has_proof)
        if node_id == TOP:
            for name in around:
                is_context = nodes[name].kind == "context"
                words = nodes[name].text if is_context else f"{nodes[name].text} (A)"
                yield _row(depth + 1, nodes[name].kind, words, tone=SOFT, is_hollow=True)
        for doubt in doubts:
            if doubt.state != "rebutted":
                yield _row(depth + 1, "defeater", _told(doubt), tone=LINE if doubt.state == "open" else BEFORE)
        if deepest is None or depth + 1 < deepest:
            for name in below:
                if name not in proofs:
                    yield from walk(name, depth + 1)

    yield from walk(start, 0)


def _row(
    depth: int,
    kind: str,
    text: str,
    *,
    tone: str,
    beside: tuple[str, ...] = (),
    is_hollow: bool = False,
    evidence: bool = False,
) -> _Row:
    width = _WIDTH - _RIGHT - depth * _INDENT - 2 * _INSETS.get(kind, 10)
    lines = textwrap.wrap(text, max(24, int(width * _LETTERS_PER_PIXEL))) or [""]
    shown = lines if len(lines) <= 3 else [*lines[:2], f"{lines[2]} …"]
    height = max(len(shown), len(beside)) * _LINE_HEIGHT + (4 if kind == "assumption" else 2) * _PAD
    return _Row(
        depth=depth,
        kind=kind,
        text=text,
        tone=tone,
        beside=beside,
        height=height,
        lines=tuple(shown),
        is_hollow=is_hollow,
        evidence=evidence,
    )


def _tone(node: Node) -> str:
    return _TONES[node.state] if node.state else SOFT


def _beside(node: Node, doubts: Sequence[Defeater]) -> tuple[str, ...]:
    if node.state is None:
        return ()
    said = [_STATES[node.state]]
    if node.state in {"supported", "excepted"}:
        said.append(f"confidence {node.confidence}")
    if answered := sum(doubt.state == "rebutted" for doubt in doubts):
        said.append("doubt answered" if answered == 1 else "doubts answered")
    if node.moved:
        said.append("open again")
    return tuple(said)


def _told(doubt: Defeater) -> str:
    kind = doubt.kind.replace("-", " ").capitalize()
    return f"{kind}, {doubt.state}: {doubt.text}" + (f" ({doubt.by})" if doubt.by else "")


def _svg(rows: Sequence[_Row], *, name: str, title: str) -> str:
    tops = _tops(rows)
    height = tops[-1] + rows[-1].height + 8
    drawn = [
        *_connectors(rows, tops),
        *(piece for row, top in zip(rows, tops, strict=True) for piece in _box(row, top)),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(_DESCRIPTION)}</desc>'
    )
    return head + f'<g font-family="{_FONT}" font-size="11.5">' + "".join(drawn) + "</g></svg>"


def _tops(rows: Sequence[_Row]) -> list[int]:
    tops = [8]
    for row in rows[:-1]:
        tops.append(tops[-1] + row.height + _GAP)
    return tops


def _connectors(rows: Sequence[_Row], tops: Sequence[int]) -> Iterator[str]:
    """From each row to the one it stands under: a filled head supports, a hollow one gives context, dashes defeat."""
    parents: dict[int, int] = {}
    for place, row in enumerate(rows):
        parents[row.depth] = place
        if row.depth == 0:
            continue
        parent = parents[row.depth - 1]
        x = _left(rows[parent]) + 9
        y = tops[place] + row.height / 2
        start = tops[parent] + rows[parent].height
        dash = ' stroke-dasharray="4 3"' if row.kind == "defeater" else ""
        colour = row.tone if row.kind == "defeater" else SOFT
        end = _left(row) - 1
        yield f'<path d="M{x} {start}V{y:g}H{end - 6}" fill="none" stroke="{colour}"{dash}/>'
        fill = "#ffffff" if row.is_hollow else colour
        yield (f'<path d="M{end} {y:g}l-7 -3.5v7z" fill="{fill}" stroke="{colour}" stroke-linejoin="round"/>')


def _left(row: _Row) -> int:
    return 8 + row.depth * _INDENT


def _box(row: _Row, top: int) -> Iterator[str]:
    left, right = _left(row), _WIDTH - _RIGHT
    yield _shape(row, left=left, top=top, width=right - left)
    first = top + row.height / 2 - (len(row.lines) - 1) * _LINE_HEIGHT / 2 + 4
    inset = _INSETS.get(row.kind, 10)
    colour = SOFT if row.kind in {"again", "context", "assumption"} else INK
    for place, line in enumerate(row.lines):
        y = first + place * _LINE_HEIGHT
        yield f'<text x="{left + inset}" y="{y:g}" fill="{colour}">{escape(line)}</text>'
    middle = top + row.height / 2 - (len(row.beside) - 1) * _LINE_HEIGHT / 2 + 4
    for place, line in enumerate(row.beside):
        weight = ' font-weight="bold"' if place == 0 or line == "open again" else ""
        y = middle + place * _LINE_HEIGHT
        shift = 26 if row.evidence else 10
        yield f'<text x="{right + shift}" y="{y:g}" fill="{row.tone}"{weight}>{escape(line)}</text>'
    if row.evidence:
        yield f'<circle cx="{right + 12}" cy="{top + row.height / 2:g}" r="8" fill="{GRID}" stroke="{row.tone}"/>'


def _shape(row: _Row, *, left: int, top: int, width: int) -> str:
    """The outline that the notation gives a kind of node."""
    height, bottom, right = row.height, top + row.height, left + width
    stroke = f'fill="#ffffff" stroke="{row.tone}" stroke-width="{2 if row.kind == "goal" else 1.2}"'
    match row.kind:
        case "strategy":
            return f'<path d="M{left + 12} {top}H{right}L{right - 12} {bottom}H{left}z" {stroke}/>'
        case "context":
            return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="{height / 2:g}" {stroke}/>'
        case "assumption":
            middle = top + height / 2
            return (
                f'<ellipse cx="{left + width / 2:g}" cy="{middle:g}" rx="{width / 2:g}" ry="{height / 2:g}" {stroke}/>'
            )
        case "defeater":
            middle = top + height / 2
            sides = f"M{left} {middle:g}L{left + 12} {top}H{right - 12}L{right} {middle:g}L{right - 12} {bottom}"
            return f'<path d="{sides}H{left + 12}z" {stroke}/>'
        case "again":
            dashed = f'fill="none" stroke="{SOFT}" stroke-dasharray="2 3"'
            return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" {dashed}/>'
    return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" {stroke}/>'


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
        "figure": f"argument-{argument.context}",
        "context": context.title,
        "state": _STATES[argument.top.state or "undecided"],
        "tone": "good" if argument.top.state == "supported" else "bad" if argument.top.state == "refuted" else "open",
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
                "state": _STATES[node.state or "undecided"],
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
    }


def _patterns(argument: Argument, node: Node) -> list[str]:
    found = (argument.node(name) for name in argument.supports(node.node_id))
    return [one.pattern.replace("-", " ") for one in found if one.pattern and one.state != "set-aside"]


def _answered(argument: Argument) -> list[str]:
    """Kinds of doubt that evidence answered, each once."""
    kinds = (doubt.kind.replace("-", " ") for doubt in argument.defeaters if doubt.state == "rebutted")
    return list(dict.fromkeys(kinds))
