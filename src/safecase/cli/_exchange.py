"""`safecase import` and `safecase export`: others' files in, ours out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from safecase.cli._common import BAD_INPUT, emit, fail, guarded, json_option

if TYPE_CHECKING:
    from safecase.assess import Imported

_FORMATS = ("auto", "inspect", "garak", "promptfoo", "lm-eval", "transcripts")
_ARMS = frozenset({"bare", "trained", "guarded"})


@click.command("import")
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--transcripts", type=click.Path(path_type=Path), help="The file, when it holds transcripts of ours.")
@click.option("--arm", required=True, help="The arm these answers stand for: bare, trained or guarded.")
@click.option("--format", "kind", type=click.Choice(_FORMATS), default="auto", show_default=True, help="Whose file.")
@click.option("--map", "paths", multiple=True, metavar="FIELD=PATH", help="Where a field stands in the tool's record.")
@click.option("--set", "values", multiple=True, metavar="FIELD=VALUE", help="One value of a field for every row.")
@click.option("--source-model", help="Take this model's answers, where the file holds several models'.")
@click.option("--replaces", metavar="FILE", help="A file imported before, which this one corrects or goes on from.")
@click.option("--dry-run", is_flag=True, help="Look and count; keep nothing.")
@json_option
@guarded
def import_command(
    case: Path,
    file: Path | None,
    transcripts: Path | None,
    arm: str,
    kind: str,
    paths: tuple[str, ...],
    values: tuple[str, ...],
    source_model: str | None,
    replaces: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take what another tool produced as evidence; the whole file or nothing.

    Logs of Inspect (.eval, .json), garak (report.jsonl), promptfoo (JSON, JSONL), lm-evaluation-harness
    (samples_*.jsonl, or results_*.json beside them), and transcripts of ours. What a row asked for is taken from its
    metadata; rows that do not say are kept and enter no rate. Another tool's scores are kept under its own name, and no
    gate reads them: the case's judge judges the answers.

    \b
    Transcripts: {scenario_id, intent_id, category, harmful, text, response, attack?, language?, attempt?, status?,
    label?}, one a line, with label one of refusal, partial_refusal, compliance (a person's).

    \b
    Example:
        safecase import my-case logs/2026-11-21_harm.eval --arm bare --dry-run
        safecase import my-case logs/2026-11-21_harm.eval --arm bare --map category=metadata.kind --set harmful=true
        safecase import my-case --transcripts bare.jsonl --arm bare
        safecase import my-case logs/2026-11-21_harm.eval --arm bare --replaces 2026-11-21_harm.eval
    """
    from safecase.assess import import_file, open_case
    from safecase.exchange import parse_field_map

    if arm not in _ARMS:
        fail(f"--arm is {arm!r}; use bare, trained or guarded", BAD_INPUT)
    given = file or transcripts
    if given is None or (file and transcripts):
        fail("give one FILE to import (or --transcripts FILE)", BAD_INPUT)
    done = import_file(
        open_case(case),
        given,
        arm=arm,
        kind="transcripts" if transcripts else kind,  # type: ignore[arg-type]  # one of _FORMATS, click saw to it
        mapping=parse_field_map(paths, values),
        model=source_model,
        replaces=replaces,
        dry_run=dry_run,
    )
    value = {"added": done.added, "arm": arm} if transcripts else done.to_json()
    emit(value, as_json=as_json, lines=_import_lines(done))


def _import_lines(done: "Imported") -> list[str]:
    seen = done.survey
    statuses = ", ".join(f"{count} {status}" for status, count in seen.statuses.items())
    lines = [
        f"{done.added} trials added to arm {done.arm!r}" if not done.is_dry_run else "looked only; nothing was kept",
        f"{seen.format} {seen.version or ''}".rstrip() + f": {seen.trials} attempts ({statuses})",
        f"{seen.counted} count like our own trials, {seen.kept_only} are kept and enter no rate, {seen.sealed} sealed",
    ]
    lines += [f"in place of {name}, which stays on record and counts no longer" for name in done.replaces]
    lines += [f"model {name}" for name in seen.models]
    lines += [f"category {name}: {count}" for name, count in seen.categories.items()]
    lines += [f"mapping {field} <- {origin}" for field, origin in seen.mapping.items()]
    lines += [f"scores by {judge}: {count}, kept beside and read by no gate" for judge, count in seen.scores.items()]
    lines += [f"note: {note}" for note in seen.notes]
    return lines


@click.command("export")
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--inspect", "inspect_file", type=click.Path(path_type=Path), help="Write the trials as an Inspect log.")
@click.option("--to", "directory", type=click.Path(path_type=Path), help="Write tables into this directory.")
@click.option("--format", "kind", type=click.Choice(["csv", "parquet", "json"]), default="csv", show_default=True)
@click.option("--what", multiple=True, help="trials, judgements, estimates or findings; all of them by default.")
@click.option("--arm", help="Only this arm's trials.")
@click.option("--held-out", is_flag=True, help="Held-out scenarios too. They must not reach whoever trains a model.")
@json_option
@guarded
def export_command(
    case: Path,
    inspect_file: Path | None,
    directory: Path | None,
    kind: str,
    what: tuple[str, ...],
    arm: str | None,
    held_out: bool,
    as_json: bool,
) -> None:
    """Give evidence and results out. Sealed answers never leave; held-out scenarios only with --held-out.

    \b
    Example:
        safecase export my-case --inspect my-case.eval
        safecase export my-case --to tables --format parquet --what trials --what estimates
    """
    from safecase.assess import export_inspect, export_tables, open_case
    from safecase.exchange import TABLES

    if (inspect_file is None) == (directory is None):
        fail("give one of --inspect FILE.eval and --to DIRECTORY", BAD_INPUT)
    if unknown := sorted(set(what) - set(get_args(TABLES))):
        fail(f"--what is {unknown[0]!r}; use one of {', '.join(get_args(TABLES))}", BAD_INPUT)
    opened = open_case(case)
    if inspect_file is not None:
        log = export_inspect(opened, inspect_file, arm=arm, held_out=held_out)
        emit(log.to_json(), as_json=as_json, lines=[str(inspect_file), log.sentence])
        return
    assert directory is not None  # noqa: S101  # one of the two was given
    names: Any = what or get_args(TABLES)  # held to TABLES above, and `kind` by click
    form: Any = kind
    tables = export_tables(opened, directory, kind=form, what=names, arm=arm, held_out=held_out)
    emit(tables.to_json(), as_json=as_json, lines=[*(str(path) for path in tables.files), *tables.sentences])


COMMANDS: dict[str, Any] = {"import": import_command, "export": export_command}
