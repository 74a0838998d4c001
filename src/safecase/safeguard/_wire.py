"""Chat-completions bodies as exchanges: every string, known field or not, so that nothing passes unread.

A reader that lists the fields it knows lets through what it does not list. This one walks the whole body and then says
what each string is. Text can also be cut into pieces that lie in neighbouring fields (tokens of `logprobs`, content
parts, bytes as numbers, JSON inside a string); what lies side by side is read together too.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from safecase.evidence import Message
from safecase.safeguard._values import Channel, Exchange, Part

Path = tuple[str | int, ...]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"} | {
    "function": "tool"
}
# Values that name a thing of the protocol. They are read like every other string, but are no sentence of anyone.
_ENVELOPE = frozenset(
    "model role type id object tool_call_id finish_reason system_fingerprint service_tier user reasoning_effort "
    "tool_choice verbosity modalities format detail prompt_cache_key safety_identifier".split()
)
# Names of fields that the protocol itself gives; any other name is the sender's own words and is read too.
_FIELDS = _ENVELOPE | frozenset(
    "messages content name refusal audio function_call tool_calls function arguments tools functions description "
    "parameters properties required items enum additionalProperties strict text image_url url input_audio data file "
    "file_data file_id filename reasoning reasoning_content choices index message delta logprobs token bytes logprob "
    "top_logprobs usage prompt_tokens completion_tokens total_tokens created stream stream_options include_usage "
    "temperature top_p n stop max_tokens max_completion_tokens presence_penalty frequency_penalty logit_bias seed "
    "response_format json_schema schema metadata store parallel_tool_calls prediction web_search_options annotations "
    "prompt_tokens_details completion_tokens_details cached_tokens audio_tokens reasoning_tokens title default".split()
)
_NESTED = 4  # how often JSON is looked for inside a string of JSON
_NEAR = 32  # steps up from a string to where its neighbours are looked for
_APART = frozenset({"messages", "choices"})  # neighbours here are turns and alternatives, not pieces of one text


def exchange_of(body: Mapping[str, Any], *, account: str = "") -> Exchange:
    """Read the body of a chat-completions request: its turns as messages, every other string as a part.

    Developer turns count as the system's, an unknown role as the user's. Total: a body of any shape gives an exchange,
    and what has no known place is a part of channel `other`.

    >>> exchange = exchange_of({"messages": [{"role": "user", "content": "Hi", "x-note": "over here"}]})
    >>> exchange.messages[0].content, [part.text for part in exchange.parts if part.channel == "other"]
    ('Hi', ['x-note', 'over here'])
    """
    turns = body.get("messages")
    said = turns if isinstance(turns, list) else []
    messages = tuple(_message(turn) for turn in said if isinstance(turn, Mapping))
    plain = {("messages", at, "content") for at, turn in enumerate(said) if _is_plain(turn)}
    return Exchange(messages=messages, parts=_parts(body, said, skip=plain), account=account)


def reply_of(body: Mapping[str, Any], *, asked: Exchange) -> tuple[Exchange, ...]:
    """Read the body of a chat-completions reply: one final exchange per choice, each with every string of its own.

    Strings outside the choices belong to every choice. A body without choices gives one exchange of parts only.
    """
    choices = body.get("choices")
    listed = choices if isinstance(choices, list) else []
    around = {name: value for name, value in body.items() if not (name == "choices" and listed)}
    shared = parts_of(around)
    return tuple(_choice(choice, shared, asked) for choice in listed or [{}])


def parts_of(value: Any) -> tuple[Part, ...]:
    """Every string of a piece of a reply."""
    return _parts(value, [], role="assistant")


def _choice(choice: Any, shared: tuple[Part, ...], asked: Exchange) -> Exchange:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    reply = content if isinstance(content, str) else _joined(content)
    skip: set[Path] = {("message", "content")} if isinstance(content, str) else set()
    parts = _parts({"": choice} if not isinstance(choice, Mapping) else choice, [], skip=skip, role="assistant")
    return replace(asked, reply=reply, channel="content", reply_parts=(*parts, *shared), final=True, seen=0)


def _is_plain(turn: Any) -> bool:
    return isinstance(turn, Mapping) and isinstance(turn.get("content"), str)


def _message(turn: Mapping[str, Any]) -> Message:
    content = turn.get("content")
    role: Any = _ROLES.get(str(turn.get("role")), "user")  # a value of the table, which is a role
    return Message(role=role, content=content if isinstance(content, str) else _joined(content))


def _joined(content: Any) -> str:
    """The text of content parts, one to a line."""
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def _parts(body: Any, turns: Sequence[Any], *, skip: Collection[Path] = (), role: str = "") -> tuple[Part, ...]:
    leaves = [(path, text) for path, text in _strings(body) if text and path not in skip]
    found = [_part(path, text, turns, role) for path, text in leaves]
    side_by_side: dict[Path, list[str]] = {}
    for path, text in leaves:
        for at in range(max(0, len(path) - _NEAR), len(path)):
            if isinstance(path[at], int) and not (at == 1 and path[0] in _APART):
                side_by_side.setdefault((*path[:at], "*", *path[at + 1 :]), []).append(text)
    found += [_part(path, "".join(texts), turns, role) for path, texts in side_by_side.items() if len(texts) > 1]
    return tuple(found)


def _part(path: Path, text: str, turns: Sequence[Any], role: str) -> Part:
    if len(path) > 1 and path[0] == "messages" and isinstance(path[1], int) and path[1] < len(turns):
        turn = turns[path[1]]
        role = str(turn.get("role", "")) if isinstance(turn, Mapping) else ""
    return Part(channel=_channel(path, role), role=role, where=".".join(map(str, path)), text=text)


def _channel(path: Path, role: str) -> Channel:
    names = [step for step in path if isinstance(step, str) and step not in ("*", "(json)", "(name)")]
    last = names[-1] if names else ""
    if "arguments" in names:
        return "tool-arguments"
    if last in ("reasoning", "reasoning_content") or "reasoning_details" in names:
        return "reasoning"
    if names[:1] in (["tools"], ["functions"]) and last not in _ENVELOPE:
        return "description"
    if last in ("content", "text", "refusal", "token", "bytes"):
        return "tool-result" if role in ("tool", "function") else "content"
    if last in _ENVELOPE and "(name)" not in path:
        return "envelope"
    return "other"


def _strings(body: Any) -> Iterator[tuple[Path, str]]:
    """Every string with its path, in order, without recursion: a body may be nested as deeply as it likes."""
    waiting: list[tuple[Path, Any, int]] = [((), body, 0)]
    while waiting:
        path, value, nested = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [((*path, str(name)), value[name], nested) for name in reversed(value)]
            yield from (((*path, str(name), "(name)"), str(name)) for name in value if name not in _FIELDS)
        elif isinstance(value, list | tuple):
            if (text := _bytes_as_text(value)) is not None:
                yield path, text
            else:
                waiting += [((*path, at), item, nested) for at, item in reversed(list(enumerate(value)))]
        elif isinstance(value, str):
            yield path, value
            if nested < _NESTED and (inner := _json_inside(value)) is not None:
                waiting.append(((*path, "(json)"), inner, nested + 1))


def _bytes_as_text(value: Sequence[Any]) -> str | None:
    """Text given as the numbers of its bytes, as `logprobs` does."""
    if not value or not all(isinstance(item, int) and 0 <= item <= 255 for item in value):
        return None
    return bytes(value).decode("utf-8", "replace")


def _json_inside(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
