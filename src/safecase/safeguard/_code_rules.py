"""Rules for insecure code: declared in `code_rules.yaml`, matched on syntax trees by ast-grep (tree-sitter).

Bandit was tried beside it: it reads Python only, a whole file only (one syntax error and nothing is looked at), and
takes ten milliseconds where a tree-sitter parse of a reply takes less than one. Text in comments and strings is not
code to either.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from safecase.declare import Document
from safecase.declare import Id as DeclaredId
from safecase.declare import Record as DeclaredRecord
from safecase.evidence import digest_value
from safecase.safeguard._code import Code

Severity = Literal["high", "medium", "low"]
Language = Literal["python", "javascript", "java", "c", "cpp", "csharp", "go", "php", "ruby", "bash"]
CODE_RULES = Path(__file__).parent / "code_rules.yaml"

_CALLS: Mapping[Language, tuple[str, ...]] = {
    "python": ("call",),
    "javascript": ("call_expression", "new_expression"),
    "java": ("method_invocation", "object_creation_expression"),
    "c": ("call_expression",),
    "cpp": ("call_expression",),
    "csharp": ("invocation_expression", "object_creation_expression"),
    "go": ("call_expression",),
    "php": ("function_call_expression", "member_call_expression", "scoped_call_expression"),
    "ruby": ("call",),
    "bash": ("command",),
}
_GRAMMAR = {"javascript": "tsx", "typescript": "tsx"}  # which reads them all, and markup inside
_RULES_OF: Mapping[str, Language] = {"typescript": "javascript"}
# Its first argument is one plain string, into which nothing is put.
_LITERAL: Mapping[str, str] = {
    "python": r"""\(\s*[rRbBuU]{0,2}(?:"(?:[^"\\\n]|\\.)+"|'(?:[^'\\\n]|\\.)+'|""\s*|''\s*)\s*[,)]""",
    "javascript": r"""\(\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`$]*`)\s*[,)]""",
    "php": r"""\(\s*(?:"(?:[^"\\$]|\\.)*"|'(?:[^'\\]|\\.)*')\s*[,)]""",
    "ruby": r"""[ (]\s*(?:"(?:[^"\\#]|\\.)*"|'(?:[^'\\]|\\.)*')\s*(?:[,)]|$)""",
}
_ANY_LITERAL = r"""\(\s*(?:"(?:[^"\\]|\\.)*")\s*[,)]"""


class Matcher(DeclaredRecord):
    """How a rule looks in one language."""

    needs: tuple[str, ...] = Field(min_length=1, description="parse for it only where one of these stands in the code")
    match: str = Field(min_length=1, description="regular expression (Rust's) that the node's text fits")
    unless: str | None = Field(default=None, description="and that it does not fit; `literal`: plain first argument")
    kinds: tuple[str, ...] = Field(default=(), description="kinds of nodes; calls without it")

    def rule(self, language: Language) -> dict[str, Any]:
        """As ast-grep takes it."""
        kinds = [{"kind": kind} for kind in self.kinds or _CALLS[language]]
        rule: dict[str, Any] = {"any": kinds, "regex": self.match}
        if self.unless is not None:
            plain = rf"^[^( ]*{_LITERAL.get(language, _ANY_LITERAL)}"
            unless = plain if self.unless == "literal" else self.unless
            rule["not"] = {"regex": unless}
        return rule


class CodeRule(DeclaredRecord):
    """One construct, with what it stops and what it passes; both are tested."""

    id: DeclaredId
    cwe: str = Field(pattern=r"^CWE-\d+$")
    severity: Severity
    why: str
    languages: dict[Language, Matcher] = Field(alias="in", min_length=1)
    stops: dict[Language, tuple[str, ...]]
    passes: dict[Language, tuple[str, ...]]


class CodeRules(DeclaredRecord):
    """The file of rules."""

    id: DeclaredId
    version: str
    rules: tuple[CodeRule, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An insecure construct.

    Attributes:
        start, end: of its lines, as offsets into the text that the code stands in.
    """

    rule: str
    cwe: str
    severity: Severity
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    id: str
    cwe: str
    severity: Severity
    needs: tuple[str, ...]
    rule: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeScanner:
    """Finds insecure constructs in stretches of code.

    Attributes:
        parse: ast-grep's root of a syntax tree; `Any` because the package ships no types.
        digest: the rules, and the version of the package.
    """

    parse: Any
    rules: Mapping[str, tuple[_Ready, ...]]
    digest: str

    def scan(self, code: Code, *, within: str) -> tuple[Finding, ...]:
        """Every finding of any language that the code may be in; broken code is read as far as it goes.

        Args:
            within: the text that the code was found in.
        """
        found = (one for language in self._languages(code) for one in self._scan(code, language, within))
        return tuple(dict.fromkeys(found))

    def _languages(self, code: Code) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_RULES_OF.get(one, one) for one in code.languages)) or tuple(self.rules)

    def _scan(self, code: Code, language: str, within: str) -> Iterator[Finding]:
        due = [rule for rule in self.rules.get(language, ()) if any(need in code.text for need in rule.needs)]
        if not due:
            return
        for numbers, text in _pieces(code.text):
            root = self.parse(text, _GRAMMAR.get(language, language)).root()
            for rule in due:
                for node in root.find_all({"rule": rule.rule}):
                    lines = node.range()
                    first, last = numbers[lines.start.line], numbers[lines.end.line]
                    start, end = _lines(within, code.start, first, last)
                    yield Finding(rule=rule.id, cwe=rule.cwe, severity=rule.severity, start=start, end=end)


_PIECE = 8_000  # characters; on text that is no code a parser's time can grow with the square of them
_SHARED = 800  # characters that a piece repeats of the one before, so that a call on the border is whole in one


def _pieces(text: str) -> Iterator[tuple[list[int], str]]:
    """A text in pieces of bounded size, each with the number of every line of it."""
    rows = [
        (number, line[at : at + _PIECE])
        for number, line in enumerate(text.split("\n"))
        for at in range(0, max(1, len(line)), _PIECE)
    ]
    first = 0
    while first < len(rows):
        last, size = first, 0
        while last < len(rows) and (last == first or size + len(rows[last][1]) < _PIECE):
            size += len(rows[last][1]) + 1
            last += 1
        yield [number for number, _ in rows[first:last]], "\n".join(row for _, row in rows[first:last])
        if last == len(rows):
            return
        back, shared = last, 0
        while back - 1 > first and shared + len(rows[back - 1][1]) < _SHARED:
            back -= 1
            shared += len(rows[back][1]) + 1
        first = back


def _lines(text: str, start: int, first: int, last: int) -> tuple[int, int]:
    """Offsets of a range of lines, counted from a place in the text. Lines are what normalising cannot move."""
    for _ in range(first):
        start = text.index("\n", start) + 1
    end = start
    for _ in range(last - first):
        end = text.index("\n", end) + 1
    stop = text.find("\n", end)
    return start, len(text) if stop < 0 else stop


def is_ast_grep_installed() -> bool:
    """Whether the package is there; it is not loaded."""
    return importlib.util.find_spec("ast_grep_py") is not None


def code_scanner(path: Path = CODE_RULES) -> CodeScanner:
    """Load rules.

    Raises:
        PackError: the file has faults.
        ModuleNotFoundError: ast-grep-py is not installed.
    """
    from ast_grep_py import SgRoot  # late: an extra

    declared = Document(path).parse(CodeRules)
    rules: dict[str, list[_Ready]] = {}
    for one in declared.rules:
        for language, matcher in one.languages.items():
            ready = _Ready(
                id=one.id, cwe=one.cwe, severity=one.severity, needs=matcher.needs, rule=matcher.rule(language)
            )
            rules.setdefault(language, []).append(ready)
    identity = [declared.model_dump(mode="json"), _LITERAL, _ANY_LITERAL, version("ast-grep-py")]
    return CodeScanner(
        parse=SgRoot, rules={name: tuple(of) for name, of in rules.items()}, digest=digest_value(identity)
    )
