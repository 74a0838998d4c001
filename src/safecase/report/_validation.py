"""How much of what was sown in live traffic was noticed, as a table for each sowing."""

from typing import Any

from safecase.measure import Detection, Interval
from safecase.report._input import ReportInput, ValidationLine
from safecase.report._numbers import Tracer
from safecase.report._words import sentence_case


def validation_tables(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """One entry per sowing that was scored."""
    titles = {context.id: context.title for context in given.framework.contexts}
    return [
        {
            "title": titles.get(line.context, sentence_case(line.context)),
            "id": line.id,
            "says": tracer.quote(_declared(line), file=f"validation/{line.id}/plan.json", pointer="/"),
            "rows": [_row(line, found, tracer) for found in line.groups],
        }
        for line in given.validations
    ]


def _declared(line: ValidationLine) -> str:
    days = "1 day" if line.days == 1 else f"{line.days} days"
    return (
        f"Attacks of this case were sown from {line.begins.isoformat()} on, over {days}, from {line.accounts} "
        f"accounts, by a list that was sealed until the end. Noticed means flagged by a safeguard or the monitor "
        f"within {line.patience_s:g} seconds, before a person that it waited for a review."
    )


def _row(line: ValidationLine, found: Detection, tracer: Tracer) -> dict[str, Any]:
    name = f"validation/{line.id}/{found.group}"

    def number(field: str) -> str:
        tracer.num(f"{name}/{field}")
        return f"{name}/{field}"

    def span(field: str, part: Interval) -> dict[str, str] | None:
        if part.value is None:
            return None
        return {"id": number(field), "low": number(f"{field}/low"), "high": number(f"{field}/high")}

    return {
        "group": "All" if found.group == "all" else sentence_case(found.group),
        "planned": number("planned"),
        "answered": number("answered"),
        "absent": [{"way": way.replace("-", " "), "count": number(way)} for way in found.absent],
        "recall": span("recall", found.recall),
        "escalated": span("escalated", found.escalated),
        "flag_lag": span("flag_lag/0.5", found.flag_lag[0.5]),
        "flag_lag_late": span("flag_lag/0.9", found.flag_lag[0.9]),
        "escalation_lag": span("escalation_lag/0.5", found.escalation_lag[0.5]),
    }
