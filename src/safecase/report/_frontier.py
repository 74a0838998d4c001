"""Safety against usefulness as a figure: one line per series, a cross of intervals at every point."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from safecase.report._figures import AFTER, BEFORE, INK, LINE, SOFT, Figure, Sketch, altair_module
from safecase.suites.arena import FrontierPoint

_COLOURS = (AFTER, BEFORE, LINE, INK, SOFT)


def frontier_sketch(points: Sequence[FrontierPoint], *, name: str = "control-frontier") -> Sketch:
    """The figure before it is drawn.

    Args:
        points: in any order; those that another one beats are drawn hollow.
        name: file stem, and id in the documents.
    """
    return Sketch(
        name=name,
        title="Safety against usefulness of the controls",
        description="Per protocol and audit budget, a line through its thresholds: the share of main tasks done to the "
        "right, the share of attacks that were never caught upwards, each with its interval. Filled dots are beaten by "
        "no other.",
        note="Right and low is good. Intervals speak of these attacks on these main tasks over fresh seeds; the best "
        "point of a sweep was picked, so verify it on seeds of its own.",
        numbers=(),
        chart=lambda: _chart([asdict(point) for point in points]),
    )


def frontier_figure(points: Sequence[FrontierPoint], *, name: str = "control-frontier") -> Figure:
    """The figure as SVG.

    Raises:
        MissingExtras: altair or vl-convert is not installed.
    """
    return frontier_sketch(points, name=name).draw()


def _chart(rows: list[dict[str, Any]]) -> Any:  # an altair chart
    alt = altair_module()
    series = sorted({row["series"] for row in rows})
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=series, range=[_COLOURS[at % len(_COLOURS)] for at in range(len(series))]),
        legend=alt.Legend(title=None, orient="bottom", columns=2, labelLimit=320),
    )
    x = alt.X("useful:Q", title="Main tasks done", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    y = alt.Y("uncaught:Q", title="Attacks never caught", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    base = alt.Chart(alt.Data(values=rows), width=480, height=320).encode(color=colour)
    filled = alt.condition("datum.is_beaten", alt.value("white"), colour)
    return alt.layer(
        base.mark_line(strokeWidth=1.5).encode(x=x, y=y, order="threshold:Q"),
        base.mark_rule(opacity=0.5).encode(x=alt.X("useful_low:Q"), x2="useful_high:Q", y=y),
        base.mark_rule(opacity=0.5).encode(x=x, y=alt.Y("uncaught_low:Q"), y2="uncaught_high:Q"),
        base.mark_point(size=70, strokeWidth=2).encode(x=x, y=y, fill=filled),
    )
