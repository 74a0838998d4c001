"""A request of the Responses API as one of chat completions, so that it works on every upstream.

Strict: a field or an item that has no counterpart is refused, naming the field. Nothing is kept between calls, so what
refers to an earlier call is refused too.
"""

from collections.abc import Callable, Mapping
from typing import Any

from safecase.serve._bodies import must_know
from safecase.serve._faults import Fault, bad_request

Body = dict[str, Any]  # JSON

_SAME = tuple(
    "model temperature top_p parallel_tool_calls metadata user safety_identifier prompt_cache_key service_tier "
    "top_logprobs stream".split()
)
_TRANSLATED = ("input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning")
# May be there as long as they say no more than what happens anyway.
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "store": (None, False),
    "background": (None, False),
    "truncation": (None, "disabled"),
    "include": (None, []),
    "previous_response_id": (None,),
    "conversation": (None,),
    "prompt": (None,),
    "max_tool_calls": (None,),
    "stream_options": (None, {}, {"include_obfuscation": False}),
}
FIELDS = frozenset((*_SAME, *_TRANSLATED, *_VALUES))
_TEXTS = frozenset({"input_text", "output_text", "text"})


def as_chat(body: Mapping[str, Any]) -> Body:
    """The same request for `/v1/chat/completions`.

    Raises:
        Fault: something in it has no counterpart.

    >>> as_chat({"model": "m", "input": "Hi", "instructions": "Be kind."})["messages"]
    [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Hi'}]
    """
    must_know(body, FIELDS)
    for name, values in _VALUES.items():
        if name in body and body[name] not in values:
            raise _untranslatable(name)
    chat: Body = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat["messages"] = _messages(body)
    if (most := body.get("max_output_tokens")) is not None:
        chat["max_tokens"] = most
    if body.get("tools"):
        chat["tools"] = _tools(body["tools"])
    if (choice := body.get("tool_choice")) is not None:
        chat["tool_choice"] = _tool_choice(choice)
    _add_text(chat, _object(body, "text"))
    _add_reasoning(chat, _object(body, "reasoning"))
    if chat.get("top_logprobs"):
        raise _untranslatable("top_logprobs")
    return chat


def _messages(body: Mapping[str, Any]) -> list[Body]:
    instructions, given = body.get("instructions"), body.get("input")
    turns: list[Body] = []
    if instructions is not None:
        if not isinstance(instructions, str):
            raise bad_request("instructions must be a string", param="instructions")
        turns.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        return [*turns, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise bad_request("input must be a string or a list of at least one item", param="input")
    for item in given:
        if not isinstance(item, dict):
            raise bad_request("every item of input is an object", param="input")
        kind = item.get("type", "message")
        add = _ITEMS.get(kind) if isinstance(kind, str) else None
        if add is None:
            raise _untranslatable("input", what="an item of that type")
        add(turns, item)
    return turns


def _add_message(turns: list[Body], item: Body) -> None:
    role = item.get("role")
    if not isinstance(role, str):
        raise bad_request("a message of input has a role", param="input")
    content = _content(item.get("content"))
    if role == "assistant" and _is_open(turns):  # goes on from its reasoning
        turns[-1]["content"] = content
    else:
        turns.append({"role": role, "content": content})


def _add_call(turns: list[Body], item: Body) -> None:
    """A call belongs to the assistant's turn that it came with."""
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    if not all(isinstance(value, str) for value in (item.get("call_id"), *function.values())):
        raise bad_request("a function_call has a call_id, a name and arguments, all strings", param="input")
    if not (turns and turns[-1]["role"] == "assistant"):
        turns.append({"role": "assistant", "content": None})
    turns[-1].setdefault("tool_calls", []).append({"id": item["call_id"], "type": "function", "function": function})


def _add_result(turns: list[Body], item: Body) -> None:
    if not isinstance(item.get("call_id"), str):
        raise bad_request("a function_call_output has a call_id", param="input")
    turns.append({"role": "tool", "tool_call_id": item["call_id"], "content": _content(item.get("output"))})


def _add_reasoning_item(turns: list[Body], item: Body) -> None:
    if item.get("encrypted_content") is not None:
        raise _untranslatable("input", what="encrypted reasoning")
    pieces = [*_listed(item.get("summary")), *_listed(item.get("content"))]
    texts = [piece.get("text") for piece in pieces if isinstance(piece, dict)]
    reasoning = "\n".join(text for text in texts if isinstance(text, str))
    turns.append({"role": "assistant", "content": None, "reasoning_content": reasoning})


_ITEMS: Mapping[str, Callable[[list[Body], Body], None]] = {
    "message": _add_message,
    "function_call": _add_call,
    "function_call_output": _add_result,
    "reasoning": _add_reasoning_item,
}


def _is_open(turns: list[Body]) -> bool:
    """Whether the last turn is reasoning whose answer has not come yet."""
    return bool(turns) and "reasoning_content" in turns[-1] and turns[-1].get("content") is None


def _content(content: Any) -> Any:
    """Content as chat has it; one piece of text as a plain string, which every server takes."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise bad_request("content is a string or a list of parts", param="input")
    parts = [_part(part) for part in content]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts


def _part(part: Body) -> Body:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        return {"type": "file", "file": {"file_data": part["file_data"], "filename": part.get("filename")}}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise _untranslatable("input", what="a part of that type")


def _tools(tools: Any) -> list[Body]:
    if not isinstance(tools, list):
        raise bad_request("tools must be a list", param="tools")
    if not all(isinstance(tool, dict) and tool.get("type") == "function" for tool in tools):
        raise _untranslatable("tools", what="a tool that is no function")
    return [
        {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}
        for tool in tools
    ]


def _tool_choice(choice: Any) -> Any:
    if choice in ("none", "auto", "required"):
        return choice
    if isinstance(choice, dict) and choice.get("type") == "function" and isinstance(choice.get("name"), str):
        return {"type": "function", "function": {"name": choice["name"]}}
    raise _untranslatable("tool_choice")


def _add_text(chat: Body, text: Mapping[str, Any]) -> None:
    must_say_only(text, "text", ("format", "verbosity"))
    if (verbosity := text.get("verbosity")) is not None:
        chat["verbosity"] = verbosity
    form = text.get("format")
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_schema":
        chat["response_format"] = {"type": kind, kind: {name: form[name] for name in form if name != "type"}}
    elif kind in ("text", "json_object"):
        chat["response_format"] = {"type": kind}
    else:
        raise _untranslatable("text.format")


def _add_reasoning(chat: Body, reasoning: Mapping[str, Any]) -> None:
    must_say_only(reasoning, "reasoning", ("effort",))
    if (effort := reasoning.get("effort")) is not None:
        chat["reasoning_effort"] = effort


def must_say_only(value: Mapping[str, Any], name: str, known: tuple[str, ...]) -> None:
    """Refuse what else an object says.

    Raises:
        Fault: a further field has a value.
    """
    if any(value[field] is not None for field in value if field not in known):
        raise _untranslatable(name, what=f"more than {' and '.join(known)}")


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"{name} must be an object", param=name)
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _untranslatable(name: str, *, what: str = "this value") -> Fault:
    return bad_request(
        f"{name}: {what} is not served here, where nothing is kept and all is translated to chat completions",
        param=name,
        reason="not-translatable",
    )
