"""JSON Schemas of the declared files, for editors."""

import json
from pathlib import Path
from typing import Any, Literal, get_args

from safecase.declare._case import CaseSpec
from safecase.declare._exercise import Exercise
from safecase.declare._framework import Framework, Record
from safecase.declare._spec import ModelSpec

SchemaKind = Literal["framework", "case", "model-spec", "exercise"]

_MODELS: dict[SchemaKind, type[Record]] = {
    "framework": Framework,
    "case": CaseSpec,
    "model-spec": ModelSpec,
    "exercise": Exercise,
}

SCHEMAS = Path(__file__).parent / "schemas"


def json_schema(kind: SchemaKind) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a declared file.

    Raises:
        KeyError: no such kind.

    >>> json_schema("case")["title"]
    'CaseSpec'
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_MODELS[kind].model_json_schema()}


def schema_kinds() -> tuple[SchemaKind, ...]:
    """The kinds of declared files that have a schema."""
    return get_args(SchemaKind)


def schema_text(kind: SchemaKind) -> str:
    """A schema as the file that ships."""
    return json.dumps(json_schema(kind), indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> tuple[Path, ...]:
    """Write every schema as `<kind>.schema.json` and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for kind in schema_kinds():
        path = folder / f"{kind}.schema.json"
        path.write_text(schema_text(kind), encoding="utf-8")
        paths.append(path)
    return tuple(paths)
