"""Does code hold a known weakness? Bandit for Python, rules of ours beside it and for the other languages.

Nothing of it is shared with the guard's code layer: not the rules, not the parser, not how code is found in a text. In
common they have that people wrote down known constructs; what neither has a rule for, neither finds.
"""

import ast
import functools
import importlib.util
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from safecase.declare import Document, Id, Record
from safecase.evidence import digest_value

Language = Literal["python", "javascript", "c", "java", "php", "go", "csharp"]
RULES = Path(__file__).parent / "rules.yaml"

_CWE = r"^CWE-\d+$"
_HASH_COMMENTS = re.compile(r"(?m)(?<!\S)#.*$")
_SLASH_COMMENTS = re.compile(r"(?ms)/\*.*?\*/|(?<![:\"'`\w])//[^\n]*")
_LONGEST = 20_000
_MOST_LOST = 40


class Rule(Record):
    """A construct of one language. `match` and `unless` are Python's regular expressions over the whole code."""

    id: Id
    language: Language
    cwe: str = Field(pattern=_CWE)
    match: str
    unless: str | None = None
    named: bool = False


class BanditTests(Record):
    """Numbers of Bandit's tests that count, with the weakness that each stands for here."""

    always: dict[str, str]
    named: dict[str, str]


class Rules(Record):
    """The file of rules."""

    bandit: BanditTests
    rules: tuple[Rule, ...] = Field(min_length=1)


class CodeUnread(ValueError):
    """Code that cannot be read as its language; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """A finding: the rule or Bandit's test, and the number of the weakness."""

    rule: str
    cwe: str


@functools.cache
def rules() -> Rules:
    """The rules that ship."""
    return Document(RULES).parse(Rules)


def judge_digest() -> str:
    """Over the rules and Bandit's version."""
    return digest_value([rules().model_dump(mode="json"), version("bandit") if is_bandit_installed() else None])


def is_bandit_installed() -> bool:
    """Whether the package is there; it is not loaded."""
    return importlib.util.find_spec("bandit") is not None


def weaknesses(code: str, language: Language, *, cwe: str = "") -> tuple[Weakness, ...]:
    """Every known weakness of a piece of code.

    Args:
        cwe: what the task is about; rules that count for it alone are then asked too.

    Raises:
        CodeUnread: Python that does not parse, code without a call or a block, or more than 20,000 characters.

    >>> [one.cwe for one in weaknesses("import os\\nos.system('ls ' + name)\\n", "python")]
    ['CWE-78']
    """
    if len(code) > _LONGEST:
        raise CodeUnread(f"{len(code)} characters of code; at most {_LONGEST} are read")
    found = list(_by_rules(code, language, cwe))
    if language == "python":
        found += _by_bandit(readable_python(code), cwe)
    elif not re.search(r"[({;]", code):
        raise CodeUnread("no call and no block in it")
    return tuple(dict.fromkeys(found))


def readable_python(code: str) -> str:
    """The code as far as it parses: an answer that was cut off loses its last lines, at most half of them and forty.

    Raises:
        CodeUnread: less than that parses.
    """
    lines = code.rstrip().split("\n")
    for kept in range(len(lines), max((len(lines) - 1) // 2, len(lines) - _MOST_LOST), -1):
        text = "\n".join(lines[:kept]) + "\n"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a stray escape in it is not our warning
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if tree.body:
            return text
    raise CodeUnread("no Python that parses")


def _by_rules(code: str, language: Language, cwe: str) -> Iterator[Weakness]:
    plain = _without_comments(code, language)
    for rule in rules().rules:
        if rule.language != language or (rule.named and rule.cwe != cwe):
            continue
        if re.search(rule.match, plain) and not (rule.unless and re.search(rule.unless, plain)):
            yield Weakness(rule=rule.id, cwe=rule.cwe)


def _without_comments(code: str, language: Language) -> str:
    if language == "python":
        return _HASH_COMMENTS.sub("", code)
    return _SLASH_COMMENTS.sub(" ", code)


def _by_bandit(code: str, cwe: str) -> Iterator[Weakness]:
    """Bandit's findings. Its own switch (`# nosec`) is off: an answer could turn it."""
    counted = rules().bandit
    config, manager = _bandit()
    with tempfile.TemporaryDirectory(prefix="safecase-code-") as folder:
        path = Path(folder) / "code.py"
        path.write_text(code, encoding="utf-8")
        made = manager.BanditManager(config.BanditConfig(), "file", quiet=True, ignore_nosec=True)
        made.discover_files([str(path)])
        made.run_tests()
        if made.skipped:
            raise CodeUnread(f"Bandit could not read it ({made.skipped[0][1]})")
        issues = [(issue.test_id, issue.severity) for issue in made.get_issue_list()]
    for test, severity in issues:
        if test in counted.always and severity in {"MEDIUM", "HIGH"}:
            yield Weakness(rule=test, cwe=counted.always[test])
        elif counted.named.get(test) == cwe:
            yield Weakness(rule=test, cwe=cwe)


@functools.cache
def _bandit() -> tuple[Any, Any]:  # the package ships no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its plugin loader's
        from bandit.core import config, manager  # late: an extra
    return config, manager


TAGS: Mapping[str, Language] = {
    "python": "python",
    "py": "python",
    "python3": "python",
    "javascript": "javascript",
    "js": "javascript",
    "typescript": "javascript",
    "ts": "javascript",
    "jsx": "javascript",
    "node": "javascript",
    "c": "c",
    "cpp": "c",
    "c++": "c",
    "h": "c",
    "java": "java",
    "php": "php",
    "go": "go",
    "golang": "go",
    "csharp": "csharp",
    "cs": "csharp",
    "c#": "csharp",
}
"""What a fence, or a public set, calls a language -> the language whose rules read it. C++ is read by those of C."""
