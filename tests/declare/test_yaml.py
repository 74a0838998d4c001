"""The quick parser and the one that remembers lines read the same."""

import subprocess
import sys
from pathlib import Path

import pytest

import safecase
from safecase.declare import Document, PackError

SHIPPED = sorted(Path(safecase.__file__).parent.rglob("*.yaml"))
SCALARS = (
    *("yes", "on", "TRUE", "tRue", "010", "0o10", "0x1F", "1_000", "12:30:45", "1e3", ".5", "5.", "+.inf", "-0", "~"),
    *("", "null", "''", "2026-11-21", "2026-11-21T10:00:00Z", '"a\\x41"', "'it''s'", "a: b", "a # c", "%YAML", "08"),
    *("[1, 2,]", "{1: 2, true: 3}", "{a: &x 1, b: *x}", "{<<: {z: 1}, y: 2}", "{a: 1, a: 2}", "{? [1] : 2}", "*nope"),
    *("!foo x", "!!str 12", '!!int "12"', "!!set {a, b}", "!!binary aGk=", "!!python/object:os.system x", "=", "<<"),
    *(
        "|\n  block\n",
        ">-\n  folded\n  text",
        "\n\t- x",
        "a\x07b",
        "a\x85b",
        "\u2028",
        "\U0001f600",
        '"\\q"',
    ),
)


def outcome(text: str) -> str:
    """What a file gives: its values, or its fault."""
    try:
        values = repr(Document.of(text, path=Path("page.yaml")).values)
    except PackError as error:
        return str(error)
    return values.replace("TimeStamp(", "datetime.datetime(")  # a kind of it, of the other parser


def by_lines(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same by the parser that remembers lines alone."""
    with monkeypatch.context() as patch:
        patch.setattr(Document, "_quick", lambda document: document.data)
        return outcome(text)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_read_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = path.read_text(encoding="utf-8")

    assert outcome(text) == by_lines(text, monkeypatch)


@pytest.mark.parametrize("scalar", SCALARS)
def test_any_value_or_fault_is_the_same(scalar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"id: one\nk: {scalar}\nlist:\n  - a\n"

    assert outcome(text) == by_lines(text, monkeypatch)


@pytest.mark.parametrize(
    "text",
    [
        "%YAML 1.1\n---\nk: yes\n",
        "a: 1\n---\nb: 2\n",
        "a: 1\nb: [\n",
        "- 1\n",
        "",
        "# only\n",
        "a:\n\t- 1\n",
        "[[" * 50,
        "a:\tb\n",
        'a: ["b":c]\n',
        '["a":b]: 1\n',
        "? [{a: b}]\n: 1\n",
        "&a: 1\n",
        "a: 1\n&b: 2\n",
        "a: &b 1\n*b: 2\n",
        "a: {&b: 1}\n",
        "a: &x true\nb: *x\n",
        "a: |# b\n",
        "a: |\n \n   b\n",
    ],
)
def test_whole_files_and_their_faults_are_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(text) == by_lines(text, monkeypatch)


def test_an_anchor_leaves_a_boolean_what_it_is() -> None:
    assert Document.of("a: &x true\nb: *x\n", path=Path("page.yaml")).values == {"a": True, "b": True}
    assert Document.of("a: &x true\nb: *x\n", path=Path("page.yaml")).values["a"] is True


@pytest.mark.parametrize("level", ["[", "{b: ", "- ", "? "])
def test_a_file_of_any_depth_is_refused_and_ends_no_process(level: str) -> None:
    """In a process of its own: the parser in C has a stack that ends."""
    code = "import sys; from pathlib import Path; from safecase.declare import Document, PackError\n"
    code += f"try: Document.of('a:\\n ' + {level!r} * 100_000, path=Path('page.yaml'))\n"
    code += "except PackError as error: print(error)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("page.yaml:")


def test_a_list_within_itself_is_refused() -> None:
    with pytest.raises(PackError, match="unfolds without end"):
        Document.of("id: one\nk: &a [*a]\n", path=Path("page.yaml"))


def test_lines_are_parsed_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document.of("id: one\nlist:\n  - a\n", path=Path("page.yaml"))

    assert "data" not in vars(document)
    assert document.line(("list", 0)) == 3
