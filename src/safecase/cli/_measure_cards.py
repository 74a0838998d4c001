"""`safecase measure cards`: how good each safeguard layer is by itself."""

from pathlib import Path

import click

from safecase.cli._common import emit, guarded, json_option


@click.command("cards")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@guarded
def cards_command(file: Path | None, as_json: bool) -> None:
    """The cards of the layers that ship, or those in FILE: precision, recall, false positives, spellings, time.

    Rates are on labelled rows that no weights of the layer learned from, with 95 % intervals over groups of rows;
    `scripts/measure_layers.py` makes such files, for any layer of any stack file on any labelled rows.

    \b
    Example:
        safecase measure cards
        safecase measure cards my-cards.json --json
    """
    from safecase.measure import layer_tables
    from safecase.safeguard import CARDS, load_cards

    cards = load_cards(file or CARDS)
    emit(cards.model_dump(mode="json")["cards"], as_json=as_json, lines=layer_tables(cards))
