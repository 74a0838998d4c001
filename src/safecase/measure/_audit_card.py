"""How often the judge and its second reader differ where people labelled the answers: what an audit is held against."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safecase.detect import CorruptWeights
from safecase.measure._audit import Audited
from safecase.measure._calibration import Event

AUDIT_CARD = Path(__file__).parent / "weights" / "audit-card.json"
"""Counts of both readers beside people; `scripts/train_audit.py` writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BothReaders:
    """Two readers beside people on one event, on answers that neither learned from.

    Attributes:
        source: data set, or `all`.
        groups: answers of a group belong together (one request, its answers); `differ` is a mean over groups.
        judge_wrong, second_wrong, both_wrong: answers on which people said otherwise.
        differ: share of answers on which the two differ, with its two-sided 95 % interval.
    """

    event: Event
    source: str
    answers: int
    groups: int
    people_yes: int
    judge_wrong: int
    second_wrong: int
    both_wrong: int
    differ: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCard:
    """What is known of the two readers together before they meet a model.

    Attributes:
        judge_weights, second_weights: SHA-256 of the weights that were held beside people.
        sources: data set -> licence.
    """

    judge_weights: str
    second_weights: str
    lines: tuple[BothReaders, ...]
    sources: Mapping[str, str]

    def on(self, event: Event) -> BothReaders | None:
        """All sources together."""
        return next((line for line in self.lines if (line.event, line.source) == (event, "all")), None)


def load_both_readers(path: Path = AUDIT_CARD) -> AuditCard:
    """The card that ships, or another.

    Raises:
        CorruptWeights: it is missing, or not such a card.
    """
    try:
        raw = json.loads(path.read_bytes())
        return AuditCard(
            judge_weights=raw["judge_weights"],
            second_weights=raw["second_weights"],
            lines=tuple(BothReaders(**line) for line in raw["lines"]),
            sources=raw["sources"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = f"{path}: not a card of two readers ({error}); make it with scripts/train_audit.py"
        raise CorruptWeights(line) from error


def differs_more(found: Audited, card: AuditCard) -> bool:
    """Whether the two surely differ more on answers like these than they did where people labelled: bound above bound.

    The judge then reads these answers unlike those that it was measured on, or its second reader does. Of answers that
    the judge calls incoherent the card says nothing.
    """
    line = None if found.is_babble else card.on(found.event)
    return line is not None and found.elsewhere.low > line.high
