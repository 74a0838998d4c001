"""`safecase declare`: check a framework, show its risk map, differences, schema and exercises."""

import json
from pathlib import Path

import click

from safecase.cli._common import DEFAULT, DefaultGroup, emit, fail, guarded, json_option


@click.group("declare", cls=DefaultGroup)
def declare_group() -> None:
    """Check a framework and show what it gates.

    \b
    Example:
        safecase declare my-case                       the risk map of the case's framework
        safecase declare diff frontier-v1.1 scaling-v2 what changed, and why
        safecase declare schema framework              JSON Schema for your editor
        safecase declare exercise new exercise.yaml    a threat-modelling record to fill in
    """


@declare_group.command(DEFAULT)
@click.argument("case", type=click.Path(path_type=Path))
@click.option("--framework", "pack", help="Another pack than the case names (id or path).")
@json_option
@guarded
def case_command(case: Path, pack: str | None, as_json: bool) -> None:
    """Check a case (or a pack file, or a pack id) and print its risk map.

    \b
    Example:
        safecase declare my-case
        safecase declare scaling-v2 --json
    """
    from safecase.declare import load_declaration, load_framework, risk_map, shipped_packs

    is_case = case.is_dir() or case.name == "safecase.yaml"
    if is_case:
        framework = load_declaration(case, framework=pack).framework
    elif case.suffix in {".yaml", ".yml"} or str(case) in shipped_packs():
        framework = load_framework(str(case))
    else:
        fail(f"{str(case)!r} is no case directory, pack file or pack id; `safecase new DIR` starts a case", 2)
    rows = risk_map(framework)
    value = {
        "framework": framework.id,
        "version": framework.version,
        "gates": len(framework.gates),
        "risk_map": [row.to_json() for row in rows],
    }
    title = f"{framework.title} ({framework.id}, version {framework.version}, {framework.date})"
    emit(value, as_json=as_json, lines=[title, *(line for row in rows for line in row.lines())])


@declare_group.command("diff")
@click.argument("a")
@click.argument("b")
@json_option
@guarded
def diff_command(a: str, b: str, as_json: bool) -> None:
    """Show what changed from pack A to pack B, with the reasons B's changelog gives.

    \b
    Example:
        safecase declare diff frontier-v1.1 scaling-v2
    """
    from safecase.declare import diff, load_framework

    found = diff(load_framework(a), load_framework(b))
    emit(found.to_json(), as_json=as_json, lines=found.lines())


@declare_group.command("schema")
@click.argument("kind", type=click.Choice(["framework", "case", "model-spec", "exercise"]))
@json_option
@guarded
def schema_command(kind: str, as_json: bool) -> None:
    """Print a JSON Schema, for completion and checking in an editor.

    \b
    Example:
        safecase declare schema case > case.schema.json
    """
    from safecase.declare import json_schema

    schema = json_schema(kind)  # type: ignore[arg-type]  # click checked
    emit(schema, as_json=as_json, lines=[json.dumps(schema, indent=2, ensure_ascii=False)])


@declare_group.group("exercise")
def exercise_group() -> None:
    """Threat-modelling exercises: who took part, the pathway, the four criteria, and what came of it.

    \b
    Example:
        safecase declare exercise new exercise.yaml
        safecase declare exercise check exercise.yaml
        safecase declare exercise apply exercise.yaml --pack scaling-v2 --out my-pack.yaml
    """


@exercise_group.command("new")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@guarded
def exercise_new(file: Path, as_json: bool) -> None:
    """Write a record to fill in.

    \b
    Example:
        safecase declare exercise new exercise.yaml
    """
    from safecase.declare import exercise_template

    if file.exists():
        fail(f"{str(file)!r} exists; choose another name", 2)
    file.write_text(exercise_template(), encoding="utf-8")
    emit({"file": str(file)}, as_json=as_json, lines=[str(file)])


@exercise_group.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@guarded
def exercise_check(file: Path, as_json: bool) -> None:
    """Check a record.

    \b
    Example:
        safecase declare exercise check exercise.yaml
    """
    from safecase.declare import load_exercise

    exercise = load_exercise(file)
    value = exercise.model_dump(mode="json")
    emit(value, as_json=as_json, lines=[f"{exercise.id}: {exercise.decision.verdict}; repeat on {exercise.repeat_on}"])


@exercise_group.command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--pack", required=True, help="Pack to extend (id or path).")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the new pack goes.")
@json_option
@guarded
def exercise_apply(file: Path, pack: str, out: Path, as_json: bool) -> None:
    """Write a pack that holds what an accepted exercise adds, or the reasons why one was refused.

    \b
    Example:
        safecase declare exercise apply exercise.yaml --pack scaling-v2 --out my-pack.yaml
    """
    from safecase.declare import apply_exercise, load_exercise, pack_path

    if out.exists():
        fail(f"{str(out)!r} exists; choose another name", 2)
    text = apply_exercise(load_exercise(file), pack_path(pack))
    out.write_text(text, encoding="utf-8")
    emit({"pack": str(out)}, as_json=as_json, lines=[str(out)])


COMMANDS = {"declare": declare_group}
