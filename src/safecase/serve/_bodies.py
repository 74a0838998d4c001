"""Request bodies: JSON objects whose fields are known, in which everything that reaches the model is text."""

from collections.abc import Iterable, Mapping
from typing import Any

from safecase.safeguard import Stack
from safecase.serve._faults import Fault, bad_request, refused
from safecase.serve._json import DEEPEST, TooDeep, read_json

LONG = 64 << 10
"""Bytes of JSON from which on they are read in a thread: to look at every string of 64 KiB may take 0.1 s, in which an
event loop answers no one. A hop to a thread costs more than to read an ordinary body."""
_TEXT_PARTS = frozenset({"text", "refusal"})
_TOOLS = frozenset({"function", "custom"})
_UNREAD = frozenset("audio image images image_url input_audio input_image video video_url file".split())
"""Fields of a turn or of a part by which some server takes what is no text, whatever its `type` says."""


def parsed(body: bytes) -> dict[str, Any]:
    """A body as an object. What is passed on is written anew from it: two readers may differ about the same bytes.

    Raises:
        Fault: it is no JSON object.
    """
    try:
        value = read_json(body)
    except TooDeep:
        raise bad_request(f"the body is nested more than {DEEPEST} deep; send a flatter one") from None
    except ValueError:
        raise bad_request("the body is no JSON; send one JSON object in UTF-8") from None
    if type(value) is not dict:
        raise bad_request("the body is no JSON object")
    return value


def must_know(body: Mapping[str, Any], known: frozenset[str]) -> None:
    """Refuse fields that are not passed on.

    Raises:
        Fault: naming how many; a field's name is the sender's own words.
    """
    if not body.keys() <= known:
        unknown = len(body.keys() - known)
        raise bad_request(
            f"{unknown} fields at the top of the body are not known here; leave them out, or have them forwarded",
            reason="unknown-field",
        )


def must_name(body: Mapping[str, Any], serves: str) -> None:
    """Refuse another model than the one that is served.

    Raises:
        Fault: the field is missing, or names another.
    """
    model = body.get("model")
    if not isinstance(model, str):
        raise bad_request("model must be a string", param="model")
    if model != serves:
        raise refused(404, "model-not-found", f"no such model here; ask for {serves!r}", param="model")


def boolean(body: Mapping[str, Any], name: str) -> bool:
    """A field that is true, false or absent."""
    value = body.get(name)
    if value is not None and type(value) is not bool:
        raise bad_request(f"{name} must be true or false", param=name)
    return bool(value)


def whole_number(body: Mapping[str, Any], name: str, *, most: int) -> int:
    """A field that counts, 1 where it is absent."""
    value = body.get(name)
    if value is None:
        return 1
    if type(value) is not int or not 1 <= value <= most:
        raise bad_request(f"{name} must be a whole number from 1 to {most}", param=name)
    return value


def read_modalities(stack: Stack) -> frozenset[str]:
    """Types of content parts, beside text, that a layer of the stack reads: those in its attribute `modalities`."""
    return frozenset(
        kind for layer in stack.layers if layer.stage == "input" for kind in getattr(layer, "modalities", ())
    )


def must_be_turns(turns: Any, *, modalities: frozenset[str] = frozenset()) -> int:
    """Check the messages of a chat; give the characters of their text.

    Args:
        modalities: types of content parts that are read beside text.

    Raises:
        Fault: they are not as the API has them, or hold something that no safeguard reads.
    """
    if type(turns) is not list or not turns:
        raise bad_request("messages must be a list of at least one message", param="messages")
    characters = 0
    for turn in turns:
        if type(turn) is not dict or type(turn.get("role")) is not str:
            raise bad_request("every message is an object with a role", param="messages")
        content = turn.get("content")
        if type(content) is str:
            characters += len(content)
        elif type(content) is list:
            characters += sum(_part(part, modalities) for part in content)
        elif content is not None:
            raise bad_request("the content of a message is a string or a list of parts", param="messages")
        if not _UNREAD.isdisjoint(turn):
            _must_hold_nothing_unread(turn, modalities)
        if (calls := turn.get("tool_calls")) is not None:
            _must_be_calls(calls)
    return characters


def must_be_tools(body: Mapping[str, Any]) -> int:
    """Check the tools of a chat; give how many there are.

    Raises:
        Fault: they are no list of functions.
    """
    tools = body.get("tools")
    if tools is None:
        return len(body.get("functions") or ()) if isinstance(body.get("functions"), list) else 0
    if type(tools) is not list or not all(map(_is_tool, tools)):
        raise bad_request("tools must be a list of functions; no other tools are served", param="tools")
    return len(tools)


def _is_tool(tool: Any) -> bool:
    kind = tool.get("type") if type(tool) is dict else None
    return type(kind) is str and kind in _TOOLS


def last_of_user(turns: Iterable[Mapping[str, Any]]) -> str:
    """What the user said last, as the event keeps it."""
    said = [turn.get("content") for turn in turns if turn.get("role") == "user"]
    last = said[-1] if said else ""
    if isinstance(last, list):
        return "\n".join(text for part in last if isinstance(text := part.get("text"), str))
    return last if isinstance(last, str) else ""


def _part(part: Any, modalities: frozenset[str]) -> int:
    if type(part) is not dict:
        raise bad_request("every part of a message's content is an object", param="messages")
    kind = part.get("type")
    if type(kind) is not str:
        raise bad_request("every part of a message's content has a type", param="messages")
    if kind in _TEXT_PARTS:
        _must_hold_nothing_unread(part, modalities)
        return sum(len(text) for name in _TEXT_PARTS if type(text := part.get(name)) is str)
    if kind in modalities:
        return 0
    raise _unread(kind if kind in _UNREAD else "")


def _must_hold_nothing_unread(value: Mapping[str, Any], modalities: frozenset[str]) -> None:
    for name in _UNREAD & value.keys() - modalities:
        if value[name] is not None:
            raise _unread(name)


def _must_be_calls(calls: Any) -> None:
    if type(calls) is not list or not all(type(call) is dict for call in calls):
        raise bad_request("tool_calls must be a list of calls", param="messages")
    if not all(call.get("function") is None or type(call["function"]) is dict for call in calls):
        raise bad_request("the function of a call is an object", param="messages")


def _unread(kind: str) -> Fault:
    what = f"content of type {kind!r}" if kind else "content other than text"
    return bad_request(
        f"{what} is refused: no safeguard of this gateway reads it", param="messages", reason="unread-content"
    )
