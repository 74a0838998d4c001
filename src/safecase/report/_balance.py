"""Ideological balance in the report: gaps between opposing sides, and the leaning of stances taken."""

from collections.abc import Iterable
from typing import Any

from safecase.evidence import Estimate
from safecase.report._figures import INK, Sketch, altair_module, before_and_after
from safecase.report._input import ReportInput
from safecase.report._numbers import Tracer
from safecase.report._results import cell
from safecase.report._words import sentence_case

_GAPS = {
    "refusal-gap": ("Refusals", "share of the left's requests refused, less that of the right's"),
    "acknowledgement-gap": ("The other side", "answers that say there is another view, left less right"),
    "effort-gap": ("Length", "words of the left's answer over words of the right's"),
    "substance-gap": ("Reasons", "distinct reasons given to the left less the right, over their sum"),
}
_ARMS = ("bare", "guarded", "guarded-bare")
_DRAWN = {"refusal-gap": "Refusals", "acknowledgement-gap": "The other side", "substance-gap": "Reasons"}


def balance(given: ReportInput, tracer: Tracer) -> dict[str, Any] | None:
    """Every gap with its change, both sides' refusals, topics, and the leaning; None where nothing was measured."""
    by_id = {e.estimate_id: e for e in given.estimates if e.estimate_id.startswith("balance.")}
    if not by_id:
        return None

    def cells(name: str, group: str) -> dict[str, Any]:
        return {arm: cell(by_id.get(f"balance.{name}/{arm}/{group}"), tracer) for arm in _ARMS}

    def rows(group: str, names: Iterable[str], *, has_meaning: bool) -> list[dict[str, Any]]:
        return [
            {"title": _GAPS[name][0], "meaning": _GAPS[name][1] if has_meaning else None, "cells": cells(name, group)}
            for name in names
            if _has(by_id, name, group)
        ]

    sides = [side for side in ("left", "right") if _has(by_id, "refusal", f"side:{side}")]
    topics = sorted({e.group for e in by_id.values() if e.group.startswith("topic:")})
    axes = sorted({e.group for e in by_id.values() if e.scope.get("name") == "balance.leaning" and ":" in e.group})
    groups = [group for group in ("signed", *axes) if _has(by_id, "leaning", group)]
    return {
        "gaps": [
            *({"title": f"Refused, {s}", "meaning": None, "cells": cells("refusal", f"side:{s}")} for s in sides),
            *rows("signed", _GAPS, has_meaning=True),
        ],
        "unpartisan": rows("axis:for-against", _GAPS, has_meaning=False),
        "topics": [
            {"title": _group_title(group), "meaning": None, "cells": cells("refusal-gap", group)} for group in topics
        ],
        "leaning": [
            {
                "title": "All statements" if group == "signed" else f"{_group_title(group)} statements",
                "meaning": None,
                "cells": cells("leaning", group),
            }
            for group in groups
        ],
        "no_side": cells("no-side", "all") if _has(by_id, "no-side", "all") else None,
        "sentences": [
            _sentence(by_id, arm, tracer) for arm in _ARMS[:2] if f"balance.refusal-gap/{arm}/signed" in by_id
        ],
        "is_corrected": all(e.calibration != "none" for e in by_id.values() if e.measure == "signed_refusal_gap"),
        "text_judge": sorted({e.judge for e in by_id.values() if e.measure == "signed_substance_gap"}),
    }


def balance_sketch(given: ReportInput) -> Sketch | None:
    """The gaps that are differences of shares, before and after, around the stroke where sides are treated alike."""
    by_id = {e.estimate_id: e for e in given.estimates}
    found = [
        (title, arm, by_id[name])
        for gap, title in _DRAWN.items()
        for arm in ("bare", "guarded")
        if (name := f"balance.{gap}/{arm}/signed") in by_id
    ]
    if not found:
        return None
    return Sketch(
        name="balance",
        title="Opposing sides: who is treated how",
        description="Per gap, a hollow dot before safeguards and a filled dot after them, each with its interval, "
        "around a stroke where both sides are treated alike; right of it stands more for the left's requests.",
        note="Left of the stroke more for the right's requests, right of it more for the left's.",
        numbers=tuple(estimate.estimate_id for _, _, estimate in found),
        chart=lambda: _around_nothing(found),
    )


def _group_title(group: str) -> str:
    return sentence_case(group.partition(":")[2])


def _has(by_id: dict[str, Estimate], name: str, group: str) -> bool:
    return any(f"balance.{name}/{arm}/{group}" in by_id for arm in _ARMS)


def _sentence(by_id: dict[str, Estimate], arm: str, tracer: Tracer) -> str:
    """The refusal gap in a marked sentence, read off its interval."""
    gap = by_id[f"balance.refusal-gap/{arm}/signed"]
    mark, name = tracer.mark, gap.estimate_id
    when = "Before safeguards" if arm == "bare" else "After safeguards"
    if gap.low <= 0.0 <= gap.high:
        size = by_id[f"balance.refusal-gap/{arm}/all"].estimate_id
        tracer.num(size)  # the line of the appendix that holds its bound
        return f"{when} no gap in refusals was shown; one of up to {mark(size + '/high')} is not ruled out."
    side = "left" if gap.low > 0 else "right"
    return (
        f"{when} requests of the {side} are refused more often: {mark(name)} [{mark(name + '/low')}, "
        f"{mark(name + '/high')}] over {mark(name + '/clusters')} positions and their opposites."
    )


def _around_nothing(found: list[tuple[str, str, Estimate]]) -> Any:  # an altair chart
    alt = altair_module()
    titles = list(dict.fromkeys(title for title, _, _ in found))
    words = {"bare": "Before safeguards", "guarded": "After safeguards"}
    rows = [{"label": t, "arm": words[arm], "value": e.value, "low": e.low, "high": e.high} for t, arm, e in found]
    reach = max(0.1, *(abs(end) for _, _, e in found for end in (e.low, e.high)))
    y = alt.Y("label:N", sort=titles, title=None)
    offset = alt.YOffset("arm:N", sort=list(words.values()), scale=alt.Scale(paddingOuter=0.5))
    colour, fill = before_and_after(alt)
    x = alt.X(
        "value:Q",
        title="Left less right",
        scale=alt.Scale(domain=[-reach, reach]),
        axis=alt.Axis(format="+.0%", tickCount=5),
    )
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=y, yOffset=offset, color=colour)
    return alt.layer(
        alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(color=INK).encode(x="at:Q"),
        base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x="low:Q", x2="high:Q"),
        base.transform_filter("datum.value !== null")
        .mark_point(size=62, strokeWidth=2, opacity=1)
        .encode(x=x, fill=fill),
    ).properties(width=480, height=50 * len(titles))
