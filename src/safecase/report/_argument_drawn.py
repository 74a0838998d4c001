"""The safety-case argument drawn in the Goal Structuring Notation: the whole, an overview, or a sheet per outcome."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from safecase.decide import TOP, Argument, Defeater, Node
from safecase.declare import Framework
from safecase.report._figures import AFTER, BEFORE, GRID, INK, LINE, SOFT, Figure

_FONT = "Libertinus Serif, Georgia, serif"
_WIDTH, _INDENT, _RIGHT = 680, 22, 128
_SHEET = 930
"""Most height of a sheet: at the width of an A4 page's text it fills the page, in letters of eight points."""
_LINE_HEIGHT, _PAD, _GAP = 14, 6, 7
_LETTERS_PER_PIXEL = 1 / 6.7
_LINES = 4
_INSETS = {"strategy": 20, "defeater": 20, "answered": 20, "context": 16, "assumption": 56, "solution": 20}
"""Pixels that an outline takes from its text on either side, by kind of row."""
_OVERVIEW = 4
"""Depth at which an overview stops: top claim, strategy, domains, outcomes or areas."""

TONES = {"supported": AFTER, "excepted": BEFORE, "undecided": BEFORE, "refuted": LINE, "set-aside": SOFT}
STATES = {
    "supported": "supported",
    "excepted": "by exception",
    "undecided": "not supported yet",
    "refuted": "refuted",
    "set-aside": "not called for",
}
_NOTATION = (
    "A tree read from the top. Rectangles are claims, slanted boxes are strategies, rounded boxes contexts, ellipses "
    "assumptions, circles evidence, hexagons defeaters: open or accepted ones drawn through, answered ones in dashes. "
    "Beside each claim stands its state and confidence; a claim that is open again says so."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentPart:
    """What one claim of an argument rests on, as sheets that each fit a page.

    Attributes:
        about: id of the outcome, or of the domain where a domain has none.
    """

    about: str
    node: Node
    sheets: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One row of the drawing: a node, a place where it was argued already, or defeaters.

    Attributes:
        about: id of the node or the defeater; of several answered defeaters, of the node they speak against.
    """

    about: str
    depth: int
    kind: str
    text: str
    tone: str
    beside: tuple[str, ...]
    height: int
    lines: tuple[str, ...]
    is_hollow: bool = False


def draw_argument(argument: Argument, *, part: str | None = None, link: Callable[[str], str] | None = None) -> Figure:
    """Draw an argument, or the part of it below one claim. The same argument gives the same bytes.

    Args:
        part: id of a domain, outcome, scenario, area or gate; None for the whole.
        link: where a click on a node or a defeater leads, from its id; None draws no links.

    Raises:
        KeyError: nothing in the argument is about `part`.
    """
    start = TOP if part is None else _goal_about(argument, part).node_id
    rows = list(_rows(argument, start, deepest=None))
    title = _title(argument) + (f", {part}" if part else "")
    return _figure(rows, name=_name(argument, part), title=title, link=link)


def argument_overview(argument: Argument) -> tuple[Figure, ...]:
    """From the top claim with its contexts and assumptions down to outcomes and areas, as sheets."""
    rows = list(_rows(argument, TOP, deepest=_OVERVIEW))
    note = "An overview down to outcomes and areas; each outcome has figures of its own."
    return _sheets(rows, name=_name(argument, None), title=_title(argument), note=note)


def argument_parts(argument: Argument, framework: Framework) -> tuple[ArgumentPart, ...]:
    """The whole argument in parts: one per outcome, and one per domain that has areas in place of outcomes."""
    about = {node.about for node in argument.nodes if node.kind == "goal"}
    entries = [one for domain in framework.domains for one in ([o.id for o in domain.outcomes] or [domain.id])]
    return tuple(_part(argument, entry) for entry in entries if entry in about)


def _part(argument: Argument, about: str) -> ArgumentPart:
    node = _goal_about(argument, about)
    rows = list(_rows(argument, node.node_id, deepest=None))
    sheets = _sheets(rows, name=_name(argument, about), title=f"{_title(argument)}: {node.text}")
    return ArgumentPart(about=about, node=node, sheets=sheets)


def _goal_about(argument: Argument, about: str) -> Node:
    return {node.about: node for node in reversed(argument.nodes) if node.kind == "goal" and node.about}[about]


def _name(argument: Argument, part: str | None) -> str:
    return f"argument-{argument.context}" + (f"-{part}" if part else "")


def _title(argument: Argument) -> str:
    return f"Safety-case argument for the context “{argument.context}”"


def _sheets(rows: Sequence[_Row], *, name: str, title: str, note: str | None = None) -> tuple[Figure, ...]:
    return tuple(
        _figure(
            sheet,
            name=f"{name}-{place}" if place > 1 else name,
            title=f"{title}, continued" if place > 1 else title,
            note=note,
        )
        for place, sheet in enumerate(_paged(rows), start=1)
    )


def _figure(
    rows: Sequence[_Row],
    *,
    name: str,
    title: str,
    note: str | None = None,
    link: Callable[[str], str] | None = None,
) -> Figure:
    description = f"{_NOTATION} {_in_words(rows)}"
    svg = _svg(rows, name=name, title=title, description=description, link=link)
    return Figure(name=name, title=title, description=description, note=note, numbers=(), svg=svg)


def _in_words(rows: Sequence[_Row]) -> str:
    """What a reader who cannot see it is told: every claim, strategy and standing defeater, from the top."""
    told = [
        f"{row.text}: {', '.join(row.beside)}." if row.beside else f"{row.text}."
        for row in rows
        if row.kind in {"goal", "strategy", "defeater"}
    ]
    return " ".join(["From the top:", *told])


def _rows(argument: Argument, start: str, *, deepest: int | None) -> Iterator[_Row]:
    """Rows depth first. A claim that several others share is argued once and named again where it is met again."""
    nodes = {node.node_id: node for node in argument.nodes}
    around = [link.target for link in argument.links if link.relation == "in-context-of"]
    met: set[str] = set()

    def walk(node_id: str, depth: int) -> Iterator[_Row]:
        node, doubts = nodes[node_id], argument.against(node_id)
        if node.kind == "solution":
            yield _row(node_id, depth, "solution", node.text, tone=SOFT)
            return
        if node_id in met:
            yield _row(node_id, depth, "again", f"Argued above: {node.text}", tone=_tone(node), beside=_beside(node))
            return
        met.add(node_id)
        yield _row(node_id, depth, node.kind, node.text, tone=_tone(node), beside=_beside(node))
        if node_id == TOP:
            for name in around:
                is_context = nodes[name].kind == "context"
                words = nodes[name].text if is_context else f"{nodes[name].text} (A)"
                yield _row(name, depth + 1, nodes[name].kind, words, tone=SOFT, is_hollow=True)
        for doubt in doubts:
            if doubt.state != "rebutted":
                tone = LINE if doubt.state == "open" else BEFORE
                yield _row(doubt.defeater_id, depth + 1, "defeater", _told(doubt), tone=tone)
        answered = [f"{_kind(doubt).lower()} ({doubt.by})" for doubt in doubts if doubt.state == "rebutted"]
        if answered and deepest is None:
            yield _row(node_id, depth + 1, "answered", f"Answered: {'; '.join(answered)}", tone=SOFT)
        if deepest is None or depth + 1 < deepest:
            for name in argument.supports(node_id):
                yield from walk(name, depth + 1)

    yield from walk(start, 0)


def _row(
    about: str,
    depth: int,
    kind: str,
    text: str,
    *,
    tone: str,
    beside: tuple[str, ...] = (),
    is_hollow: bool = False,
    most: int = _LINES,
) -> _Row:
    width = _WIDTH - _RIGHT - depth * _INDENT - 2 * _INSETS.get(kind, 10)
    lines = textwrap.wrap(text, max(24, int(width * _LETTERS_PER_PIXEL))) or [""]
    shown = lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1]} …"]
    outline = {"assumption": 4, "solution": 1}.get(kind, 2) * _PAD
    return _Row(
        about=about,
        depth=depth,
        kind=kind,
        text=text,
        tone=tone,
        beside=beside,
        height=max(len(shown), len(beside)) * _LINE_HEIGHT + outline,
        lines=tuple(shown),
        is_hollow=is_hollow,
    )


def _tone(node: Node) -> str:
    return TONES[node.state] if node.state else SOFT


def _beside(node: Node) -> tuple[str, ...]:
    if node.state is None:
        return ()
    said = [STATES[node.state]]
    if node.state in {"supported", "excepted"}:
        said.append(f"confidence {node.confidence}")
    if node.moved:
        said.append("open again")
    return tuple(said)


def _told(doubt: Defeater) -> str:
    return f"{_kind(doubt)}, {doubt.state}: {doubt.text}" + (f" ({doubt.by})" if doubt.by else "")


def _kind(doubt: Defeater) -> str:
    return doubt.kind.replace("-", " ").capitalize()


def _paged(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Rows in sheets that fit a page; a later sheet begins with the claims that its first row stands under."""
    sheets: list[list[_Row]] = []
    head: list[_Row] = []
    while rows:
        cut = _cut(head, rows)
        sheets.append([*head, *rows[:cut]])
        if cut < len(rows):
            head = [
                _row(
                    one.about,
                    one.depth,
                    "again",
                    f"Continued: {one.text}",
                    tone=one.tone,
                    beside=one.beside[:1],
                    most=1,
                )
                if one.kind != "again"
                else one
                for one in _above(sheets[-1], rows[cut].depth)
            ]
        rows = rows[cut:]
    return sheets


def _cut(head: Sequence[_Row], rows: Sequence[_Row]) -> int:
    """How many rows go on a sheet: in its second half, before the row that stands highest in the tree."""
    ends = [top + row.height for top, row in zip(_tops([*head, *rows]), [*head, *rows], strict=True)][len(head) :]
    fit = max(1, sum(end <= _SHEET for end in ends))
    if fit == len(rows):
        return fit
    half = next((place for place, end in enumerate(ends) if end > _SHEET / 2), 0)
    return min(range(max(1, half), fit + 1), key=lambda place: (rows[place].depth, -place))


def _above(rows: Sequence[_Row], depth: int) -> list[_Row]:
    """The last row of each lesser depth."""
    found: dict[int, _Row] = {}
    for row in rows:
        found[row.depth] = row
    return [found[level] for level in range(depth)]


def _svg(
    rows: Sequence[_Row], *, name: str, title: str, description: str, link: Callable[[str], str] | None = None
) -> str:
    tops = _tops(rows)
    height = tops[-1] + rows[-1].height + 8
    drawn = [
        *_connectors(rows, tops),
        *(piece for row, top in zip(rows, tops, strict=True) for piece in _linked(row, _box(row, top), link)),
    ]
    # A picture has no links for whoever cannot see it; a group has.
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="{"group" if link else "img"}" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    return head + f'<g font-family="{_FONT}" font-size="11.5">' + "".join(drawn) + "</g></svg>"


def _linked(row: _Row, box: Iterator[str], link: Callable[[str], str] | None) -> Iterator[str]:
    """A box, as a link where one is wanted; the words in it are the link's name."""
    if link is None:
        yield from box
        return
    yield f'<a href="{escape(link(row.about))}">'
    yield from box
    yield "</a>"


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
        dash = ' stroke-dasharray="4 3"' if row.kind in {"defeater", "answered"} else ""
        colour = row.tone if row.kind == "defeater" else SOFT
        end = _left(row) - 1
        yield f'<path d="M{x} {start}V{y:g}H{end - 6}" fill="none" stroke="{colour}"{dash}/>'
        fill = "#ffffff" if row.is_hollow or row.kind == "answered" else colour
        yield (f'<path d="M{end} {y:g}l-7 -3.5v7z" fill="{fill}" stroke="{colour}" stroke-linejoin="round"/>')


def _left(row: _Row) -> int:
    return 8 + row.depth * _INDENT


def _box(row: _Row, top: int) -> Iterator[str]:
    left, right = _left(row), _WIDTH - _RIGHT
    yield _shape(row, left=left, top=top, width=right - left)
    first = top + row.height / 2 - (len(row.lines) - 1) * _LINE_HEIGHT / 2 + 4
    inset = _INSETS.get(row.kind, 10)
    colour = INK if row.kind in {"goal", "strategy", "defeater"} else SOFT
    for place, line in enumerate(row.lines):
        y = first + place * _LINE_HEIGHT
        yield f'<text x="{left + inset}" y="{y:g}" fill="{colour}">{escape(line)}</text>'
    middle = top + row.height / 2 - (len(row.beside) - 1) * _LINE_HEIGHT / 2 + 4
    for place, line in enumerate(row.beside):
        weight = ' font-weight="bold"' if place == 0 or line == "open again" else ""
        y = middle + place * _LINE_HEIGHT
        yield f'<text x="{right + 10}" y="{y:g}" fill="{row.tone}"{weight}>{escape(line)}</text>'


def _shape(row: _Row, *, left: int, top: int, width: int) -> str:
    """The outline that the notation gives a kind of node."""
    height, bottom, right = row.height, top + row.height, left + width
    stroke = f'fill="#ffffff" stroke="{row.tone}" stroke-width="{2 if row.kind == "goal" else 1.2}"'
    middle = top + height / 2
    match row.kind:
        case "strategy":
            return f'<path d="M{left + 12} {top}H{right}L{right - 12} {bottom}H{left}z" {stroke}/>'
        case "context":
            return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="{height / 2:g}" {stroke}/>'
        case "assumption":
            return (
                f'<ellipse cx="{left + width / 2:g}" cy="{middle:g}" rx="{width / 2:g}" ry="{height / 2:g}" {stroke}/>'
            )
        case "solution":
            return f'<circle cx="{left + 7}" cy="{middle:g}" r="6" fill="{GRID}" stroke="{SOFT}"/>'
        case "defeater" | "answered":
            dashed = ' stroke-dasharray="4 3"' if row.kind == "answered" else ""
            sides = f"M{left} {middle:g}L{left + 12} {top}H{right - 12}L{right} {middle:g}L{right - 12} {bottom}"
            return f'<path d="{sides}H{left + 12}z" {stroke}{dashed}/>'
        case "again":
            dashed = f'fill="none" stroke="{SOFT}" stroke-dasharray="2 3"'
            return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" {dashed}/>'
    return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" {stroke}/>'
