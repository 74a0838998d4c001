"""`safecase mark`: identifiers of AI-generated material, put on and found again."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safecase.cli._common import (
    BAD_INPUT,
    DEFAULT,
    DONE,
    NOT_SUPPORTED,
    NOT_VERIFIED,
    DefaultGroup,
    emit,
    fail,
    guarded,
    json_option,
    note,
)

if TYPE_CHECKING:
    from safecase.mark import Detection, Marked, MarkError, Place


class _Files(DefaultGroup):
    """Files in the place of a case."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "FILE... [OPTIONS] | COMMAND ...")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The plain form has no help of its own that anyone would find, so its options stand here."""
        with formatter.section("Options for FILE"):
            options = [one for one in self.commands[DEFAULT].params if isinstance(one, click.Option)]
            records = (option.get_help_record(ctx) for option in options)
            formatter.write_dl([record for record in records if record])
        self.format_commands(ctx, formatter)


@click.group("mark", cls=_Files)
def mark() -> None:
    """Mark generated files, and find the marks again.

    FILE gets every mark that it and the keys allow; those left out are named. Pictures (png, jpg, webp): label,
    invisible watermark, C2PA manifest. Audio and video (wav, mp3, flac, m4a, mp4, mov): manifest. Text (txt, md):
    notice, and provenance in a file beside it. The input stays as it is.

    \b
    Example:
        safecase mark certificates marks           a test chain and a watermark key
        safecase mark picture.png --keys marks     picture.marked.png
        safecase mark *.png --keys marks --out marked/ --label "Made with AI" --place top-left
        safecase mark detect picture.marked.png --keys marks
    """


@mark.command(DEFAULT, hidden=True)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--keys", type=click.Path(path_type=Path), help="Folder with signer.pem, signer.key, watermark.key.")
@click.option("--out", type=click.Path(path_type=Path), help="A file; for several FILEs a directory.")
@click.option("--in-place", is_flag=True, help="Replace the input.")
@click.option("--model", default="not named", show_default=True, help="What made it, as it shall be named.")
@click.option("--provider", default="not named", show_default=True, help="Who runs it; in the provenance of text.")
@click.option("--label", default="AI-generated", show_default=True, help="Text burnt into pictures; '' for none.")
@click.option("--place", default="bottom-right", show_default=True, help="Corner of the label.")
@click.option("--size", type=float, default=0.045, show_default=True, help="Height of letters / shorter side.")
@click.option("--font", type=click.Path(path_type=Path), help="A font file, for labels beyond ASCII.")
@click.option("--payload", help="Eight hex digits in the watermark; else the first of the file's SHA-256.")
@click.option("--notice", default="en", show_default=True, help="Language of the notice in text; '' for none.")
@click.option("--dry-run", is_flag=True, help="Do everything but write.")
@json_option
@guarded
def mark_command(
    files: tuple[Path, ...],
    keys: Path | None,
    out: Path | None,
    in_place: bool,
    model: str,
    provider: str,
    label: str,
    place: "Place",
    size: float,
    font: Path | None,
    payload: str | None,
    notice: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put every mark on that the file and the keys allow, and say which were left out.

    \b
    Example:
        safecase mark picture.png --keys marks
        safecase mark *.png --keys marks --out marked/ --label "Made with AI" --place top-left
    """
    from safecase.mark import Keys, Label, Marking, Signer, mark_file, read_keys

    if in_place and out is not None:
        fail("--out and --in-place exclude each other; give one", BAD_INPUT)
    held = Keys() if keys is None else read_keys(keys)
    if (held.signer is None) != (held.signer_key is None):
        fail(f"{keys}: signer.pem and signer.key belong together, and one is missing", BAD_INPUT)
    marking = Marking(
        model=model,
        provider=provider,
        created=datetime.now(UTC),
        label=Label(text=label, place=place, size=size, font=font) if label else None,
        watermark=held.watermark,
        payload=None if payload is None else _payload(payload),
        signer=Signer(chain=held.signer, sign=held.signer_key) if held.signer and held.signer_key else None,
        notice=notice or None,
    )
    done: list[Marked] = []
    faults: list[MarkError] = []
    for file in files:
        target = out / file.name if out is not None and (len(files) > 1 or out.is_dir()) else out
        _each(
            lambda file=file, target=target: done.append(
                mark_file(file, marking, out=target, in_place=in_place, dry_run=dry_run)
            ),
            faults,
        )
    value = {"dry_run": dry_run, "marked": [one.to_json() for one in done], "errors": [str(one) for one in faults]}
    emit(value, as_json=as_json, lines=(line for one in done for line in _marked_lines(one, dry_run=dry_run)))
    _end(faults, DONE)


def _payload(text: str) -> bytes:
    from safecase.mark import PAYLOAD_BYTES

    try:
        payload = bytes.fromhex(text)
    except ValueError:
        payload = b""
    if len(payload) != PAYLOAD_BYTES:
        fail(f"--payload is {text!r}; give {2 * PAYLOAD_BYTES} hex digits", BAD_INPUT)
    return payload


def _marked_lines(done: "Marked", *, dry_run: bool) -> Iterator[str]:
    yield f"{done.path} (not written)" if dry_run else str(done.path)
    yield from (f"{path} (not written)" if dry_run else str(path) for path in done.beside)
    yield f"  carries {', '.join(done.marks)}" + (f"; payload {done.payload}" if done.payload else "")
    if done.left_out:
        yield f"  left out: {'; '.join(done.left_out)}"


@mark.command("detect")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--keys", type=click.Path(path_type=Path), help="Folder with trust.pem and watermark.key.")
@click.option("--model", help="llama-cpp/<file-or-name>: count the marked tokens of this model in text.")
@json_option
@guarded
def detect_command(files: tuple[Path, ...], keys: Path | None, model: str | None, as_json: bool) -> None:
    """Say which marks a file carries, how sure that is, and what of it is untrusted.

    Ends with 0 when every file is marked (a stripped manifest with the watermark still there counts), 3 when one has no
    mark that could be looked for, 4 when a manifest or provenance does not verify or its signer is not trusted.

    \b
    Example:
        safecase mark detect picture.png --keys marks
        safecase mark detect *.png --keys marks --json
    """
    from safecase.mark import Keys, detect_file, read_keys

    held = Keys() if keys is None else read_keys(keys)
    tokenize = None if model is None else _tokenizer(model)
    seen: list[Detection] = []
    faults: list[MarkError] = []
    for file in files:
        _each(
            lambda file=file: seen.append(
                detect_file(file, trust=held.trust, watermark=held.watermark, tokenize=tokenize)
            ),
            faults,
        )
    value = {"files": [one.to_json() for one in seen], "errors": [str(one) for one in faults]}
    emit(value, as_json=as_json, lines=(line for one in seen for line in _seen_lines(one)))
    codes = {
        "marked": DONE,
        "stripped": DONE,
        "none": NOT_SUPPORTED,
        "untrusted": NOT_VERIFIED,
        "invalid": NOT_VERIFIED,
    }
    _end(faults, max((codes[one.verdict] for one in seen), default=DONE))


def _tokenizer(name: str) -> "Callable[[str], Sequence[int]]":
    import asyncio

    from safecase.models import open_model

    async def tokens(text: str) -> tuple[int, ...]:
        model = open_model(name)
        try:
            found: tuple[int, ...] = await model.tokenize(text)  # type: ignore[attr-defined]  # llama-cpp, seen below
        finally:
            await model.aclose()
        return found

    if not name.startswith("llama-cpp/"):
        fail(f"--model is {name!r}; only llama-cpp/... shows its tokens here", BAD_INPUT)
    return lambda text: asyncio.run(tokens(text))


def _seen_lines(seen: "Detection") -> Iterator[str]:
    yield f"{seen.path}: {seen.verdict}"
    yield from (f"  {sentence}" for sentence in seen.sentences)
    if seen.not_looked_for:
        yield f"  not looked for: {'; '.join(seen.not_looked_for)}"
    if seen.verdict == "none":
        yield "  nothing found is no proof that no model made it"


@mark.command("certificates")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Validity.")
@json_option
@guarded
def certificates_command(directory: Path, days: int, as_json: bool) -> None:
    """Make a keys folder for tests: root, intermediate and signer as C2PA wants them, and a watermark key.

    For real use put your own chain (signer.pem, signer.key) in the same places and keep watermark.key secret.

    \b
    Example:
        safecase mark certificates marks
    """
    from safecase.mark import write_keys

    paths = write_keys(directory, now=datetime.now(UTC), days=days)
    emit({"files": [str(path) for path in paths], "days": days}, as_json=as_json, lines=map(str, paths))


def _each(act: Any, faults: "list[MarkError]") -> None:
    """One file; what is wrong with it must not stop the others."""
    from safecase.mark import MarkError

    try:
        act()
    except MarkError as error:
        faults.append(error)


def _end(faults: "list[MarkError]", code: int) -> None:
    for fault in faults[:-1]:
        note(f"safecase: {fault}")
    if faults:
        fail(str(faults[-1]), BAD_INPUT)
    if code:
        raise click.exceptions.Exit(code)


COMMANDS: dict[str, Any] = {"mark": mark}
