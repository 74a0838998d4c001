"""What a case knows of a labelling sheet, by the sheet's id: for a program that shows its answers one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from safecase.assess._case import Case
from safecase.assess._labels import dispute_sheet, open_disputes
from safecase.assess._labels_kept import TAKEN, load_draws, load_labels
from safecase.assess._labels_sheet import item_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSheet:
    """A sheet that was drawn in a case.

    Attributes:
        draw: id of its draw; "" for a sheet of disagreements, which may be of several.
        sealed: item -> whether its answer is sealed in the case.
        may_not: item -> the people who labelled it before, and so may not have the last word on it.
        taken_by: whose labels of this sheet the case has, None while it has none.
        others: people who labelled the same draw on another sheet, and so may not fill in this one.
    """

    id: str
    kind: Literal["labels", "disagreements"]
    draw: str
    sealed: Mapping[str, bool]
    may_not: Mapping[str, tuple[str, ...]]
    taken_by: str | None
    others: tuple[str, ...]


def drawn_sheets(case: Case) -> dict[str, DrawnSheet]:
    """Sheet id -> what is known of it, for every draw of the case and for the disagreements as they stand.

    Raises:
        LabelError: the file of a draw is missing or changed.
    """
    draws, labels = load_draws(case), load_labels(case)
    disputes = open_disputes(case, labels)
    wanted = {name for draw in draws for name in draw.trial_ids} | set(disputes)
    sealed = {one.trial_id: one.sealed is not None for one in case.trials.read({"trial_id": wanted})} if wanted else {}
    taken = {
        (entry.subject["draw"], entry.subject["sheet"]): str(entry.subject["rater"])
        for entry in (case.ledger.entries() if case.ledger.path.exists() else ())
        if entry.action == TAKEN
    }
    found: dict[str, DrawnSheet] = {}
    for draw in draws:
        for number in range(1, draw.raters + 1):
            sheet = draw.sheet(number)
            found[sheet] = DrawnSheet(
                id=sheet,
                kind="labels",
                draw=draw.id,
                sealed={item_of(sheet, name): sealed.get(name, True) for name in draw.trial_ids},
                may_not={},
                taken_by=taken.get((draw.id, sheet)),
                others=tuple(who for (of, other), who in taken.items() if of == draw.id and other != sheet),
            )
    if disputes:
        sheet = dispute_sheet(case, disputes)
        found[sheet] = DrawnSheet(
            id=sheet,
            kind="disagreements",
            draw="",
            sealed={item_of(sheet, name): sealed.get(name, True) for name in disputes},
            may_not={item_of(sheet, name): tuple(sorted(labels.given[name])) for name in disputes},
            taken_by=None,
            others=(),
        )
    return found
