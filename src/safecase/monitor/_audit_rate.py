"""How many answers a costly judge calls unsafe, of all there were, from the few it looked at.

    looked at with chance c       stands for 1/c calls like it        rate = sum of (unsafe / c) / calls
    and labelled with chance q    its correction stands for 1/(c q)   adds sum of (people - judge) / (c q) / calls

Both are unbiased whatever the cheap score and whatever the judge is worth: a better score and a better judge only make
the spread smaller (Horvitz and Thompson, JASA 47:663, 1952; the correction is the difference estimator of Särndal,
Swensson and Wretman, 1992). The spread is reckoned over accounts: what an account contributes is one observation, so
that one who asks a thousand times is not taken for a thousand. Left out is the square of the mean, so it is never
understated by that.

Fine print. The interval rests on the central limit theorem with few events, so it is refused under 20 accounts with an
event and, once people labelled, under 20 labelled accounts of each kind. For alarms that may be looked at all the time
nothing of this is used; those are bets (`AuditRun`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEAST = 20
"""Accounts with an event, and labelled accounts of each kind, before an interval is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One call that was looked at.

    Attributes:
        account: "" where nobody was recognised; the call is then a unit of its own.
        chance: with which calls like it are looked at, in (0, 1].
        is_unsafe: what the judge says; None where it could not say.
    """

    event_id: str
    stack_digest: str
    account: str
    chance: float
    is_unsafe: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRate:
    """The share of unsafe answers among all calls of a stack.

    Attributes:
        calls: of the stack, looked at or not. looked: of them; unscored: of those, without a verdict.
        labelled, agreed: verdicts that people labelled, and those where they said the same.
        value: None while nothing was looked at. low, high: None while there is too little; `why` says what.
    """

    stack_digest: str
    calls: int
    looked: int
    unscored: int
    labelled: int
    agreed: int
    value: float | None
    low: float | None
    high: float | None
    why: str = ""


def audited_rate(
    rows: Iterable[Audited],
    *,
    stack_digest: str,
    calls: int,
    labels: Mapping[str, bool] | None = None,
    label_chance: float = 1.0,
    alpha: float = 0.05,
) -> AuditedRate:
    """Estimate the rate of one stack.

    Args:
        rows: every call of the stack that was looked at, each once.
        calls: of the stack, those that could be looked at.
        labels: event id to what people say, of the part of `rows` that chance gave them (`is_for_label`).
        label_chance: of a looked-at call to be given to people, in (0, 1].
        alpha: error of the interval, both sides together.

    An unscored call is no verdict: it is taken out, and the calls that it stands for with it.
    """
    found = list(rows)
    scored = [row for row in found if row.is_unsafe is not None]
    said = labels or {}
    pairs = [(row.is_unsafe, said[row.event_id]) for row in scored if row.event_id in said]
    totals: dict[str, float] = defaultdict(float)
    for row in scored:
        unit = row.account or f"\0{row.event_id}"
        totals[unit] += bool(row.is_unsafe) / row.chance
        if row.event_id in said:
            totals[unit] += (said[row.event_id] - bool(row.is_unsafe)) / (row.chance * label_chance)
    stands_for = sum(1.0 / row.chance for row in found)
    share = sum(1.0 / row.chance for row in scored) / stands_for if found else 0.0
    population = calls * share
    value = sum(totals.values()) / population if population else None
    why, freedom = _too_little(totals, [person for _, person in pairs], is_labelled=labels is not None)
    low = high = None
    if value is not None and not why:
        half = float(stdtrit(freedom, 1 - alpha / 2)) * float(np.sqrt(sum(t**2 for t in totals.values()))) / population
        low, high = max(0.0, value - half), min(1.0, value + half)
    return AuditedRate(
        stack_digest=stack_digest,
        calls=calls,
        looked=len(found),
        unscored=len(found) - len(scored),
        labelled=len(pairs),
        agreed=sum(judge == person for judge, person in pairs),
        value=None if value is None else min(1.0, max(0.0, value)),
        low=low,
        high=high,
        why=why,
    )


def _too_little(totals: Mapping[str, float], people: list[bool], *, is_labelled: bool) -> tuple[str, int]:
    """Why no interval is given, "" where one is; and the degrees of freedom."""
    events = sum(total != 0.0 for total in totals.values())
    if not is_labelled:
        return (f"{events} accounts with an event; an interval needs {LEAST}" if events < LEAST else ""), events - 1
    kinds = sum(people), len(people) - sum(people)
    if min(kinds) < LEAST:
        return f"people labelled {kinds[0]} unsafe and {kinds[1]} safe; an interval needs {LEAST} of each", 0
    return "", min(*kinds, events) - 1
