"""Figures as deterministic SVG with a title and a description, drawn from the table of numbers."""

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from safecase.evidence import Estimate
from safecase.measure import CURVES
from safecase.report._errors import MissingExtras
from safecase.report._input import ReportInput
from safecase.report._results import group_of
from safecase.report._words import sentence_case

INK, SOFT, GRID, BEFORE, AFTER, LINE = "#20252b", "#5a636e", "#dfe3e8", "#b25e1b", "#0b6b74", "#8a1c33"
"""The palette; HTML exchanges each for a custom property, so that figures follow light and dark."""

_FONT = "Libertinus Serif"
_ROW = 34
_WIDTH = 480
_LABELS = 220
_BEFORE, _AFTER = "Before safeguards", "After safeguards"
_ARMS = {"bare": _BEFORE, "guarded": _AFTER}
_NOT_RATES = frozenset(
    {"time_horizon_hours", "networks_taken", "networks_taken_unseen", "working_exploits", "effort_gap"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawn figure.

    Attributes:
        name: file stem, and id in the documents.
        description: what a reader who cannot see it is told; without numbers, which stand in the tables.
        note: a sentence under the caption, or None.
        numbers: ids of what is plotted.
        svg: the file, UTF-8.
    """

    name: str
    title: str
    description: str
    note: str | None
    numbers: tuple[str, ...]
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A figure before it is drawn: what it says and which numbers it plots. Making one needs no extra package."""

    name: str
    title: str
    description: str
    note: str | None
    numbers: tuple[str, ...]
    chart: Callable[[], Any]  # an altair chart; altair ships its types, but only where it is installed

    def draw(self) -> Figure:
        """Draw it.

        Raises:
            MissingExtras: altair or vl-convert is not installed.
        """
        drawn = _svg(self.chart())
        return Figure(
            name=self.name,
            title=self.title,
            description=self.description,
            note=self.note,
            numbers=self.numbers,
            svg=_accessible(drawn, name=self.name, title=self.title, description=self.description),
        )


def sketches(given: ReportInput) -> tuple[Sketch, ...]:
    """Every figure the estimates allow, in the order of the report."""
    made = (
        _gates(given),
        _by_group(given, "category"),
        _by_group(given, "family"),
        _tradeoff(given),
        _attacks(given),
        _curves(given),
    )
    return tuple(sketch for sketch in made if sketch is not None)


def _gates(given: ReportInput) -> Sketch | None:
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    rows: list[dict[str, Any]] = []
    numbers: list[str] = []
    lines: list[dict[str, Any]] = []
    order: list[str] = []
    for gate in given.framework.gates:
        if gate.measure in _NOT_RATES:
            continue
        members = [e for arm in _ARMS if (e := by_id.get(f"{gate.id}/{arm}/all")) is not None]
        if not members:
            continue
        label = _wrapped(gate.title)
        order.append(label)
        rows += [_row(label, e) for e in members]
        numbers += [e.estimate_id for e in members]
        whole = next((t for t in gate.thresholds if t.over == "all"), None)
        if whole is not None:
            safe = "◂ at most" if whole.passes.is_ceiling else "at least ▸"
            lines.append({"label": label, "line": whole.passes.value, "safe": safe})
            numbers.append(f"gate/{gate.id}/{gate.thresholds.index(whole)}/passes")
    if not rows:
        return None
    return _sketch(
        "gates",
        "Every measured gate against its line",
        "Per gate, a dot with its interval before and after safeguards, and a vertical stroke at the gate's line. "
        "A triangle beside the stroke points to the safe side.",
        "The stroke is the line and the triangle beside it points to the safe side. A gate passes only when its bound "
        "lies there; dots decide nothing.",
        numbers,
        lambda: _intervals(rows, order, axis="Rate", lines=lines, row=46),
    )


def _by_group(given: ReportInput, grouping: str) -> Sketch | None:
    members = [e for e in group_of(given.estimates, "unsafe_rate", grouping) if e.arm in _ARMS]
    if not members:
        return None
    order = _order(members)
    rows = [_row(_group_title(e), e) for e in members]
    title = {
        "category": "Unsafe answers by category, before and after safeguards",
        "family": "Attack success by attack family, before and after safeguards",
    }[grouping]
    description = (
        f"Per {'category' if grouping == 'category' else 'attack family'}, a hollow dot for the rate of unsafe answers "
        "before safeguards and a filled dot after them, each with its interval; the worst stands first."
    )
    note = "“None” is the plain request without an attack." if grouping == "family" else None
    return _sketch(
        f"unsafe-by-{grouping}",
        title,
        description,
        note,
        [e.estimate_id for e in members],
        lambda: _intervals(rows, order, axis="Unsafe answers to harmful requests"),
    )


def _attacks(given: ReportInput) -> Sketch | None:
    members = [e for e in group_of(given.estimates, "unsafe_rate", "attack") if e.arm in _ARMS]
    if not members:
        return None
    note = (
        "The attack at the top was picked because it came out worst. A rate picked so leans towards the worse, so read "
        "its interval and not its dot; gates fail only on bounds corrected for the number of attacks looked at."
    )
    return _sketch(
        "worst-attack",
        "Worst attack: unsafe answers under every attack",
        "Per attack, a hollow dot for the rate of unsafe answers before safeguards and a filled dot after them, each "
        "with its interval, sorted so that the worst after safeguards stands first.",
        note,
        [e.estimate_id for e in members],
        lambda: _intervals(
            [_row(_group_title(e), e) for e in members],
            _order(members),
            axis="Unsafe answers to harmful requests",
            row=25,
            is_ranked=True,
        ),
    )


def _curves(given: ReportInput) -> Sketch | None:
    """Success within the first 1, 2, ... attempts, a small panel per attack that tries again."""
    members = [e for e in given.estimates if e.scope.get("name") == CURVES and e.arm in _ARMS]
    if not members:
        return None
    rows = []
    for estimate in members:
        attack, _, first = estimate.group.removeprefix("attack:").rpartition("@")
        rows.append({**_row(attack, estimate), "first": int(first)})
    return _sketch(
        "attempts",
        "Attack success over attempts",
        "Per attack that tries again, a line for the share of intents answered unsafely within the first one, two and "
        "more attempts, hollow dots before safeguards and filled ones after them, each with its interval.",
        "The first attempt is where an attack that tries once would stop.",
        [e.estimate_id for e in members],
        lambda: _panels(rows),
    )


def _tradeoff(given: ReportInput) -> Sketch | None:
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    whole: list[dict[str, Any]] = []
    faint: list[dict[str, Any]] = []
    numbers: list[str] = []
    for arm in _ARMS:
        x, y = by_id.get(f"unsafe_rate/{arm}/all"), by_id.get(f"overrefusal_rate/{arm}/all")
        if x is None or y is None or x.value is None or y.value is None:
            continue
        numbers += [x.estimate_id, y.estimate_id]
        whole.append(
            {
                "arm": _ARMS[arm],
                "x": x.value,
                "y": y.value,
                "x_low": x.low,
                "x_high": x.high,
                "y_low": y.low,
                "y_high": y.high,
            }
        )
        for e in (e for e in group_of(given.estimates, "unsafe_rate", "category") if e.arm == arm):
            other = by_id.get(f"overrefusal_rate/{arm}/{e.group}")
            if e.value is not None and other is not None and other.value is not None:
                numbers += [e.estimate_id, other.estimate_id]
                faint.append({"arm": _ARMS[arm], "category": e.group, "x": e.value, "y": other.value})
    if not whole:
        return None
    return _sketch(
        "trade-off",
        "What safeguards cost: over-refusal against unsafe answers",
        "A plane with unsafe answers to harmful requests across and refusals of harmless requests upwards; a large dot "
        "with its intervals for each arm, a small one for each category, joined from before to after.",
        "Large marks are the whole, with intervals both ways; small ones are categories. Lower left is better.",
        numbers,
        lambda: _plane(whole, faint),
    )


def _row(label: str, estimate: Estimate) -> dict[str, Any]:
    return {
        "label": label,
        "arm": _ARMS[estimate.arm],
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
    }


def _group_title(estimate: Estimate) -> str:
    grouping, _, name = estimate.group.partition(":")
    return name if grouping == "attack" else sentence_case(name)


def _order(members: Sequence[Estimate]) -> list[str]:
    """Labels, worst after safeguards first (before them where nothing stands after)."""
    last: dict[str, tuple[float, float]] = {}
    for estimate in sorted(members, key=lambda e: e.arm == "guarded"):
        last[_group_title(estimate)] = (estimate.value if estimate.value is not None else 1.0, estimate.high)
    return sorted(last, key=lambda label: (-last[label][0], -last[label][1], label))


def _intervals(
    rows: Sequence[Mapping[str, Any]],
    order: Sequence[str],
    *,
    axis: str,
    lines: Sequence[Mapping[str, Any]] = (),
    row: int = _ROW,
    is_ranked: bool = False,
) -> Any:  # an altair chart; altair ships its types, but only where it is installed
    alt = altair_module()
    arms = [arm for arm in _ARMS.values() if any(r["arm"] == arm for r in rows)]
    y = alt.Y("label:N", sort=list(order), title=None, axis=_label_axis(alt, first=order[0] if is_ranked else None))
    offset = alt.YOffset("arm:N", sort=arms, scale=alt.Scale(domain=arms, paddingOuter=0.45))
    x = alt.X(
        "value:Q",
        title=axis,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5, labelFlush=False),
    )
    colour = alt.Color("arm:N", scale=_arm_scale(alt, arms), legend=_legend(alt), sort=arms)
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(y=y, yOffset=offset, color=colour)
    spans = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=alt.X("low:Q"), x2="high:Q")
    dots = (
        base.transform_filter("datum.value !== null")
        .mark_point(size=62, strokeWidth=2, opacity=1)
        .encode(x=x, fill=alt.Fill("arm:N", scale=_fill_scale(alt, arms), legend=None))
    )
    layers = [spans, dots]
    if lines:
        at = alt.Chart(alt.InlineData(values=list(lines))).encode(y=y, x=alt.X("line:Q"))
        layers += [
            at.mark_tick(thickness=2, size=row * 0.8, color=LINE),
            at.transform_filter("datum.safe === '◂ at most'").mark_point(
                shape="triangle-left", size=48, filled=True, color=LINE, xOffset=-6, yOffset=-row * 0.32, opacity=1
            ),
            at.transform_filter("datum.safe !== '◂ at most'").mark_point(
                shape="triangle-right", size=48, filled=True, color=LINE, xOffset=6, yOffset=-row * 0.32, opacity=1
            ),
        ]
    return alt.layer(*layers).properties(width=_WIDTH, height=row * len(order))


def _label_axis(alt: Any, *, first: str | None) -> Any:  # the altair module, an altair axis
    """Labels of one width in every figure, broken where `_wrapped` broke them; a ranking's first stands bold."""
    weight = alt.condition(f"datum.value === '{first}'", alt.value("bold"), alt.value("normal")) if first else "normal"
    return alt.Axis(
        labelExpr="split(datum.value, '|')",
        labelFontWeight=weight,
        labelLimit=_LABELS,
        minExtent=_LABELS,
        maxExtent=_LABELS,
        ticks=False,
        domain=False,
        labelPadding=10,
    )


def _wrapped(title: str) -> str:
    return "|".join(textwrap.wrap(title, 34)[:2])


def _plane(whole: Sequence[Mapping[str, Any]], faint: Sequence[Mapping[str, Any]]) -> Any:  # an altair chart
    alt = altair_module()
    arms = [row["arm"] for row in whole]
    colour = alt.Color("arm:N", scale=_arm_scale(alt, arms), legend=_legend(alt), sort=arms)
    fill = alt.Fill("arm:N", scale=_fill_scale(alt, arms), legend=None)

    def position(field: str, title: str, channel: Any) -> Any:  # an altair channel, x or y
        top = _top([row[key] for row in whole for key in (field, f"{field}_high")] + [row[field] for row in faint])
        axis = alt.Axis(format=".0%", tickCount=5, grid=True)
        return channel(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, top]), axis=axis)

    x = position("x", "Unsafe answers to harmful requests", alt.X)
    y = position("y", "Refusals of harmless requests", alt.Y)
    small = alt.Chart(alt.InlineData(values=list(faint)))
    large = alt.Chart(alt.InlineData(values=list(whole)))
    layers = [
        small.mark_line(strokeWidth=1, opacity=0.35, color=SOFT).encode(x=x, y=y, detail="category:N"),
        small.mark_point(size=22, strokeWidth=1.2, opacity=0.7).encode(x=x, y=y, color=colour, fill=fill),
        large.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x="x_low:Q", x2="x_high:Q", y=y, color=colour),
        large.mark_rule(strokeWidth=2.5, opacity=0.55).encode(y="y_low:Q", y2="y_high:Q", x=x, color=colour),
        large.mark_point(size=130, strokeWidth=2.5, opacity=1).encode(x=x, y=y, color=colour, fill=fill),
    ]
    return alt.layer(*(layers if faint else layers[2:])).properties(width=_WIDTH, height=300)


def _panels(rows: Sequence[Mapping[str, Any]]) -> Any:  # an altair chart
    alt = altair_module()
    arms = [arm for arm in _ARMS.values() if any(row["arm"] == arm for row in rows)]
    x = alt.X("first:Q", title="Attempts", axis=alt.Axis(format="d", tickMinStep=1, grid=False))
    y = alt.Y("value:Q", title="Unsafe answers", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", grid=True))
    colour = alt.Color("arm:N", scale=_arm_scale(alt, arms), legend=_legend(alt), sort=arms)
    fill = alt.Fill("arm:N", scale=_fill_scale(alt, arms), legend=None)
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(x=x, color=colour)
    known = base.transform_filter("datum.value !== null")
    layers = alt.layer(
        base.mark_rule(strokeWidth=2.5, opacity=0.4).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.5, invalid="break-paths-show-path-domains").encode(y=y),
        known.mark_point(size=50, strokeWidth=2, opacity=1).encode(y=y, fill=fill),
    )
    panel = alt.Header(title=None, labelFontSize=12, labelColor=INK, labelFont=_FONT)
    return layers.properties(width=_WIDTH // 2 - 40, height=150).facet(
        facet=alt.Facet("label:N", header=panel), columns=2
    )


def _top(rates: Iterable[float]) -> float:
    """The next fifth above the highest rate: where an axis ends."""
    return min(1.0, math.ceil(max(rates) * 5) / 5 or 0.2)


def _arm_scale(alt: Any, arms: Sequence[str]) -> Any:  # the altair module, an altair scale
    return alt.Scale(domain=list(arms), range=[BEFORE if arm == _BEFORE else AFTER for arm in arms])


def _fill_scale(alt: Any, arms: Sequence[str]) -> Any:  # the altair module, an altair scale
    """Before is hollow, after is filled, so that colour is not needed to tell them apart."""
    return alt.Scale(domain=list(arms), range=["#ffffff" if arm == _BEFORE else AFTER for arm in arms])


def before_and_after(alt: Any) -> tuple[Any, Any]:  # the altair module; an altair colour and fill
    """How a dot before safeguards and one after them are told apart, with a legend."""
    arms = [_BEFORE, _AFTER]
    colour = alt.Color("arm:N", scale=_arm_scale(alt, arms), legend=_legend(alt), sort=arms)
    return colour, alt.Fill("arm:N", scale=_fill_scale(alt, arms), legend=None)


def _legend(alt: Any) -> Any:  # the altair module, an altair legend
    return alt.Legend(
        title=None, orient="top", direction="horizontal", symbolType="circle", symbolStrokeWidth=2, symbolOpacity=1
    )


def _sketch(
    name: str, title: str, description: str, note: str | None, numbers: Iterable[str], chart: Callable[[], Any]
) -> Sketch:  # an altair chart
    plotted = tuple(dict.fromkeys(numbers))
    return Sketch(name=name, title=title, description=description, note=note, numbers=plotted, chart=chart)


def _svg(chart: Any) -> str:  # an altair chart
    try:
        import vl_convert
    except ImportError as fault:
        raise MissingExtras(EXTRAS) from fault
    spec = chart.configure(**_CONFIG).to_dict(validate=False)
    return str(vl_convert.vegalite_to_svg(vl_spec=spec))


EXTRAS = "the report needs packages that are not installed; run: pip install 'safecase[report]'"

_CONFIG: dict[str, Any] = {  # Vega-Lite configuration
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": SOFT,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": SOFT,
        "tickColor": SOFT,
    },
    "axisY": {"grid": False},
    "legend": {"labelFontSize": 12, "labelColor": INK, "symbolSize": 90, "padding": 0, "offset": 10},
}


def altair_module() -> Any:  # the altair module; its types are not here where the extra is not installed
    """The drawing library.

    Raises:
        MissingExtras: it is not installed.
    """
    try:
        import altair
    except ImportError as fault:
        raise MissingExtras(EXTRAS) from fault
    return altair


def _accessible(svg: str, *, name: str, title: str, description: str) -> str:
    """Give an SVG its role, title and description, and clip ids of its own so that several can share a page."""
    svg = re.sub(r'\s(?:aria-\w+|role|aria-roledescription)="[^"]*"', "", svg)
    svg = re.sub(r'(id="|url\(#|href="#)(clip|gradient)', rf"\1{name}-\2", svg)
    head = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    opening = re.match(r"<svg[^>]*>", svg)
    if opening is None:
        raise ValueError(f"figure {name!r} was drawn as something else than SVG: {svg[:80]!r}")
    tag = opening.group()[:-1] + f' role="img" aria-labelledby="{name}-title {name}-desc">'
    return tag + head + svg[opening.end() :]
