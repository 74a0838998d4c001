"""Generated code: where it is found, what each rule stops and passes, and that nothing of it streams out unread."""

import json
from pathlib import Path

import pytest

from safecase.declare import Document, load_model_spec
from safecase.safeguard import (
    AS_SHIPPED,
    ChunkGuard,
    CodeLayer,
    Exchange,
    Ruling,
    Stack,
    StackError,
    code_scanner,
    exchange_of,
    load_stack,
    reply_of,
)
from safecase.safeguard._code import code_in
from safecase.safeguard._code_rules import CODE_RULES, CodeRules

pytest.importorskip("ast_grep_py")

SCANNER = code_scanner()
LAYER = CodeLayer(name="code", stage="output", scanner=SCANNER, do=AS_SHIPPED)
RULES = Document(CODE_RULES).parse(CodeRules).rules
BAD = "os.system('ls ' + name)"
GOOD = "os.listdir(name)"
MIDDLING = "requests.get(url, verify=False)"
FAINT = "hashlib.md5(data)"
ASKED = exchange_of({"messages": [{"role": "user", "content": "Write it."}]})


def fenced(code: str, tag: str = "python") -> str:
    return f"Here it is:\n\n```{tag}\n{code}\n```\n\nTell me if it works."


def replied(text: str | None, **message: object) -> Exchange:
    return reply_of({"choices": [{"message": {"content": text, **message}}]}, asked=ASKED)[0]


async def ruled(text: str | None, **message: object) -> Ruling:
    return await LAYER.check(replied(text, **message))


def cases(kind: str) -> list[tuple[str, str, str]]:
    return [
        (rule.id, language, code) for rule in RULES for language, codes in getattr(rule, kind).items() for code in codes
    ]


# --- Rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "language", "code"), cases("stops"))
async def test_a_rule_stops_what_it_shows_labelled_and_bare(rule: str, language: str, code: str):
    (labelled,) = code_in(fenced(code, language))
    bare = code_in(f"Here it is:\n\n{code}\n\nTell me if it works.")

    assert rule in {one.rule for one in SCANNER.scan(labelled, within=fenced(code, language))}
    assert bare, "code without a fence is not taken for prose"


@pytest.mark.parametrize(("rule", "language", "code"), cases("passes"))
async def test_a_rule_passes_what_it_shows(rule: str, language: str, code: str):
    (found,) = code_in(fenced(code, language))

    assert rule not in {one.rule for one in SCANNER.scan(found, within=fenced(code, language))}


def test_every_rule_and_language_shows_both_sides():
    for rule in RULES:
        assert rule.passes, rule.id
        assert rule.stops, rule.id
        assert set(rule.stops) | set(rule.passes) <= set(rule.languages), rule.id
        assert all(code for codes in (*rule.stops.values(), *rule.passes.values()) for code in codes), rule.id


# --- Where code stands ------------------------------------------------------------------------------------------------

DOORS = {
    "a fence": lambda code: {"content": fenced(code)},
    "a fence of tildes": lambda code: {"content": f"~~~py\n{code}\n~~~"},
    "a fence without a language": lambda code: {"content": fenced(code, "")},
    "a fence that lies about its language": lambda code: {"content": fenced(code, "text")},
    "a fence that lies with another language": lambda code: {"content": fenced(code, "go")},
    "a fence in a list": lambda code: {"content": f"1. Do this:\n\n   ```python\n   {code}\n   ```\n"},
    "a fence that never closes": lambda code: {"content": f"So:\n```python\nimport os\n{code}"},
    "the whole reply": lambda code: {"content": f"import os\n\nname = input()\n{code}\n"},
    "code after prose": lambda code: {"content": f"Sure, here it is.\n\nimport os\n{code}\n\nThat is all."},
    "broken code": lambda code: {"content": fenced(f"def f(:\n    if\n    {code}\n  return )")},
    "full-width letters": lambda code: {"content": fenced(code.replace("os.", "\uff4f\uff53."))},
    "a later block": lambda code: {"content": fenced("x = 1") + fenced(code)},
    "reasoning": lambda code: {"content": "Yes.", "reasoning_content": fenced(code)},
    "a refusal": lambda code: {"content": None, "refusal": fenced(code)},
    "a tool call's source": lambda code: {"content": None, "tool_calls": call({"code": f"import os\n{code}"})},
    "a tool call's only line": lambda code: {"content": None, "tool_calls": call({"command": code})},
    "a tool call's nested file": lambda code: {
        "content": None,
        "tool_calls": call({"files": [{"name": "a.py", "body": f"import os\n{code}"}]}),
    },
    "a part of the content": lambda code: {"content": [{"type": "text", "text": fenced(code)}]},
    "an unknown field": lambda code: {"content": "Yes.", "x_note": {"deep": [fenced(code)]}},
}


def call(arguments: object) -> list[dict[str, object]]:
    function = {"name": "run", "arguments": json.dumps(arguments)}
    return [{"index": 0, "id": "c", "type": "function", "function": function}]


@pytest.mark.parametrize("door", DOORS)
async def test_code_is_read_through_every_door(door: str):
    bad, good = [replied(None, **DOORS[door](code)) for code in (BAD, GOOD)]

    assert (await LAYER.check(bad)).action == "withhold"
    assert (await LAYER.check(good)).action == "allow"


@pytest.mark.parametrize(
    "text",
    [
        "Never call os.system(cmd) or eval(x) with what a user wrote; use subprocess.run with a list.",
        "* `eval(x)` runs its text\n* `os.system(cmd)` starts a shell",
        "The sea (which is wide) is deep; ships sail on it.",
        "1. Open the file.\n2. Use pickle.loads(data)? Better not.\n",
        fenced("# os.system('ls ' + name) would be wrong\nprint('eval(x)')\n" + GOOD),
        fenced("SELECT name FROM people WHERE id = ?", "sql"),
    ],
)
async def test_talk_of_code_passes(text: str):
    assert (await ruled(text)).action == "allow"


# --- What is done about it --------------------------------------------------------------------------------------------


async def test_severity_decides():
    assert [(await ruled(fenced(code))).action for code in (BAD, MIDDLING, FAINT, GOOD)] == [
        "withhold",
        "replace",
        "allow",
        "allow",
    ]
    noted = await ruled(fenced(FAINT))
    assert (noted.score, [one.rule for one in noted.grounds]) == (0.3, ["weak-cryptography"])


async def test_lines_are_replaced_and_the_rest_stays():
    text = fenced(f"import requests\n\nanswer = {MIDDLING}\nprint(answer)")
    stack = Stack(id="t", layers=(LAYER,), system_prompt=None, timeout_s=2, digest="x")
    checked = await stack.rule(replied(text))

    assert checked.text(text) == text.replace(f"answer = {MIDDLING}", "[removed]")
    assert checked.rulings[0].rule == "no-certificate-check"


async def test_what_cannot_be_replaced_withholds():
    assert (await ruled("Yes.", reasoning_content=fenced(MIDDLING))).action == "withhold"
    assert (await ruled(None, tool_calls=call({"code": MIDDLING}))).action == "withhold"
    assert (await ruled("Yes.", reasoning_content=fenced(FAINT))).action == "allow"


async def test_more_code_than_is_read_is_no_ruling_and_long_prose_is():
    layer = CodeLayer(name="c", stage="output", scanner=SCANNER, do=AS_SHIPPED, longest=500)

    assert (await layer.check(replied(fenced("x = 1\n" * 200)))).error
    assert (await layer.check(replied("The sea is wide. " * 200))).action == "allow"


async def test_long_code_is_read_in_pieces_and_the_right_lines_are_found():
    lines = [f"value_{number} = listed({number})" for number in range(1_000)]
    lines[700] = f"answer = {MIDDLING}"
    text = fenced("\n".join(lines))
    stack = Stack(id="t", layers=(LAYER,), system_prompt=None, timeout_s=20, digest="x")

    assert (await stack.rule(replied(text))).text(text) == text.replace(lines[700], "[removed]")


async def test_a_parser_that_panics_is_a_layer_that_failed():
    class Panic(BaseException):
        pass

    def panics(text: str, language: str) -> None:
        raise Panic

    scanner = type(SCANNER)(parse=panics, rules=SCANNER.rules, digest="d")
    layer = CodeLayer(name="c", stage="output", scanner=scanner, do=AS_SHIPPED)
    stack = Stack(id="t", layers=(layer,), system_prompt=None, timeout_s=2, digest="x")
    checked = await stack.rule(replied(fenced(BAD)))

    assert checked.withheld is not None
    assert checked.withheld.error == "Panic"


async def test_no_ruling_quotes_the_code():
    stack = Stack(id="t", layers=(LAYER,), system_prompt=None, timeout_s=2, digest="x")

    assert "zanzi" not in str(await stack.rule(replied(fenced("os.system('zanzi' + zanzi)"))))


# --- Streaming --------------------------------------------------------------------------------------------------------


async def streamed(text: str, size: int) -> tuple[str, bool]:
    """What a client could put together, and whether the reply was stopped."""
    guard = ChunkGuard(Stack(id="t", layers=(LAYER,), system_prompt=None, timeout_s=2, digest="x", every=8), ASKED)
    events = []
    for at in range(0, len(text), size):
        chunk = {"id": "r", "choices": [{"index": 0, "delta": {"content": text[at : at + size]}}]}
        events += await guard.feed(chunk)
    events += await guard.finish()
    shown = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    return shown, guard.guard.withheld is not None


@pytest.mark.parametrize("size", [1, 3, 20, 1_000])
@pytest.mark.parametrize(
    "text", [fenced(BAD), f"Sure.\n\nimport os\n{BAD}\n", f"So: \n{BAD}\nand on.", fenced(BAD, "")]
)
async def test_insecure_code_never_streams_out(text: str, size: int):
    shown, is_stopped = await streamed(text + "\n\nMore to say of the sea. " * 9, size)

    assert is_stopped
    assert "os.system(" not in shown


@pytest.mark.parametrize("size", [1, 3, 20, 1_000])
async def test_allowed_code_streams_out_byte_for_byte(size: int):
    text = ("The sea (which is wide) is deep.\n\n" + fenced(GOOD) + "\n\n" + fenced("x = '“é”'\n")) * 3

    assert await streamed(text, size) == (text, False)


@pytest.mark.parametrize("size", [1, 3, 20, 1_000])
async def test_lines_are_replaced_while_it_streams_as_in_the_whole(size: int):
    text = fenced(f"import requests\nanswer = {MIDDLING}\nprint(answer)") + "\n\nAnd so on. " * 20

    assert await streamed(text, size) == (text.replace(f"answer = {MIDDLING}", "[removed]"), False)


async def test_prose_before_code_is_not_held():
    guard = ChunkGuard(Stack(id="t", layers=(LAYER,), system_prompt=None, timeout_s=2, digest="x"), ASKED)
    text = "The sea (which is wide) is deep, and ships sail on it all the time.\n```python\nimport os\n"
    out = await guard.feed({"id": "r", "choices": [{"index": 0, "delta": {"content": text}}]})

    shown = "".join(choice["delta"].get("content") or "" for event in out for choice in event["choices"])
    assert text.split("import")[0] == shown


# --- Stack files ------------------------------------------------------------------------------------------------------


def test_the_digest_names_rules_and_what_is_done(tmp_path: Path):
    text = "id: s\nversion: '1'\nlayers:\n  - {name: code, kind: code}\n"
    other = text.replace("kind: code", "kind: code, do: {low: withhold}")
    digests = set()
    for number, one in enumerate((text, other)):
        (tmp_path / f"{number}.yaml").write_text(one)
        digests.add(load_stack(f"{number}.yaml", load_model_spec("default"), beside=tmp_path).digest)
    changed = tmp_path / "rules.yaml"
    changed.write_text(CODE_RULES.read_text(encoding="utf-8").replace("severity: low", "severity: high", 1))

    assert len(digests) == 2
    assert code_scanner(changed).digest != SCANNER.digest


def test_a_stack_that_needs_a_missing_package_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("safecase.safeguard._build.is_ast_grep_installed", lambda: False)
    (tmp_path / "s.yaml").write_text("id: s\nversion: '1'\nlayers:\n  - {name: code, kind: code}\n")

    with pytest.raises(StackError, match=r"pip install 'safecase\[guards\]'"):
        load_stack("s.yaml", load_model_spec("default"), beside=tmp_path)
