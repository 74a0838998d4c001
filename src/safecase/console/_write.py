"""Overview and argument as files that open without a server, as of one moment."""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from safecase.assess import Clock, utc_now
from safecase.console._access import Person
from safecase.console._argument import ArgumentView, argument_view
from safecase.console._cases import Shown
from safecase.console._errors import NotWritten
from safecase.console._overview import Overview, overview
from safecase.console._page import load_pages
from safecase.console._part import Part, attempt
from safecase.evidence import write_atomic


def write_pages(cases: Sequence[Shown], folder: Path, *, now: Clock = utc_now) -> tuple[Path, ...]:
    """Write `<case>.html`, `<case>-argument-<context>.html` and `console.css`, without desk and queue.

    Raises:
        NotWritten: the folder is a case or lies in one, or something else is in the way.
    """
    at, pages = now(), load_pages()
    for shown in cases:
        if shown.path.resolve() in [folder.resolve(), *folder.resolve().parents]:
            raise NotWritten(f"{folder}: a case holds only what its ledger names; give another folder")
    common = {
        "person": Person(name="", role="viewer"),
        "alone": True,
        "token": "",
        "cases": (),
        "has_queue": False,
        "now": at,
        "refresh_s": None,
        "is_static": True,
        "page": "",
    }
    files = {"console.css": pages.static["console.css"]}
    for shown in cases:
        one = {**common, "here": shown.key, "path": shown.path}
        view = attempt(partial(_overview, shown, at))
        files[f"{shown.key}.html"] = pages.render("overview", **one, view=view, verify=None)
        for context in shown.open().spec.contexts:
            made = attempt(partial(_argument, shown, context, at))
            files[f"{shown.key}-argument-{context}.html"] = pages.render("argument", **one, view=made)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_atomic(folder / name, text.encode())
    except OSError as fault:
        raise NotWritten(f"{folder}: {fault.strerror}; give another folder") from fault
    return tuple(folder / name for name in sorted(files))


def _overview(shown: Shown, at: dt.datetime) -> Overview:
    return overview(shown.open(), known=Part(value=None), at=at)


def _argument(shown: Shown, context: str, at: dt.datetime) -> ArgumentView:
    return argument_view(shown.open(), context=context, part=None, at=at)
