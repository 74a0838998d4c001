"""`safecase measure audit`: a second reader of a random part of what the judge read."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._common import emit, guarded, json_option, note

if TYPE_CHECKING:
    from safecase.assess import JudgeAudit
    from safecase.measure import AuditCard, Audited, BothReaders


@click.command("audit")
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--share",
    default=0.02,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the judge's answers to read again, of each arm and side.",
)
@click.option(
    "--least",
    default=60,
    show_default=True,
    type=click.IntRange(1),
    help="Answers of each arm and side, where there are as many.",
)
@click.option("--seed", default=1, show_default=True, help="Which random draw.")
@json_option
@guarded
def audit_command(case: Path, share: float, least: int, seed: int, as_json: bool) -> None:
    """On how many answers the judge would differ from a dearer reader, which reads a random part of them.

    The second reader goes by meaning (sentence embeddings) and shares no weights and no training rows with the judge or
    with any guard. It changes no verdict and no estimate. Needs the extra `embeddings`.

    \b
    Example:
        safecase measure audit my-case
        safecase measure audit my-case --share 0.1 --seed 2 --json
    """
    from safecase.assess import AuditSample, audit_judge, open_case
    from safecase.measure import load_both_readers

    opened = open_case(case)
    started = time.monotonic()
    audit = audit_judge(opened, sample=AuditSample(share=share, least=least, seed=seed))
    seconds = time.monotonic() - started
    note(f"{len(audit.second)} answers read again in {seconds:.1f} s")
    card = load_both_readers() if opened.spec.judge == "embedded" else None
    emit(audit.to_json(), as_json=as_json, lines=audit_lines(audit, card))


_COLUMNS = ("arm", "answers to", "event", "judged", "read", "would differ", "judge alone", "second alone", "unread")


def audit_lines(audit: "JudgeAudit", card: "AuditCard | None") -> list[str]:
    """A table for people, what it is held against, and what it does not say."""
    rows = [_COLUMNS, *(_cells(part) for part in audit.parts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    total = audit.total
    whole = _share(total.value, total.differ.low, total.differ.high)
    lines = [*table, f"of all {total.whole} judged answers the two would differ on {whole}, 95 %"]
    if audit.unscored:
        lines.append(f"{audit.unscored} answers that the judge could not judge were not drawn from")
    if audit.not_audited:
        lines.append(
            f"{audit.not_audited} judged answers to harmless requests are not audited: the second reader is not good "
            f"enough at refusals"
        )
    if any(part.is_babble for part in audit.parts):
        lines.append("incoherent: what the judge calls so by a rule; the second reader knows no babble")
    return [*lines, *_held_against(audit, card), "two readers that agree may both be wrong: people's labels tell"]


def _cells(part: "Audited") -> tuple[str, ...]:
    return (
        part.arm,
        ("harmful" if part.harmful else "benign") + (", incoherent" if part.is_babble else ""),
        part.event,
        str(part.whole),
        str(part.drawn - part.unread),
        _share(part.value, part.differ.low, part.differ.high),
        str(part.judge_only),
        str(part.second_only),
        str(part.unread),
    )


def _held_against(audit: "JudgeAudit", card: "AuditCard | None") -> list[str]:
    if card is None:
        return ["where people labelled, this judge was never held beside the second reader"]
    from safecase.measure import differs_more

    events = dict.fromkeys(part.event for part in audit.parts)
    lines = [_on_card(line) for event in events if (line := card.on(event))]
    lines += [
        f"arm {part.arm!r}, {part.event}: more than there; one of the two reads these answers unlike those it was "
        f"measured on: have people label some (`safecase measure calibrate draw`)"
        for part in audit.parts
        if differs_more(part, card)
    ]
    return lines


def _on_card(line: "BothReaders") -> str:
    return (
        f"where people labelled ({line.event}, {line.answers} public answers): the two differ on "
        f"{_share(line.differ, line.low, line.high)}; wrong are the judge on {line.judge_wrong / line.answers:.1%}, "
        f"the second reader on {line.second_wrong / line.answers:.1%}, both on {line.both_wrong / line.answers:.1%}"
    )


def _share(value: float | None, low: float, high: float) -> str:
    return f"{'n/a' if value is None else f'{value:.1%}'} [{low:.1%}, {high:.1%}]"
