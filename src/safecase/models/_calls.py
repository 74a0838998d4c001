"""Calls of tools: text in a conversation, the vendor's own form on the wire.

A conversation holds a call as `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` in the assistant's turn, so
that safeguards, transcripts and evidence read what was called without a second kind of turn to look past. Only the door
to an endpoint knows the other form: what goes out as `tools` and `tool_calls` comes back as that text.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safecase.evidence import Message

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
NO_RESULT = "(no result)"
"""What a call is answered with on the wire that the conversation answers with nothing: endpoints want one for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that a model may call.

    Attributes:
        parameters: of its arguments, a JSON Schema of an object.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})  # JSON Schema

    def to_wire(self) -> dict[str, Any]:
        """As an OpenAI-compatible endpoint takes it."""
        about = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": about}


def call_text(name: str, arguments: str) -> str:
    r"""A call as a conversation holds it.

    Args:
        arguments: JSON text, as endpoints give it; what is no JSON object stays a text, for a reader to refuse.

    >>> call_text("read", '{"id": "m1"}')
    '<tool_call>{"name": "read", "arguments": {"id": "m1"}}</tool_call>'
    >>> call_text("read", '{"id": ')
    '<tool_call>{"name": "read", "arguments": "{\\"id\\": "}</tool_call>'
    """
    try:
        read = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        read = arguments
    said = json.dumps({"name": name, "arguments": read if isinstance(read, dict) else arguments}, ensure_ascii=False)
    kept = said.replace("</", r"<\/")  # an end tag within an argument ends nothing
    return f"<tool_call>{kept}</tool_call>"


def wire_turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation with its calls in the vendor's form, every call answered by a turn of its own.

    Tools' turns answer the calls before them in order. One without a call before it goes out as the user's.
    """
    return list(_wired(messages))


def _wired(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    waiting: list[str] = []
    for place, turn in enumerate(messages):
        if turn.role == "tool" and waiting:
            yield {"role": "tool", "tool_call_id": waiting.pop(0), "content": turn.content}
            continue
        yield from _unanswered(waiting)
        waiting = []
        if turn.role != "assistant":
            yield {"role": "user" if turn.role == "tool" else turn.role, "content": turn.content}
            continue
        said, calls = _split(turn.content, place)
        waiting = [str(call["id"]) for call in calls]
        yield {"role": "assistant", "content": said} | ({"tool_calls": calls} if calls else {})
    yield from _unanswered(waiting)


def _unanswered(waiting: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in waiting:
        yield {"role": "tool", "tool_call_id": name, "content": NO_RESULT}


def _split(content: str, place: int) -> tuple[str, list[dict[str, Any]]]:
    """The words of an assistant's turn, and its calls; a tag without a readable call stays among the words."""
    calls: list[dict[str, Any]] = []

    def taken(match: re.Match[str]) -> str:
        try:
            said = json.loads(match[1])
            name, arguments = said["name"], said["arguments"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return match[0]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        function = {"name": str(name), "arguments": text}
        calls.append({"id": f"call_{place}_{len(calls)}", "type": "function", "function": function})
        return ""

    return _CALL.sub(taken, content).strip(), calls
