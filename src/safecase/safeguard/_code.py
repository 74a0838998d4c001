"""Code in a reply: where it stands, and in which language it may be.

Three places carry code: fenced blocks, text that is code without a fence, and strings of a tool call's arguments. What
a fence says of its language is believed where the code shows a mark of that language; else all that it shows marks of
are tried beside it, and all there are where it shows none.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

LANGUAGES = ("python", "javascript", "typescript", "java", "c", "cpp", "csharp", "go", "php", "ruby", "bash")

_TAGS = {language: language for language in LANGUAGES} | {
    "py": "python",
    "python3": "python",
    "ipython": "python",
    "js": "javascript",
    "jsx": "javascript",
    "node": "javascript",
    "mjs": "javascript",
    "ts": "typescript",
    "tsx": "typescript",
    "h": "c",
    "c++": "cpp",
    "cc": "cpp",
    "hpp": "cpp",
    "cs": "csharp",
    "c#": "csharp",
    "golang": "go",
    "rb": "ruby",
    "sh": "bash",
    "shell": "bash",
    "zsh": "bash",
    "console": "bash",
}
# Marks of a language, by which unlabelled code is read; several may fit, and then each is tried.
_MARKS = {
    "python": r"^\s*(?:import \w|from [\w.]+ import|def \w+\(|class \w+.*:\s*$|print\(|@\w+)|\bself\.|\w+\.execute\("
    r"|\b(?:subprocess|os|pickle|yaml|hashlib|requests|tempfile|random|flask|ssl|eval|exec)\b[.(]",
    "javascript": r"\b(?:const|let|var) \w|\brequire\(|=>|\bfunction\b|document\.|\binnerHTML\b|\beval\(|process\.env",
    "java": r"\bclass \w+ \{|\b[A-Z]\w*\.getInstance\(|\bnew \w+Stream\(|\bimport java|\bSystem\.out"
    r"|\b(?:public|private|protected) (?:static |final )*(?:class|void|\w+)|\bRuntime\.getRuntime",
    "c": r"^\s*#\s*include|\b(?:char|int|void|size_t) \**\w+\s*[(\[=;]|\b(?:gets|strcpy|strcat|sprintf)\(",
    "cpp": r"\bstd::|^\s*#\s*include <\w+>|\busing namespace",
    "csharp": r"\bclass \w+ \{|\bvar \w+ = (?:new )?[A-Z]|^\s*using [A-Z][\w.]*;|\bnamespace \w"
    r"|\bnew SqlCommand|\bConsole\.Write|\bBinaryFormatter\b",
    "go": r"^\s*package \w+|\bfunc (?:\(\w+ \*?\w+\) )?\w+\(|:=|\bfmt\.|\bexec\.Command",
    "php": r"<\?php|\$\w+\s*(?:=|->|\[)",
    "ruby": r"^\s*(?:require ['\"]|def \w+[!?]?\s*$|end\s*$|puts )|\bMarshal\.load|#\{",
    "bash": r"^#!.*\b(?:ba|z|da)?sh\b|^\s*(?:\$ )?(?:sudo |apt|curl |wget |chmod |rm |eval |export \w+=)"
    r"|\|\s*(?:sudo )?(?:ba|z)?sh\b",
}
_MARK_OF = {language: re.compile(pattern, re.MULTILINE) for language, pattern in _MARKS.items()}
_MARKED_WITHIN = 4_000  # characters
_MARKED_AS = {"typescript": "javascript"}
_FENCE = re.compile(r"^[ \t>*\-+.\d]{0,12}(?P<marks>`{3,}|~{3,})[ \t]*(?P<tag>[^\s`]{0,40})[^\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A stretch of code.

    Attributes:
        start: its place in the text it was found in.
        text: NFKC, so that a name in look-alike letters reads as what the language makes of it.
        languages: to be tried, likeliest first.
        is_closed: whether nothing more will be added to it.
    """

    start: int
    text: str
    languages: tuple[str, ...]
    is_closed: bool = True


def code_in(text: str, *, is_final: bool = True) -> tuple[Code, ...]:
    """Every stretch of code in a text, in order.

    >>> [(code.text, code.languages[0]) for code in code_in("Do this:\\n```py\\nimport os\\n```\\nand so on")]
    [('import os\\n', 'python')]
    >>> code_in("The sea is wide.")
    ()
    """
    return tuple(_stretches(text, is_final=is_final))


def open_from(text: str) -> int | None:
    """The place in a text that is still growing from which on it is code, or may become it; None where it is none.

    >>> open_from("Do this:\\n```py\\nimport os\\n"), open_from("The sea is wi")
    (15, None)
    """
    last = max(code_in(text, is_final=False), key=lambda code: code.start, default=None)
    if last is not None and not last.is_closed:
        return last.start
    line = text.rfind("\n") + 1
    return line if _MAY_OPEN.match(text, line) else None


_MAY_OPEN = re.compile(r"[ \t]*(?:[`~<#$]|[\w.$>:\[\]'\"-]+ ?(?:\(|:?=))")


def _stretches(text: str, *, is_final: bool) -> Iterator[Code]:
    at = 0
    while (opened := _FENCE.search(text, at)) is not None:
        yield from _unfenced(text, at, opened.start(), is_closed=True)
        closed = _closing(text, opened)
        start = min(opened.end() + 1, len(text))
        end = closed.start() if closed else len(text)
        yield _code(text, start, end, tag=opened["tag"].lower(), is_closed=closed is not None or is_final)
        if closed is None:
            return
        at = closed.end()
    yield from _unfenced(text, at, len(text), is_closed=is_final)


def _closing(text: str, opened: re.Match[str]) -> re.Match[str] | None:
    mark = opened["marks"]
    close = re.compile(rf"^[ \t>]{{0,12}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$", re.MULTILINE)
    return close.search(text, min(opened.end() + 1, len(text)))


def _unfenced(text: str, start: int, end: int, *, is_closed: bool) -> Iterator[Code]:
    """Runs of lines that prose does not have, with what is indented or commented between them."""
    run: int | None = None
    at = start
    while at < end:
        stop = text.find("\n", at, end) + 1 or end
        if run is None and _CODE_LINE.match(text, at, stop):
            run = at
        elif run is not None and not (_CODE_LINE.match(text, at, stop) or _GOES_ON.match(text, at, stop)):
            yield _code(text, run, at, tag="", is_closed=True)
            run = None
        at = stop
    if run is not None:
        yield _code(text, run, end, tag="", is_closed=is_closed)


_CODE_LINE = re.compile(
    r"[ \t]*(?:"
    r"import [\w.*{][^\n]*|from [\w.]+ import [^\n]+|(?:async )?def \w+\([^\n]*|class \w+[^\n]*[:{][ \t]*"
    r"|(?:export )?(?:const|let|var) [\w{[][^\n]*=[^\n]*|(?:async )?function\b[^\n]*"
    r"|#[ \t]*include\b[^\n]*|#![^\n]*|<\?php[^\n]*|package [\w.]+;?|using [A-Z][\w.]*;"
    r"|[^\n]*[;{}][ \t]*|[^\n]*<\?php[^\n]*"
    r"|\$?[\w.\[\]'\"]+(?:, ?\w+)*(?:: ?\w+)? ?(?:[-+*/.|:]=|=)(?!=) ?[^\n]+"
    r"|(?:(?:await|return|yield|new|raise|throw|\$|sudo) )?[\w.$>:-]+\((?:[^\n]*\)[;:{]?)?[ \t]*"
    r"|\$? ?(?:sudo |eval |curl |wget |chmod |bash )[^\n]*[|/\-$][^\n]*"
    r")(?:\n|$)"
)
_GOES_ON = re.compile(
    r"[ \t]*(?:\n|$)|[ \t]{2,}\S|\t|[ \t]*(?:#|//|/\*|\*|--)|[ \t]*[)\]}]"
    r"|[ \t]*(?:else|try|finally|end|do|then|fi)\b"
)


def _code(text: str, start: int, end: int, *, tag: str, is_closed: bool) -> Code:
    written = text[start:end]
    plain = written if written.isascii() else unicodedata.normalize("NFKC", written)
    named = _TAGS.get(tag.strip("{}.").split(",")[0])
    return Code(start=start, text=plain, languages=tuple(_languages(plain, named)), is_closed=is_closed)


def _languages(code: str, named: str | None) -> list[str]:
    if named and _MARK_OF[_MARKED_AS.get(named, named)].search(code, 0, _MARKED_WITHIN):
        return [named]
    fits = [language for language, mark in _MARK_OF.items() if mark.search(code, 0, _MARKED_WITHIN)]
    if "cpp" in fits and "c" in fits:
        fits.remove("c")  # the grammar of C++ reads C
    return [named, *fits] if named else fits
