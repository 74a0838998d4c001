"""Suites in the report: how the model was elicited, whether that keeps to the pack's standard, and the curve."""

from collections.abc import Iterator
from typing import Any

from safecase.decide import percent, shortfalls
from safecase.evidence import Elicitation
from safecase.report._input import ReportInput
from safecase.report._numbers import FINDINGS, PLAN, Number, Tracer
from safecase.report._words import ARMS

_VARIANTS = {
    "helpful-only": "a helpful-only variant",
    "least-mitigated": "the least mitigated version there is",
    "as-deployed": "the model as it is deployed",
}
_COUNTS = ("attempts", "tasks", "tasks_in_suite", "failures", "flagged", "reviewed", "spurious")
_SHARES = ("second_half_gain", "cut_off", "spurious_bound")


def suite_numbers(given: ReportInput) -> Iterator[tuple[str, Number]]:
    """Every number about elicitation, by id: `suite/<suite>/<arm>/<field>`."""
    for done in given.suites:
        fields: list[tuple[str, float | int | None, str]] = [
            *((name, getattr(done, name), f"{getattr(done, name):,}") for name in _COUNTS),
            *((name, getattr(done, name), _share(getattr(done, name))) for name in _SHARES),
            ("tokens", done.tokens, "not known" if done.tokens is None else f"{done.tokens:,}"),
        ]
        for place, (tokens, share) in enumerate(done.curve):
            fields += [
                (f"curve/{place}/tokens", tokens, f"{tokens:,}"),
                (f"curve/{place}/share", share, percent(share)),
            ]
        for name, value, text in fields:
            query = {"kind": "suite", "suite": done.suite, "arm": done.arm, "field": name}
            yield _id(done, name), Number(value=value, text=text, query=query, evidence_digest=given.evidence_root)


def suites(given: ReportInput, tracer: Tracer) -> list[dict[str, Any]]:
    """One entry per suite and arm that has an attempt on record, in the framework's order."""
    order = {suite.id: place for place, suite in enumerate(given.framework.suites)}
    known = sorted((done for done in given.suites if done.suite in order), key=lambda d: (order[d.suite], d.arm))
    return [_suite(given, done, tracer) for done in known]


def _suite(given: ReportInput, done: Elicitation, tracer: Tracer) -> dict[str, Any]:
    declared = next(suite for suite in given.framework.suites if suite.id == done.suite)
    standard = declared.elicitation
    return {
        "suite": done.suite,
        "title": declared.title,
        "arm": ARMS[done.arm],
        "done": [*_effort(done, tracer), *_words(done, tracer)],
        "short": _short(given, done, tracer) if standard else [],
        "has_standard": standard is not None,
        "margin": tracer.quote(percent(standard.margin), file=PLAN, pointer=f"/suites/{done.suite}/margin")
        if standard and standard.margin
        else None,
        "curve": [
            {"tokens": _id(done, f"curve/{place}/tokens"), "share": _id(done, f"curve/{place}/share")}
            for place in _shown(len(done.curve))
            if tracer.num(_id(done, f"curve/{place}/tokens")) and tracer.num(_id(done, f"curve/{place}/share"))
        ],
        "baselines": [
            {
                "kind": kind,
                "who": str(said["who"]),
                "value": tracer.quote(f"{said['value']:g}", file=PLAN, pointer=f"/suites/{done.suite}/{kind}"),
                "source": tracer.quote(str(said["source"]), file=PLAN, pointer=f"/suites/{done.suite}/{kind}/source"),
            }
            for kind, said in sorted(done.baselines.items())
        ],
    }


def _effort(done: Elicitation, tracer: Tracer) -> list[str]:
    def num(name: str) -> str:
        return tracer.mark(_id(done, name))

    said = [
        f"{num('attempts')} attempts at each of {num('tasks')} tasks (the suite has {num('tasks_in_suite')}), each "
        f"with up to {num('tokens')} output tokens."
    ]
    if done.second_half_gain is not None:
        said.append(f"The second half of the tokens in use added {num('second_half_gain')} to the share solved.")
    if done.cut_off is not None:
        said.append(f"Of the attempts that failed, {num('cut_off')} ended by running out.")
    said.append(
        f"Of {num('failures')} failures {num('flagged')} carry a sign that the test failed and not the model; a person "
        f"looked at {num('reviewed')} and found {num('spurious')} spurious, which count as absent. Those not looked at "
        f"hold at most {num('spurious_bound')} of all failures as spurious ones."
    )
    return said


def _words(done: Elicitation, tracer: Tracer) -> list[str]:
    at = f"/suites/{done.suite}/elicitation"

    def quoted(text: str, place: str) -> str:
        return tracer.quote(text, file=PLAN, pointer=f"{at}/{place}")

    tuned = "optimised for these tasks" if done.tuned_scaffold else "not optimised for these tasks"
    note = f" ({quoted(done.variant_note, 'variant_note')})" if done.variant_note else ""
    trained = done.continued_training
    return [
        f"Tried: {_VARIANTS[done.variant]}{note}. Scaffold: {quoted(done.scaffold, 'scaffold')}, {tuned}.",
        f"Trained further: {quoted(trained, 'continued_training')}." if trained else "It was not trained further.",
        *(() if done.baselines else ("No baseline of people or of a reference model was given.",)),
    ]


def _short(given: ReportInput, done: Elicitation, tracer: Tracer) -> list[str]:
    standard = next(suite.elicitation for suite in given.framework.suites if suite.id == done.suite)
    found: dict[str, list[str]] = {}
    for proposal in given.decided.proposals:
        for line in shortfalls(standard, done, context=proposal.context):
            found.setdefault(line, []).append(proposal.context)
    everywhere = len(given.decided.proposals)
    return [
        tracer.quote(
            line if len(contexts) == everywhere else f"in {', '.join(contexts)}: {line}",
            file=FINDINGS,
            pointer=f"/elicitation/{done.suite}/{done.arm}/{place}",
        )
        for place, (line, contexts) in enumerate(found.items())
    ]


def _shown(points: int) -> list[int]:
    """Places of a curve that a table has room for: a quarter, a half, three quarters, and the end."""
    return sorted({max(0, round(points * part) - 1) for part in (0.25, 0.5, 0.75, 1.0)}) if points else []


def _id(done: Elicitation, name: str) -> str:
    return f"suite/{done.suite}/{done.arm}/{name}"


def _share(value: float | None) -> str:
    return "not known" if value is None else percent(value)
