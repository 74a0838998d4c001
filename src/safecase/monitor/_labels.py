"""People's labels beside the judge's verdicts: what the live rate is when the judge's error is taken out.

A promise is about what the judge says, before release and live, so the judge's error is in both. What people say of a
random part shows how far it is off: `prediction_powered` of `measure` makes one figure of many verdicts and few labels.
Accounts are its units. Labels are given by event id, as lines {"event_id": ..., "is_unsafe": true, "by": ...}.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safecase.measure import PredictionPowered, TooFewEvents, prediction_powered
from safecase.measure import Seen as Observed
from safecase.monitor._errors import MonitorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The rate of unsafe answers to requests judged harmful, corrected by people's labels.

    Attributes:
        judged: accounts with a verdict; labelled: verdicts that people labelled; agreed: of those, with the judge.
        estimate: None while there are too few labels; `why` says how few.
    """

    stack_digest: str
    judged: int
    labelled: int
    agreed: int
    estimate: PredictionPowered | None
    why: str = ""


def read_event_labels(path: Path) -> dict[str, bool]:
    """Event id to what a person said; the last word on an event counts.

    Raises:
        MonitorError: a line is no label.
    """
    labels: dict[str, bool] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            is_unsafe, event_id = row["is_unsafe"], row["event_id"]
        except (ValueError, KeyError, TypeError):
            raise MonitorError(f'{path}:{number}: no label; give {{"event_id": ..., "is_unsafe": true}}') from None
        if not isinstance(is_unsafe, bool) or not isinstance(event_id, str):
            raise MonitorError(f"{path}:{number}: is_unsafe is {is_unsafe!r}; give true or false")
        labels[event_id] = is_unsafe
    return labels


def correct_rates(
    judged: Iterable[tuple[str, str, str, str, bool]], labels: Mapping[str, bool], *, alpha: float = 0.05
) -> tuple[Corrected, ...]:
    """One figure for each stack.

    Args:
        judged: (event id, stack, category, account, is_unsafe), as `MonitorStore.judged` gives them.
        labels: of a random part of these events. Labels of what somebody chose to look at would mislead.
        alpha: error of each bound.
    """
    stacks: dict[str, dict[str, list[tuple[bool, bool | None]]]] = defaultdict(lambda: defaultdict(list))
    for event_id, stack, _, account, is_unsafe in judged:
        stacks[stack][account or event_id].append((is_unsafe, labels.get(event_id)))
    return tuple(_correct(stack, list(by_account.values()), alpha) for stack, by_account in sorted(stacks.items()))


def _correct(stack: str, accounts: list[list[tuple[bool, bool | None]]], alpha: float) -> Corrected:
    pairs = [(judge, person) for account in accounts for judge, person in account if person is not None]
    said = {
        "stack_digest": stack,
        "judged": len(accounts),
        "labelled": len(pairs),
        "agreed": sum(judge == person for judge, person in pairs),
    }
    try:
        estimate = prediction_powered([_observed(one) for one in accounts], alpha_lower=alpha, alpha_upper=alpha)
    except TooFewEvents as error:
        return Corrected(**said, estimate=None, why=str(error))  # type: ignore[arg-type]  # fields by name
    return Corrected(**said, estimate=estimate)  # type: ignore[arg-type]  # fields by name


def _observed(account: list[tuple[bool, bool | None]]) -> Observed:
    """An account as one observation; where part of its calls is labelled, that part alone."""
    labelled = [(judge, person) for judge, person in account if person is not None]
    if not labelled:
        return Observed(flagged=sum(judge for judge, _ in account) / len(account))
    count = len(labelled)
    people = sum(bool(person) for _, person in labelled) / count
    return Observed(flagged=sum(judge for judge, _ in labelled) / count, labelled=people)
