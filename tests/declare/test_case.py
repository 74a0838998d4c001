"""A case file is held against the framework it names."""

import pytest

from safecase.declare import Document, PackError, UnknownName, load_case, load_declaration, load_model_spec

CASE = """\
id: small
title: A small case
framework: scaling-v2
model:
  name: llama-cpp/SmolLM2-135M-Instruct
  title: SmolLM2 135M
  safeguard_state: full
  training_operations: 1.6e+21
  more_capable_than_reference: {cyber: false}
contexts: [closed]
sampling:
  gates: [policy.violence.unsafe]
"""


@pytest.fixture
def case(tmp_path):
    def write(text=CASE):
        (tmp_path / "safecase.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_a_case_loads_from_its_folder_or_its_file(case):
    folder = case()
    assert load_case(folder) == load_case(folder / "safecase.yaml")


def test_a_declaration_holds_case_framework_and_spec(case):
    found = load_declaration(case())
    assert (found.case.id, found.framework.id, found.model_spec.id) == ("small", "scaling-v2", "default")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[closed]", "[close]", "safecase.yaml:10: unknown context 'close' under framework 'scaling-v2'; did you mean"),
        ("{cyber: false}", "{cybr: false}", "safecase.yaml:9: unknown domain 'cybr'"),
        ("policy.violence.unsafe", "policy.violins", "safecase.yaml:12: unknown gate 'policy.violins'"),
        ("contexts:", "context:", "safecase.yaml:10: unknown field 'context'; remove it or mend its spelling"),
        (
            "safeguard_state: full",
            "safeguard_state: most",
            "model.safeguard_state is 'most'; use one of 'helpful-only'",
        ),
        ("1.6e+21", "-1", "model.training_operations is -1; it must be greater than 0"),
        (
            "contexts:",
            "judge: lmm/openai/j@http://h/v1\ncontexts:",
            "no judge is called 'lmm/openai/j@http://h/v1'; write",
        ),
    ],
)
def test_a_mistake_in_a_case_has_its_line(case, old, new, said):
    with pytest.raises(PackError) as caught:
        load_declaration(case(CASE.replace(old, new, 1)))
    assert said in str(caught.value)


def test_another_pack_is_not_held_against_the_gates_of_the_first(case):
    """`decide --framework` re-decides old evidence under a pack that may not have every gate."""
    folder = case(CASE.replace("policy.violence.unsafe", "loss-of-control.refusal"))
    assert load_declaration(folder, framework="frontier-v1.1").framework.id == "frontier-v1.1"


def test_an_unknown_framework_is_named(case):
    with pytest.raises(UnknownName, match="unknown framework 'scaling-v3'"):
        load_declaration(case(CASE.replace("scaling-v2", "scaling-v3")))


def test_a_folder_without_a_case_says_so(tmp_path):
    with pytest.raises(PackError, match=r"safecase\.yaml:1: cannot be read"):
        load_case(tmp_path)


def test_the_default_spec_gives_every_rule_with_its_reason():
    spec = load_model_spec("default")
    prompt = spec.system_prompt()
    assert all(p.rule in prompt and p.reason in prompt for p in spec.principles)


def test_a_document_knows_the_line_of_what_is_missing(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("id: a\nlist:\n  - {x: 1}\n", encoding="utf-8")
    document = Document(path)
    assert document.line(("list", 0, "x")) == 3
    assert document.line(("list", 7)) == 2  # the deepest part that is there
