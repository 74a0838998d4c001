"""Chat-completions bodies as exchanges: every string, known field or not, so that nothing passes unread.

A reader that lists the fields it knows lets through what it does not list. This one walks the whole body and then says
what each string is. Text can also be cut into pieces that lie in neighbouring fields (tokens of `logprobs`, content
parts, bytes as numbers, JSON inside a string); what lies side by side is read together too.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from safecase.evidence import Message, quick_maker
from safecase.safeguard._values import Channel, Exchange, Part

Path = tuple[str | int, ...]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"} | {
    "function": "tool"
}
# Fields whose values name a thing of the protocol, and are no sentence of anyone: as long as they do. Whoever sends a
# body chooses these values too, so what is neither a word of the protocol nor shaped like an id is text like any other.
_ENVELOPE = frozenset(
    "model role type id object tool_call_id finish_reason system_fingerprint service_tier user reasoning_effort "
    "tool_choice verbosity modalities format detail prompt_cache_key safety_identifier".split()
)
_WORDS = frozenset(
    "system developer user assistant tool function custom none auto required default flex scale priority standard "
    "batch minimal low medium high xhigh max stop length tool_calls function_call content_filter eos eos_token "
    "stop_sequence end_turn max_tokens abort error chat.completion chat.completion.chunk text image audio file "
    "refusal image_url input_audio input_text output_text summary_text reasoning_text reasoning.text "
    "reasoning.summary message reasoning function_call_output allowed_tools url_citation content json_object "
    "json_schema grammar regex lark wav mp3 flac opus pcm16 object string number integer boolean array null date-time "
    "date time duration email hostname uri uuid ipv4 ipv6".split()
)
_NAMED = frozenset("model id tool_call_id system_fingerprint user prompt_cache_key safety_identifier".split())
# At most three runs of letters and digits, the last perhaps a UUID. A model's name has more, and then a digit.
_RUN = "[A-Za-z0-9]{1,64}"
_UUID = "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_ID = re.compile(rf"(?:{_RUN}[-_.:/@+]){{0,2}}(?:{_RUN}|{_UUID})")
_MODEL = re.compile(rf"(?=[^0-9]*[0-9])(?:{_RUN}[-_.:/@+]){{3,9}}{_RUN}")
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
_TELLING = ("arguments", "reasoning_details", "(name)")  # steps that say more than the last one does
_DEEP = 24  # steps of a path; what lies deeper has its path cut there, or a small body could take all memory
_MANY = 10_000  # strings from which on their paths are counted
_MOST_WORK = 10_000_000  # looking for neighbours takes the square of a path's steps; this much is some 0.5 s
_NO_STRINGS = frozenset({int, float, bool, type(None)})
_CONTENT: Path = ("message", "content")
_CONTENT_PLACE = "message.content"
_MAY_OPEN = frozenset('{["') | {chr(code) for code in range(0x3001) if chr(code).isspace()}
_FEW = 1_000  # turns
_FLAT = 4  # steps
_SHORT = 24  # letters of what is remembered as a part; ids, of which there is no end, are longer
_MOST_STRINGS = 64  # that are remembered at one place
_APART = frozenset({"messages", "choices"})  # neighbours here are turns and alternatives, not pieces of one text


def exchange_of(
    body: Mapping[str, Any],
    *,
    account: str = "",
    tiers: frozenset[str] = frozenset(),
    attributes: Mapping[str, str] | None = None,
    is_long: bool = False,
) -> Exchange:
    """Read the body of a chat-completions request: its turns as messages, every other string as a part.

    Developer turns count as the system's, an unknown role as the user's. Total: a body of any shape gives an exchange,
    and what has no known place is a part of channel `other`.

    Args:
        is_long: as the exchange has it; to read the body is then for a thread too.

    >>> exchange = exchange_of({"messages": [{"role": "user", "content": "Hi", "x-note": "over here"}]})
    >>> exchange.messages[0].content, [part.text for part in exchange.parts if part.channel == "other"]
    ('Hi', ['x-note', 'over here'])
    """
    turns: Any = body.get("messages")  # JSON
    if (simple := _simple_request(body, turns)) is not None:
        messages, parts = simple
    else:
        messages, parts = _any_request(body, turns)
    return _exchange(
        messages=messages, parts=parts, account=account, tiers=tiers, attributes=attributes or {}, is_long=is_long
    )


def _any_request(body: Mapping[str, Any], turns: Any) -> tuple[tuple[Message, ...], tuple[Part, ...]]:
    said = turns if isinstance(turns, list) else []
    messages = tuple(_message(turn) for turn in said if isinstance(turn, Mapping))
    plain = {("messages", at, "content") for at, turn in enumerate(said) if _is_plain(turn)}
    return messages, _parts(body, said, skip=plain)


def reply_of(body: Mapping[str, Any], *, asked: Exchange) -> tuple[Exchange, ...]:
    """Read the body of a chat-completions reply: one final exchange per choice, each with every string of its own.

    Strings outside the choices belong to every choice. A body without choices gives one exchange of parts only.
    """
    choices = body.get("choices")
    if type(choices) is list and len(choices) == 1 and (plain := _simple_reply(body, choices[0], asked)) is not None:
        return (plain,)
    listed = choices if isinstance(choices, list) else []
    around = {name: value for name, value in body.items() if not (name == "choices" and listed)}
    shared = parts_of(around)
    return tuple(_choice(choice, shared, asked) for choice in listed or [{}])


_exchange, _part_of, _said = quick_maker(Exchange), quick_maker(Part), quick_maker(Message)  # some for every call


def parts_of(value: Any) -> tuple[Part, ...]:
    """Every string of a piece of a reply."""
    if type(value) is dict and (simple := _simple(value, role="assistant")) is not None:
        return tuple(simple)
    return _parts(value, [], role="assistant")


def _choice(choice: Any, shared: tuple[Part, ...], asked: Exchange) -> Exchange:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    reply = content if isinstance(content, str) else _joined(content)
    skip: set[Path] = {_CONTENT} if isinstance(content, str) else set()
    parts: Sequence[Part] | None = None
    if type(choice) is dict and type(content) is str and not _may_hold_json(content):
        parts = _simple(choice, role="assistant", skip=_CONTENT_PLACE)
    if parts is None:
        parts = _parts({"": choice} if not isinstance(choice, Mapping) else choice, [], skip=skip, role="assistant")
    return _replied(asked, reply, (*parts, *shared))


def _replied(asked: Exchange, reply: str, parts: tuple[Part, ...]) -> Exchange:
    return _exchange(
        messages=asked.messages,
        parts=asked.parts,
        reply=reply,
        reply_parts=parts,
        final=True,
        account=asked.account,
        tiers=asked.tiers,
        attributes=asked.attributes,
        is_long=asked.is_long,
    )


# --- The ordinary body, which has no surprises: a tenth of the work, and the same parts as the long way round ------


def _simple_request(body: Mapping[str, Any], turns: Any) -> tuple[tuple[Message, ...], tuple[Part, ...]] | None:
    """What a body of turns of role and content alone and of flat known fields says; None of any other."""
    if type(turns) is not list or len(turns) > _FEW:
        return None
    messages: list[Message] = []
    roles: list[Part] = []
    for at, turn in enumerate(turns):
        if type(turn) is not dict or len(turn) != 2:
            return None
        role, content = turn.get("role"), turn.get("content")
        if type(role) is not str or type(content) is not str or role[:1] in _MAY_OPEN or content[:1] in _MAY_OPEN:
            return None
        if role not in _ROLES:
            return None
        messages.append(_said(role=_ROLES[role], content=content))
        roles.append(_strings_at(("messages", at, "role"), role)[role])
    parts: list[Part] = []
    for name, value in body.items():
        kind = type(value)
        if kind is str:
            if name not in _FIELDS or value[:1] in _MAY_OPEN:
                return None
            if value:
                parts.append(_strings_at((name,), "")[value])
        elif name == "messages":
            parts += roles
        elif kind not in _NO_STRINGS or name not in _FIELDS:
            return None
    return tuple(messages), tuple(parts)


def _simple_reply(body: Any, choice: Any, asked: Exchange) -> Exchange | None:
    """The exchange of a reply with one choice, of a message with flat known fields; None of any other."""
    message: Any = choice.get("message") if type(choice) is dict else None  # JSON
    content = message.get("content") if type(message) is dict and type(body) is dict else None
    if type(content) is not str or content[:1] in _MAY_OPEN:
        return None
    parts: list[Part] = []
    held = (choice, message, body)
    for at, name, strings in _fields_of(tuple(choice), tuple(message), tuple(body)):
        value = held[at][name]
        kind = type(value)
        if kind is str:
            if strings is None or value[:1] in _MAY_OPEN:
                return None
            if value:
                parts.append(strings[value])
        elif strings is None or not (kind in _NO_STRINGS or (kind is dict and _holds_no_text(value))):
            return None
    return _replied(asked, content, tuple(parts))


def _holds_no_text(value: dict[Any, Any], *, is_inner: bool = False) -> bool:
    """Whether an object has known fields of numbers, and of such objects, alone: how many tokens were used."""
    if not _FIELDS.issuperset(value):
        return False
    if _NO_STRINGS.issuperset(map(type, value.values())):
        return True
    others = [one for one in value.values() if type(one) not in _NO_STRINGS]
    return not is_inner and all(type(one) is dict and _holds_no_text(one, is_inner=True) for one in others)


def _simple(value: Mapping[str, Any], *, role: str, above: Path = (), skip: str = "") -> list[Part] | None:
    """The parts of an object of known fields that holds text, numbers and such objects; None of any other.

    Args:
        skip: the place of a string that is read otherwise.
    """
    parts: list[Part] = []
    places = _places(above, role)
    for name, item in value.items():
        if (place := places[name]) is None:
            return None
        kind = type(item)
        if kind is str:
            if place.where == skip:
                continue
            if item[:1] in _MAY_OPEN:
                return None
            if item:
                parts.append(place[item])
        elif kind is dict:
            if len(above) >= _FLAT:
                return None
            inner = _simple(item, role=role, above=(*above, name), skip=skip)
            if inner is None:
                return None
            parts += inner
        elif kind not in _NO_STRINGS:
            return None
    return parts


def _may_hold_json(text: str) -> bool:
    """Whether JSON may begin with the first letter; a blank stands for what is behind it."""
    return text[:1] in _MAY_OPEN


class _Strings(dict[str, Part]):
    """Strings at one place as parts. Short ones are remembered: a protocol's own words come with every call."""

    def __init__(self, path: Path, role: str) -> None:
        self._path, self._role, self.where = path, role, ".".join(map(str, path))

    def __missing__(self, text: str) -> Part:
        channel = _channel(self._path, self._role, text)
        part = _part_of(channel=channel, role=self._role, where=self.where, text=text)
        if len(text) <= _SHORT and len(self) < _MOST_STRINGS:
            self[text] = part
        return part


_strings_at = lru_cache(maxsize=512)(_Strings)


class _Places(dict[Any, "_Strings | None"]):
    """What strings of an object are, by field; None of one that the protocol does not know. Filled as fields come."""

    def __init__(self, above: Path, role: str) -> None:
        self._above, self._role = above, role

    def __missing__(self, name: Any) -> _Strings | None:
        if name not in _FIELDS:
            return None
        strings = self[name] = _strings_at((*self._above, name), self._role)
        return strings


_places = lru_cache(maxsize=128)(_Places)


@lru_cache(maxsize=64)
def _fields_of(
    choice: tuple[Any, ...], message: tuple[Any, ...], body: tuple[Any, ...]
) -> tuple[tuple[int, Any, _Strings | None], ...]:
    """What a reply of fields with these names is read in: of which object, by which name, and what a string there is.

    None for a field that the protocol does not know. The content, which is the reply itself, is left out.
    """
    of_choice, of_message = _places((), "assistant"), _places(("message",), "assistant")
    within = [(1, name, of_message[name]) for name in message if name != "content"]
    found: list[tuple[int, Any, _Strings | None]] = []
    for name in choice:
        found += within if name == "message" else [(0, name, of_choice[name])]
    return (*found, *[(2, name, of_choice[name]) for name in body if name != "choices"])


# --- Any body ---------------------------------------------------------------------------------------------------------


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
    if len(leaves) > _MANY:
        leaves = _bounded(leaves)
    found = [_part(path, text, turns, role) for path, text in leaves]
    side_by_side: dict[Path, list[Part]] = {}
    for (path, _), part in zip(leaves, found, strict=True):
        if len(path) == 1:
            continue  # most are: they have no neighbours
        for at in range(max(0, len(path) - _NEAR), len(path)):
            if type(path[at]) is int and not (at == 1 and path[0] in _APART):
                side_by_side.setdefault((*path[:at], "*", *path[at + 1 :]), []).append(part)
    for path, pieces in side_by_side.items():
        if len(pieces) > 1:
            joined = _part(path, "".join(piece.text for piece in pieces), turns, role)
            is_envelope = all(piece.channel == "envelope" for piece in pieces)
            found.append(replace(joined, channel="envelope") if is_envelope else joined)
    return tuple(found)


def _bounded(leaves: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """What looking for neighbours can be paid for; the strings behind that are read as one, set apart and not."""
    work = 0
    for at, (path, _) in enumerate(leaves):
        work += len(path) ** 2
        if work > _MOST_WORK:
            rest = [text for _, text in leaves[at:]]
            return [*leaves[:at], (("(rest)",), "".join(rest)), (("(rest)",), "\n".join(rest))]
    return leaves


def _part(path: Path, text: str, turns: Sequence[Any], role: str) -> Part:
    if len(path) > 1 and path[0] == "messages" and isinstance(path[1], int) and path[1] < len(turns):
        turn = turns[path[1]]
        role = str(turn.get("role", "")) if isinstance(turn, Mapping) else ""
    where = path[0] if len(path) == 1 and type(path[0]) is str else ".".join(map(str, path))
    return Part(channel=_channel(path, role, text), role=role, where=where, text=text)


def _channel(path: Path, role: str, text: str) -> Channel:
    if path and path[-1] in _ENVELOPE and not any(map(path.__contains__, _TELLING)) and _is_name(path[-1], text):
        return "envelope"  # most are; told without looking at the steps one by one
    names = [step for step in path if isinstance(step, str) and step not in ("*", "(json)", "(name)")]
    last = names[-1] if names else ""
    if "arguments" in names or names[-2:] == ["custom", "input"]:
        return "tool-arguments"
    if last in ("reasoning", "reasoning_content") or "reasoning_details" in names:
        return "reasoning"
    if last in _ENVELOPE and "(name)" not in path and _is_name(last, text):
        return "envelope"
    if names[:1] in (["tools"], ["functions"]):
        return "description"
    if last in ("content", "text", "refusal", "token", "bytes"):
        return "tool-result" if role in ("tool", "function") else "content"
    return "other"


def _is_name(field: str | int, text: str) -> bool:
    """Whether a value of the envelope does name a thing of the protocol, by its letters and not by its place."""
    if text in _WORDS:
        return True
    if field not in _NAMED:
        return False
    return _ID.fullmatch(text) is not None or (field == "model" and _MODEL.fullmatch(text) is not None)


def _strings(body: Any) -> list[tuple[Path, str]]:
    """Every string with its path, in order, without recursion: a body may be nested as deeply as it likes."""
    found: list[tuple[Path, str]] = []
    waiting: list[tuple[Path, Any, int]] = [((), body, 0)]
    while waiting:
        path, value, nested = waiting.pop()
        kind = type(value)
        if kind is str:
            found.append((path, value))
            if nested < _NESTED and (inner := _json_inside(value)) is not None:
                waiting.append(((*path, "(json)"), inner, nested + 1))
        elif kind is dict or isinstance(value, Mapping):  # the plain question first: the other is slow
            head = path[:_DEEP]
            waiting += [
                ((*head, str(name)), value[name], nested)
                for name in reversed(value)
                if type(value[name]) not in _NO_STRINGS
            ]
            found += [((*head, str(name), "(name)"), str(name)) for name in value if name not in _FIELDS]
        elif kind is list or isinstance(value, list | tuple):
            if (text := _bytes_as_text(value)) is not None:
                found.append((path, text))
            else:
                head = path[:_DEEP]
                waiting += [
                    ((*head, at), item, nested)
                    for at, item in reversed(list(enumerate(value)))
                    if type(item) not in _NO_STRINGS
                ]
        elif isinstance(value, str):
            found.append((path, str(value)))
    return found


def _bytes_as_text(value: Sequence[Any]) -> str | None:
    """Text given as the numbers of its bytes, as `logprobs` does."""
    if not value or type(value[0]) is dict or not all(isinstance(item, int) and 0 <= item <= 255 for item in value):
        return None
    return bytes(value).decode("utf-8", "replace")


def _json_inside(text: str) -> Any:
    # A letter comes first nearly always; only what begins with a blank is copied to look behind it.
    first = text[:1] if not text[:1].isspace() else text.lstrip()[:1]
    if first not in ("{", "[", '"'):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
