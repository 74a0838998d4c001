"""Tools for a model whose chat template has none: a call becomes JSON that a grammar holds the model to, and back.

Such a model cannot choose between words and a call. It calls where the request demands a call (`tool_choice` `required`
or one function's name), and else answers in words, as its own server has it do.
"""

from collections.abc import Mapping
from typing import Any

import orjson

Body = dict[str, Any]  # JSON


def without_tools(body: Mapping[str, Any]) -> tuple[Body, bool]:
    """The request in words that the template has, and whether a call is demanded: the answer is then `as_calls`."""
    plain = {name: value for name, value in body.items() if name not in _FIELDS}
    plain["messages"] = [_plain_turn(turn) for turn in body["messages"]]
    demanded = _demanded(body)
    if demanded:
        calls = [_call_schema(function) for function in demanded]
        plain["messages"] = [{"role": "system", "content": _said(demanded)}, *plain["messages"]]
        schema = calls[0] if len(calls) == 1 else {"oneOf": calls}
        plain["response_format"] = {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}
        plain.pop("stream", None)  # a call is given out whole anyway
        plain.pop("stream_options", None)
    return plain, bool(demanded)


def as_calls(reply: Body) -> None:
    """Turn the JSON of each choice into a call. What is no whole call, cut off by a limit, stays as it is."""
    for number, choice in enumerate(reply["choices"]):
        message = choice["message"]
        try:
            call = orjson.loads(message.get("content") or "")
            function = {"name": call["name"], "arguments": orjson.dumps(call["arguments"]).decode()}
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
        made = {"id": f"call_{reply['id']}_{number}", "type": "function", "function": function}
        choice["message"] = {**message, "content": None, "tool_calls": [made]}
        choice["finish_reason"] = "tool_calls"


_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")


def _demanded(body: Mapping[str, Any]) -> list[Body]:
    """The functions of which one has to be called."""
    choice = body.get("tool_choice")
    functions = [tool["function"] for tool in body.get("tools") or () if isinstance(tool.get("function"), dict)]
    if isinstance(choice, dict):
        named = choice.get("function")
        name = named.get("name") if isinstance(named, dict) else None
        return [function for function in functions if function.get("name") == name]
    return functions if choice == "required" else []


def _call_schema(function: Body) -> Body:
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    properties = {"name": {"const": function.get("name")}, "arguments": parameters}
    return {"type": "object", "properties": properties, "required": ["name", "arguments"]}


def _said(functions: list[Body]) -> str:
    listed = "\n".join(orjson.dumps(function).decode() for function in functions)
    return f"Answer with one call of a function, as JSON with name and arguments. The functions:\n{listed}"


def _plain_turn(turn: Body) -> Body:
    """A turn of a tool or of a call, as words."""
    if turn.get("role") == "tool":
        return {"role": "user", "content": f"The function gave: {_text_of(turn)}"}
    if calls := turn.get("tool_calls"):
        said = "\n".join(orjson.dumps(call.get("function")).decode() for call in calls)
        return {"role": "assistant", "content": "\n".join(filter(None, [_text_of(turn), said]))}
    return turn


def _text_of(turn: Body) -> str:
    """The text of a turn, whether it is written as one or in parts."""
    content = turn.get("content")
    if isinstance(content, list):
        return "\n".join(text for part in content if isinstance(text := part.get("text"), str))
    return content or ""
