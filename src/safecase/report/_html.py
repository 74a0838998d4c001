"""The HTML edition: one file, no scripts, nothing fetched."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from safecase.decide import percent
from safecase.report._errors import MissingExtras
from safecase.report._figures import AFTER, BEFORE, EXTRAS, GRID, INK, LINE, SOFT, Figure
from safecase.report._numbers import Tracer, split_marks

_TEMPLATES = Path(__file__).parent / "templates"
_PROPERTY = {INK: "ink", SOFT: "soft", GRID: "grid", BEFORE: "before", AFTER: "after", LINE: "line", "#ffffff": "paper"}


def render_html(content: Mapping[str, Any], tracer: Tracer, figures: Sequence[Figure]) -> str:
    """Render a document.

    Raises:
        UntracedNumber: the template asks for a number without an id in the table.
        MissingExtras: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as fault:
        raise MissingExtras(EXTRAS) from fault
    from markupsafe import Markup

    def num(number_id: str) -> Markup:
        return Markup(_number(tracer, number_id))  # noqa: S704 - escaped where it is made

    def rich(sentence: str) -> Markup:
        pieces = (_number(tracer, text) if is_id else _prose(text) for is_id, text in split_marks(sentence))
        return Markup("".join(pieces))  # noqa: S704 - every piece is escaped

    def drawing(figure: Figure) -> Markup:
        return Markup(themed(figure.svg))  # noqa: S704 - our own drawing

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(num=num, css=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")))  # noqa: S704
    environment.filters.update(rich=rich, drawing=drawing, anchor=anchor)
    template = environment.get_template("report.html.j2")
    page = template.render(
        doc=content, figures={figure.name: figure for figure in figures}, appendix=lambda: appendix(tracer)
    )
    return page.rstrip() + "\n"


def appendix(tracer: Tracer) -> list[dict[str, Any]]:
    """Every printed number, one line each; the fields of an estimate or a card share the line of their value."""
    lines: dict[str, dict[str, Any]] = {}
    for number_id in tracer.printed:
        base = _base(tracer, number_id)
        entry = lines.setdefault(base, {"id": base, "fields": []})
        if number_id != base:
            entry["fields"].append((number_id.removeprefix(f"{base}/"), number_id))
    for entry in lines.values():
        number = tracer.table[entry["id"]]
        entry["query"] = query_words(number.query)
        entry["digest"] = number.evidence_digest
    return list(lines.values())


def query_words(query: Mapping[str, Any]) -> str:
    """A query in one short line.

    >>> query_words({"kind": "pack", "framework": "scaling-v2 2.0", "pointer": "/gates/3/alpha"})
    'pack scaling-v2 2.0 /gates/3/alpha'
    """
    match query["kind"]:
        case "estimate":
            return f"estimate {query['measure']}, arm {query['arm']}, group {query['group']}"
        case "count" | "tally":
            where = ", ".join(f"{key}={value}" for key, value in query["where"].items())
            return f"count {query['of']}" + (f" where {where}" if where else "")
        case "file":
            return f"{query['file']} {query['pointer']}"
        case "pack":
            return f"pack {query['framework']} {query['pointer']}"
        case "suite":
            return f"suite {query['suite']}, arm {query['arm']}, {query['field']}"
        case "validation":
            return f"{query['file']}, group {query['group']}, {query['field']}"
        case "layer":
            return f"layer {query['layer']} on arm {query['arm']}, {query['field']}"
        case "ledger":
            return f"entries {query['of']} of the ledger after {query['after'][:12]}"
        case "campaign":
            return f"campaign {query['campaign']}, {query.get('of') or query['pointer']}"
        case "quote":
            return f"as written in {query['file']} {query['pointer']}"
        case _:
            return f"card of the {query['of']}, {query['name']}, {query['field']}"


def anchor(number_id: str) -> str:
    """A number's anchor in the appendix: what HTML allows in an id and a URL alike.

    >>> anchor("unsafe_rate/bare/attack:none")
    'n-unsafe_rate-bare-attack-none'
    """
    return "n-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", number_id)


def themed(svg: str) -> str:
    """A figure whose colours follow the page."""
    for colour, name in _PROPERTY.items():
        svg = svg.replace(f'"{colour}"', f'"var(--fig-{name})"')
    return svg


def _number(tracer: Tracer, number_id: str) -> str:
    number = tracer.num(number_id)
    parts = [number_id]
    if number.low is not None and number.high is not None:
        parts.append(f"interval {percent(number.low)} to {percent(number.high)}")
    if number.n is not None:
        parts.append(f"n = {number.n:,}")
    parts.append(f"evidence {number.evidence_digest[:16]}")
    target = anchor(_base(tracer, number_id))
    return (
        f'<a class="num" data-id="{escape(number_id)}" href="#{target}" tabindex="-1" '
        f'title="{escape(" · ".join(parts))}">{escape(number.text)}</a>'
    )


def _base(tracer: Tracer, number_id: str) -> str:
    """The id whose line in the appendix holds this one: the value that it is a bound, an interval or a count of."""
    query = tracer.table[number_id].query
    kind = query["kind"]
    if kind == "estimate":
        return str(query["estimate_id"])
    if kind == "campaign" and str(query.get("pointer")).endswith(("/low", "/high")):
        return number_id.rpartition("/")[0]
    is_share = kind == "layer" or (kind == "card" and query["of"] == "judge")
    if is_share and query.get("part", "value") != "value":
        return number_id.rpartition("/")[0]
    return number_id


def _prose(text: str) -> str:
    """Escaped text in which ids of gates, outcomes and estimates stand as code."""
    return re.sub(
        r"(?<![\w.-])([a-z][a-z-]+(?:\.[a-z0-9-]{2,})+(?:/[\w:/.-]*\w)?|(?:attack|category|family|language):[\w-]+|[a-z_]+/(?:bare|guarded|trained)\S*[\w])",
        r"<code>\1</code>",
        escape(text),
    )
