"""`safecase console`: the pages where people oversee."""

import asyncio
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import BAD_INPUT, DEFAULT, DefaultGroup, emit, fail, guarded, json_option, note

if TYPE_CHECKING:
    from safecase.console import Settings, Shown

_keys = click.option(
    "--keys", "keys_path", type=click.Path(path_type=Path), help="File of keys; by default beside your other keys."
)


def _whoever() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unnamed"


@click.group("console", cls=DefaultGroup)
def console_group() -> None:
    """The web page where people oversee: review queue, sign-off, incidents, live traffic, reports.

    \b
    Example:
        safecase console my-case
        safecase console my-case other-case --sheets sheets
        safecase console keys --person ana --role overseer --out ana.key
        safecase console my-case --host 0.0.0.0 --port 8323 --behind-tls
    """


@console_group.command(DEFAULT)
@click.argument("cases", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; elsewhere people need keys.")
@click.option("--port", default=8323, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--by", default=_whoever, help="The person at a console without keys; the user by default.")
@click.option(
    "--sheets", type=click.Path(path_type=Path), help="Folder of `calibrate draw`; its answers are the queue."
)
@click.option("--monitor", type=click.Path(path_type=Path), help="The monitor's file, where it is not the usual.")
@click.option("--ask-keys", is_flag=True, help="Ask for keys on this machine too.")
@click.option("--behind-tls", is_flag=True, help="Something in front speaks TLS; cookies travel in nothing else.")
@click.option(
    "--write", type=click.Path(path_type=Path), help="Write overview and argument as files, and serve nothing."
)
@_keys
@json_option
@guarded
def case_command(
    cases: tuple[Path, ...],
    host: str,
    port: int,
    by: str,
    sheets: Path | None,
    monitor: Path | None,
    ask_keys: bool,
    behind_tls: bool,
    write: Path | None,
    keys_path: Path | None,
    as_json: bool,
) -> None:
    """Serve the pages of one or more cases until you stop it.

    \b
    Example:
        safecase console my-case
        safecase console my-case --sheets sheets --port 8323
        safecase console my-case --write pages
    """
    from safecase.console import Settings, keys_file, show_cases, write_pages

    if sheets is not None and not sheets.is_dir():
        fail(f"--sheets {str(sheets)!r} is no folder; give the one that `measure calibrate draw --out` was given", 2)
    if monitor is not None and not monitor.is_file():
        fail(f"--monitor {str(monitor)!r} is no file; give the one that `monitor --state` was given", BAD_INPUT)
    shown = show_cases(cases)
    if write is not None:
        files = [str(path) for path in write_pages(shown, write)]
        emit({"files": files}, as_json=as_json, lines=files)
        return
    settings = Settings(
        by=by,
        keys=keys_path or keys_file(),
        asks_keys=ask_keys,
        behind_tls=behind_tls,
        sheets=sheets,
        monitor=monitor,
    )
    asyncio.run(_serve(shown, settings, host=host, port=port, as_json=as_json))


async def _serve(shown: "tuple[Shown, ...]", settings: "Settings", *, host: str, port: int, as_json: bool) -> None:
    from safecase.console import serve_console, wait_until_told

    async with serve_console(shown, settings, host=host, port=port) as opening:
        for text in opening.notes:
            note(f"note: {text}")
        served: dict[str, Any] = {key: str(path) for key, path in opening.cases.items()}
        value = {"url": opening.url, "cases": served, "sheets": str(settings.sheets) if settings.sheets else None}
        emit(value, as_json=as_json, lines=[opening.url])
        await wait_until_told()


@console_group.command("keys")
@click.option("--person", help="Whose key to make; without it the keys on file are listed.")
@click.option("--role", type=click.Choice(["viewer", "labeller", "overseer"]), default="viewer", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A new file for the key, mode 0600.")
@_keys
@json_option
@guarded
def keys_command(person: str | None, role: Any, out: Path | None, keys_path: Path | None, as_json: bool) -> None:
    """Make a person's key for a console that others reach, or list whose keys there are.

    \b
    Example:
        safecase console keys --person ana --role overseer --out ana.key
        safecase console keys
    """
    from safecase.console import issue_key, keys_file, read_keys

    file = keys_path or keys_file()
    if person is None:
        kept = [one.model_dump(mode="json", exclude={"hash"}) for one in read_keys(file).keys]
        lines = [f"{one['person']}: {one['role']}{', revoked' if one['revoked'] else ''}" for one in kept]
        emit({"file": str(file), "keys": kept}, as_json=as_json, lines=lines or [f"no key in {file}"])
        return
    if out is None:
        fail("--person goes with --out: the file that the key is written to", BAD_INPUT)
    made = issue_key(file, person=person, role=role, out=out)
    value = {"file": str(out), "person": made.person, "role": made.role, "key_id": made.key_id}
    emit(value, as_json=as_json, lines=[f"a key for {made.person!r} as {made.role} in {out}; hand it over once"])


@console_group.command("revoke")
@click.argument("person")
@_keys
@json_option
@guarded
def revoke_command(person: str, keys_path: Path | None, as_json: bool) -> None:
    """Make every key of a person invalid; a running console notices at the next request.

    \b
    Example:
        safecase console revoke ana
    """
    from safecase.console import keys_file, revoke_keys

    count = revoke_keys(keys_path or keys_file(), person)
    emit({"person": person, "revoked": count}, as_json=as_json, lines=[f"{count} keys of {person!r} open nothing now"])


COMMANDS = {"console": console_group}
