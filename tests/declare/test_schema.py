"""Editors check packs against the schema files that ship; those must be what the models say."""

from importlib.resources import files

import pytest
from ruamel.yaml import YAML

from safecase.declare import exercise_template, json_schema, pack_path, schema_kinds, shipped_packs, write_schemas

jsonschema = pytest.importorskip("jsonschema")


@pytest.mark.parametrize("kind", schema_kinds())
def test_the_shipped_schema_is_the_exported_one(kind, tmp_path):
    """After a change of the models: python -c "from safecase.declare import *; write_schemas(Path(...))"."""
    shipped = files("safecase.declare") / "schemas" / f"{kind}.schema.json"
    (fresh,) = [path for path in write_schemas(tmp_path) if path.name == shipped.name]
    assert shipped.read_text(encoding="utf-8") == fresh.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", shipped_packs())
def test_a_pack_points_to_its_schema_and_keeps_it(name):
    path = pack_path(name)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    pointer = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / pointer).resolve().is_file()

    jsonschema.validate(_json(path.read_text(encoding="utf-8")), json_schema("framework"))


def test_the_exercise_template_keeps_to_its_schema():
    jsonschema.validate(_json(exercise_template()), json_schema("exercise"))


def test_a_schema_refuses_an_unknown_field():
    value = _json(exercise_template()) | {"colour": "red"}
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.validate(value, json_schema("exercise"))


def _json(text):
    """YAML as an editor sees it: dates are text."""

    def texted(value):
        if isinstance(value, dict):
            return {key: texted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [texted(item) for item in value]
        return value.isoformat() if hasattr(value, "isoformat") else value

    return texted(YAML(typ="safe", pure=True).load(text))
