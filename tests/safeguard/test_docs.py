"""The stack file of the page is one that loads, and holds every kind of layer there is."""

import re
from pathlib import Path

import pytest

from safecase.declare import load_model_spec
from safecase.safeguard import load_stack

PAGE = Path(__file__).parents[2] / "docs" / "safeguard.md"


async def test_the_stack_file_of_the_page_loads(tmp_path: Path):
    pytest.importorskip("ast_grep_py")
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "ours.yaml").write_text(blocks[0], encoding="utf-8")
    stack = load_stack("ours.yaml", load_model_spec("default"), beside=tmp_path)

    assert len(stack.layers) == 10
    assert stack.golden[0].layer == "words-in"
    await stack.aclose()


def test_every_kind_of_layer_has_its_line():
    source = (PAGE.parents[1] / "src/safecase/safeguard/_config.py").read_text(encoding="utf-8")
    kinds = re.findall(r'^    kind: Literal\["([\w-]+)"\]', source, flags=re.MULTILINE)

    assert len(kinds) == 11
    assert [kind for kind in kinds if f"| `{kind}` |" not in PAGE.read_text(encoding="utf-8")] == []
