"""What each safeguard layer did, as a table."""

from typing import Any

from safecase.report._input import LayerLine, ReportInput, Share
from safecase.report._numbers import Tracer, layer_id


def layer_rows(given: ReportInput, tracer: Tracer) -> dict[str, Any] | None:
    """The table, and which of its caveats hold; None where no layer ruled."""
    if not given.layers:
        return None
    return {
        "rows": [_row(line, tracer) for line in given.layers],
        "has_unknown": any(line.alone_unknown for line in given.layers),
        "has_at_most": any(line.at_most for line in given.layers),
        "has_missed": any(line.missed.low is not None for line in given.layers),
    }


def _row(line: LayerLine, tracer: Tracer) -> dict[str, Any]:
    def number(field: str) -> str:
        tracer.num(layer_id(line, field))
        return layer_id(line, field)

    def share(field: str, found: Share) -> dict[str, str] | None:
        if found.low is None:
            return None
        return {"id": number(field), "low": number(f"{field}/low"), "high": number(f"{field}/high")}

    return {
        "layer": line.layer,
        "stage": line.stage,
        "is_enforced": line.is_enforced,
        "at_most": line.at_most,
        "missed": share("missed", line.missed),
        "over_refused": share("over_refused", line.over_refused),
        "unknown": number("alone_unknown") if line.alone_unknown else None,
        "failures": number("failed") if line.failed else None,
        **{field: number(field) for field in ("asked", "stopped", "stopped_alone", "median_ms", "p95_ms")},
    }
