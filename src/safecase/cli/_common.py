"""What every command shares: one way to print, one way to fail."""

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

DONE, FAILED, BAD_INPUT, NOT_SUPPORTED, NOT_VERIFIED = 0, 1, 2, 3, 4
"""Exit codes (DESIGN section 5)."""

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")


def emit(value: Any, *, as_json: bool, lines: Iterable[str]) -> None:
    """Print a JSON document, or lines for people."""
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, sort_keys=True))
        return
    for line in lines:
        click.echo(line)


def note(text: str) -> None:
    """A line for people that never mixes with `--json` output."""
    click.echo(text, err=True)


def fail(text: str, code: int) -> NoReturn:
    """End with a clear message and an exit code."""
    click.echo(f"safecase: {text}", err=True)
    sys.exit(code)


def guarded(command: CommandT) -> CommandT:
    """Turn the errors that rooms declare into one clear line and an exit code.

    Wrong input ends with 2, an endpoint or a disk that fails with 1. Anything else is a bug and keeps its traceback.
    """

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            fail("stopped; what was finished is kept, the same command goes on from there", FAILED)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as fault:
            from safecase.cli._faults import classify

            code = classify(fault)
            if code is None:
                raise
            fail(str(fault), code)

    return wrapper  # type: ignore[return-value]  # same signature as what it wraps


_START_COLLECTS_AFTER = 200_000  # objects; Python's default is 700


@contextmanager
def rare_collections() -> Iterator[None]:
    """Hardly look for reference cycles while a command starts.

    Loading rooms, a framework and a bank makes a million objects that all stay, and at Python's default looking for
    cycles among them is a tenth of the start. The setting is the whole process's, and is put back.
    """
    before = gc.get_threshold()
    gc.set_threshold(_START_COLLECTS_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


DEFAULT = "CASE"
"""Name under which a group registers its plain form."""


class DefaultGroup(click.Group):
    """A group whose plain form takes a case: `safecase declare CASE` beside `safecase declare diff A B`.

    A directory that happens to be called like a subcommand is still a case.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Send anything that is no subcommand to the default one."""
        is_case = bool(args) and (Path(args[0]) / "safecase.yaml").is_file()
        if args and (is_case or args[0] not in self.commands) and args[0] not in {"--help", "-h"}:
            args.insert(0, DEFAULT)
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show both forms."""
        formatter.write_usage(ctx.command_path, "CASE [OPTIONS] | COMMAND ...")
