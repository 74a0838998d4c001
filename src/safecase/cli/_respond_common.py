"""What the commands of the desk share: opening it, moments with a time zone, and a banner that nobody overlooks."""

import contextlib
import datetime as dt
import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safecase.cli._common import FAILED, fail, note

if TYPE_CHECKING:
    from safecase.respond import Desk, Standing

case_argument = click.argument("case", type=click.Path(path_type=Path))
by_option = click.option("--by", required=True, help="The person who does it.")


def moment_type(value: str | dt.datetime) -> dt.datetime:
    """An instant with its time zone, or a date, which is its first moment in UTC."""
    if isinstance(value, dt.datetime):
        return value
    try:
        at = dt.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no moment; give one such as 2026-11-21T09:30+01:00") from None
    if at.tzinfo is None and "T" in value:
        raise click.BadParameter(f"{value!r} has no time zone; give one such as 2026-11-21T09:30+01:00")
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


def must_be_installed(package: str) -> None:
    """End with one clear line where a package of the extra is missing."""
    if find_spec(package) is None:
        fail(f"this needs the package {package!r}; run `pip install 'safecase[respond]'`", FAILED)


_DRAFT = {"channel": "channel", "title": "title", "text": "text", "request": "asked", "events": "events"}
"""Keys of a draft, and the parameters that they stand for."""


def take_draft(context: click.Context, path: Path | None) -> None:
    """Let the draft of a report give what the command line does not."""
    if path is None:
        return
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise click.BadParameter(f"{path}: no JSON; `safecase monitor unexpected --out` writes a draft") from None
    if not isinstance(said, dict) or not said.keys() <= _DRAFT.keys():
        raise click.BadParameter(f"{path}: a draft has {', '.join(_DRAFT)} and nothing else")
    context.default_map = {_DRAFT[key]: value for key, value in said.items()}


@contextlib.contextmanager
def desk_of(path: Path, *, banner: bool = True) -> Iterator["Desk"]:
    """The desk of a case, open; says loudly when something is overdue."""
    from safecase.assess import open_case, utc_now
    from safecase.respond import clocks, open_desk

    with open_desk(open_case(path)) as desk:
        if banner:
            warn(clocks(desk, now=utc_now()))
        yield desk


def warn(standings: Iterable["Standing"]) -> int:
    """Print the banner where something is overdue, and say how much is."""
    late = [one for one in standings if one.state == "overdue"]
    if late:
        note(f"*** OVERDUE: {len(late)} obligation{'s' if len(late) > 1 else ''}; see `safecase respond clocks` ***")
    return len(late)


def span(left: dt.timedelta | None) -> str:
    """How long is left, in words: `2 d 03:15`, with `late` where it is over."""
    if left is None:
        return ""
    seconds = abs(int(left.total_seconds()))
    days, rest = divmod(seconds, 86_400)
    text = f"{days} d {rest // 3600:02}:{rest % 3600 // 60:02}"
    return f"{text} late" if left.total_seconds() < 0 else text


def safe(text: str) -> str:
    """A stranger's text for a terminal: what would move the cursor or change colours is shown, not done."""
    return "".join(sign if sign in "\n\t" or sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)
