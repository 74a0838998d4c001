"""What the safeguards changed: the same intents before and after, and the difference between them."""

from collections.abc import Mapping
from typing import Any

from safecase.evidence import Estimate
from safecase.report._figures import AFTER, INK, SOFT, Sketch, altair_module, before_and_after
from safecase.report._input import ReportInput
from safecase.report._numbers import Tracer
from safecase.report._results import cell, group_of
from safecase.report._words import MEASURES, sentence_case

_MEASURES = ("unsafe_rate", "overrefusal_rate", "discernment")
_ARMS = ("bare", "guarded", "guarded-bare")
_BETTER: Mapping[str, str] = {"unsafe_rate": "down", "overrefusal_rate": "down", "discernment": "up"}


def changed(given: ReportInput, tracer: Tracer) -> dict[str, Any] | None:
    """Before, after and the paired difference per measure; None where nothing is paired."""
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    rows = [_row(by_id, measure, tracer) for measure in _MEASURES if f"{measure}/guarded-bare/all" in by_id]
    if not rows:
        return None
    return {"rows": rows, "telling_apart": _telling_apart(given, tracer)}


def changed_sketch(given: ReportInput) -> Sketch | None:
    """A line from before to after for every measure, and the paired difference with its interval beside it."""
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    found = [
        {arm: by_id[f"{measure}/{arm}/all"] for arm in _ARMS}
        for measure in _MEASURES[:2]
        if all(f"{measure}/{arm}/all" in by_id for arm in _ARMS)
    ]
    if not found:
        return None
    return Sketch(
        name="changed",
        title="What the safeguards changed",
        description="Per rate, a hollow dot before safeguards and a filled dot after them, each with its interval and "
        "joined by a line; beside it the paired difference with its interval, and a stroke where there is none.",
        note="Left: the rates. Right: their paired difference over the same intents. Where its interval touches the "
        "stroke, a change was not shown.",
        numbers=tuple(one.estimate_id for row in found for one in row.values()),
        chart=lambda: _dumbbells(found),
    )


def _row(by_id: Mapping[str, Estimate], measure: str, tracer: Tracer) -> dict[str, Any]:
    title, meaning = MEASURES[measure]
    cells = {arm: cell(by_id.get(f"{measure}/{arm}/all"), tracer) for arm in _ARMS}
    return {"title": title, "meaning": meaning, "cells": cells, "says": _says(by_id, measure, tracer)}


def _says(by_id: Mapping[str, Estimate], measure: str, tracer: Tracer) -> str:
    """The change in a marked sentence. What it says is read off the interval, never off the point."""
    bare, guarded, change = (by_id.get(f"{measure}/{arm}/all") for arm in _ARMS)
    if change is None or bare is None or guarded is None or change.value is None:
        return "A change could not be estimated."
    mark, name = tracer.mark, change.estimate_id
    if change.low <= 0.0 <= change.high:
        verdict = "no change was shown either way"
    else:
        way = "up" if change.low > 0 else "down"
        verdict = f"{way}, which is the {'better' if way == _BETTER[measure] else 'worse'} way"
    return (
        f"{MEASURES[measure][0]}: {mark(bare.estimate_id)} before, {mark(guarded.estimate_id)} after; difference "
        f"{mark(name)} [{mark(name + '/low')}, {mark(name + '/high')}] over {mark(name + '/clusters')} "
        f"{'intent' if change.clusters == 1 else 'intents'}: {verdict}."
    )


def _telling_apart(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """Harmful requests against their own twins, by category."""
    by_id = {estimate.estimate_id: estimate for estimate in given.estimates}
    groups = sorted({e.group for e in group_of(given.estimates, "discernment", "category")})

    def at(name: str, arm: str, group: str) -> dict[str, Any] | None:
        return cell(by_id.get(f"{name}/{arm}/{group}"), tracer)

    return [
        {
            "name": sentence_case(group.partition(":")[2]),
            "bare": at("discernment", "bare", group),
            "guarded": at("discernment", "guarded", group),
            "change": at("discernment", "guarded-bare", group),
        }
        for group in groups
    ]


def _dumbbells(found: list[dict[str, Estimate]]) -> Any:  # an altair chart
    alt = altair_module()
    order = [MEASURES[row["bare"].measure][0] for row in found]
    rates = [
        {"label": label, "arm": arm, "value": e.value, "low": e.low, "high": e.high}
        for label, row in zip(order, found, strict=True)
        for arm, e in (("Before safeguards", row["bare"]), ("After safeguards", row["guarded"]))
    ]
    joins = [
        {"label": label, "from": row["bare"].value, "to": row["guarded"].value}
        for label, row in zip(order, found, strict=True)
        if row["bare"].value is not None and row["guarded"].value is not None
    ]
    changes = [
        {"label": label, "value": e.value, "low": e.low, "high": e.high}
        for label, e in ((label, row["guarded-bare"]) for label, row in zip(order, found, strict=True))
    ]
    height, y = 62 * len(order), alt.Y("label:N", sort=order, title=None)
    colour, fill = before_and_after(alt)
    offset = alt.YOffset("arm:N", sort=["Before safeguards", "After safeguards"], scale=alt.Scale(paddingOuter=0.6))
    base = alt.Chart(alt.InlineData(values=rates)).encode(y=y, yOffset=offset, color=colour)
    share = alt.X(
        "value:Q", title="Share of requests", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5)
    )
    left = alt.layer(
        alt.Chart(alt.InlineData(values=joins))
        .mark_rule(color=SOFT, strokeDash=[3, 3])
        .encode(y=y, x="from:Q", x2="to:Q"),
        base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x="low:Q", x2="high:Q"),
        base.transform_filter("datum.value !== null")
        .mark_point(size=70, strokeWidth=2, opacity=1)
        .encode(x=share, fill=fill),
    ).properties(width=300, height=height)
    bare = alt.Y("label:N", sort=order, title=None, axis=None)
    spread = max(0.05, *(abs(end) for row in found for end in (row["guarded-bare"].low, row["guarded-bare"].high)))
    signed = alt.X(
        "value:Q",
        title="Paired difference",
        scale=alt.Scale(domain=[-spread, spread]),
        axis=alt.Axis(format="+.0%", tickCount=5),
    )
    of_changes = alt.Chart(alt.InlineData(values=changes)).encode(y=bare)
    right = alt.layer(
        alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=INK).encode(x="at:Q"),
        of_changes.mark_rule(strokeWidth=2.5, opacity=0.7, color=AFTER).encode(x="low:Q", x2="high:Q"),
        of_changes.transform_filter("datum.value !== null")
        .mark_point(size=70, strokeWidth=2, opacity=1, color=AFTER, fill=AFTER)
        .encode(x=signed),
    ).properties(width=230, height=height)
    return alt.hconcat(left, right, spacing=24)
