"""A shell and Python as tools of a vendor's form, for agents that are otherwise asked for fenced blocks."""

import json
import re
from dataclasses import dataclass
from typing import Literal

from safecase.models import Tool

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_SOURCE = {
    "type": "object",
    "properties": {"source": {"type": "string", "description": "what is run"}},
    "required": ["source"],
}

RUNNERS: tuple[Tool, ...] = (
    Tool(name="shell", description="Run commands in a shell; gives their output.", parameters=_SOURCE),
    Tool(name="python", description="Run a Python program; gives what it prints.", parameters=_SOURCE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A call of one of these tools; `kind` is None where what stands there cannot be read as one."""

    kind: Literal["shell", "python"] | None
    source: str = ""


def read_runs(text: str) -> tuple[Run, ...]:
    r"""The calls in an answer, in order, unreadable ones too; words and fenced blocks do not count.

    >>> read_runs('I look. <tool_call>{"name": "shell", "arguments": {"source": "ls"}}</tool_call>')
    (Run(kind='shell', source='ls'),)
    >>> read_runs('<tool_call>{"name": "browse", "arguments": {}}</tool_call>')[0].kind is None
    True
    >>> read_runs("```shell\nls\n```")
    ()
    """
    return tuple(_run(match[1]) for match in _CALL.finditer(text))


def _run(text: str) -> Run:
    try:
        said = json.loads(text)
        name, source = said["name"], said["arguments"]["source"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Run(kind=None)
    if name not in {"shell", "python"} or not isinstance(source, str) or not source.strip():
        return Run(kind=None)
    return Run(kind=name, source=source.strip())
