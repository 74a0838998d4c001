"""The cards of layers as tables: the docs page and the command print the same lines."""

from collections.abc import Iterator

from safecase.measure._layer_card import AS_WRITTEN
from safecase.safeguard import Cards, LayerCard, Rate, SetFigures


def layer_tables(cards: Cards) -> list[str]:
    """Three Markdown tables: figures on each set, recall as attacks spell, and time of a call."""
    sets = [(card, one) for card in cards.cards for one in card.sets]
    spelled = [(card, one) for card, one in sets if one.respelled]
    ways = list(dict.fromkeys(way for _, one in spelled for way in one.respelled))
    lengths = sorted({one.characters for card in cards.cards for one in card.latency})
    figures = ("layer", "set", "kind", "stop + pass", "precision", "recall", "false positives", "no ruling")
    return [
        *_table(figures, (_figures(card, one) for card, one in sets), left=3),
        "",
        *_table(("layer", "set", *ways), (_spelled(card, one, ways) for card, one in spelled), left=2),
        "",
        *_table(
            ("layer", *(f"{length:,} characters" for length in lengths), "date", "load"),
            (_times(card, lengths) for card in cards.cards),
            left=1,
        ),
    ]


def _figures(card: LayerCard, one: SetFigures) -> tuple[str, ...]:
    rates = (_rate(rate) for rate in (one.precision, one.recall, one.false_positive_rate))
    return card.name, one.name, one.kind, f"{one.positives:,} + {one.negatives:,}", *rates, str(one.failed)


def _spelled(card: LayerCard, one: SetFigures, ways: list[str]) -> tuple[str, ...]:
    plain, cells = one.respelled.get(AS_WRITTEN), (one.respelled.get(way) for way in ways)
    return card.name, one.name, *(_rate(rate) if rate is plain else _short(rate) for rate in cells)


def _times(card: LayerCard, lengths: list[int]) -> tuple[str, ...]:
    by_length = {one.characters: one for one in card.latency}
    cells = (
        f"{found.p50_ms:.2f} / {found.p95_ms:.2f}" if (found := by_length.get(length)) else "not measured"
        for length in lengths
    )
    return card.name, *cells, card.date, f"{card.load:.1f}"


def _rate(rate: Rate | None) -> str:
    return "not measured" if rate is None else f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"


def _short(rate: Rate | None) -> str:
    return "not measured" if rate is None else f"{rate.value:.1%}"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]], *, left: int) -> list[str]:
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]
