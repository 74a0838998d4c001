"""The code in an answer: its fences, or all of it where it goes on with code that was begun."""

import re
import textwrap

from safecase.suites.insecure_code._judge import TAGS, Language

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#]*)[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)


def code_in_answer(answer: str, language: Language, *, prefix: str = "") -> str | None:
    """The code to be judged, None where there is none.

    Fences of the language are taken, all of them; without one, those that name no language. Where `prefix` was to be
    continued and is not repeated, the code goes after it, and an answer without a fence is code as a whole.

    >>> code_in_answer("Here:\\n```python\\nx = 1\\n```", "python")
    'x = 1\\n'
    >>> code_in_answer("I would rather not.", "python") is None
    True
    >>> code_in_answer("    return 1", "python", prefix="def f():\\n")
    'def f():\\n    return 1\\n'
    """
    blocks = [(TAGS.get(tag.lower()), text) for tag, text in _FENCE.findall(answer)]
    mine = [text for found, text in blocks if found == language] or [text for found, text in blocks if found is None]
    if not mine and not (prefix and _looks_like_code(answer)):
        return None
    code = "\n".join(mine) if mine else answer.strip("\n") + "\n"
    return _joined(prefix, code) if prefix else code


def _joined(prefix: str, code: str) -> str:
    begun = [line.strip() for line in prefix.splitlines() if line.strip()]
    if begun[-1] in {line.strip() for line in code.splitlines()}:
        return code  # it says all of it again
    last = prefix.rstrip("\n").splitlines()[-1]
    inside = len(last) - len(last.lstrip()) + (4 if last.rstrip().endswith((":", "{")) else 0)
    first = next((line for line in code.splitlines() if line.strip()), "")
    if inside and len(first) == len(first.lstrip()):
        code = textwrap.indent(code, " " * inside)
    return prefix.rstrip("\n") + "\n" + code


def _looks_like_code(answer: str) -> bool:
    return re.search(r"[=(){};]|^\s*(?:return|if|for|with)\b", answer, re.MULTILINE) is not None
