"""Calls of systems that safecase does not serve: OpenTelemetry spans, and logs in the shape of OpenAI's API.

    spans   {"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"key": ..., "value": {...}}], ...}]}]}]}
    log     {"request": {"model", "messages" | "input", "user"}, "response": {...}, "at" | "created", "account"}

Content is in a span only where its sender put it there (`gen_ai.input.messages` and `gen_ai.output.messages`, or the
events of older conventions). An id is the span's, or the answer's, or a digest of the line and its place, so a line
that is read again is known again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from safecase.evidence import CallEvent, Outcome, digest_value, format_utc
from safecase.monitor._values import Seen

Json = Mapping[str, Any]

_CHATS = {"chat", "text_completion", "generate_content", "completion"}
_ACCOUNTS = ("enduser.pseudo.id", "enduser.id", "user.id", "gen_ai.request.user")


# --- OpenTelemetry ----------------------------------------------------------------------------------------------------


def calls_of_spans(line: Json, where: str) -> Iterator[Seen]:
    """The calls to models among the spans of one exported batch."""
    for resource in line.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                said = _attributes(span.get("attributes", ()))
                if said.get("gen_ai.operation.name") in _CHATS:
                    yield _of_span(span, said, where)


def _of_span(span: Json, said: Json, where: str) -> Seen:
    events = {event.get("name"): _attributes(event.get("attributes", ())) for event in span.get("events", ())}
    prompt = _last_user(_messages(said.get("gen_ai.input.messages") or said.get("gen_ai.prompt")))
    reply = _texts(_messages(said.get("gen_ai.output.messages") or said.get("gen_ai.completion")))
    prompt = prompt or _text(events.get("gen_ai.user.message", {}).get("content"))
    reply = reply or _choice(events.get("gen_ai.choice", {}))
    failed = span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")
    began, ended = int(span["startTimeUnixNano"]), int(span.get("endTimeUnixNano") or span["startTimeUnixNano"])
    reasons = said.get("gen_ai.response.finish_reasons") or []
    event = CallEvent(
        event_id=f"{span['traceId']}{span['spanId']}",
        at=_of_seconds(began / 1e9),
        account=str(next((said[name] for name in _ACCOUNTS if said.get(name)), "")),
        key_id="",
        route="",
        permit="",
        context="",
        stack_digest="",
        model=str(said.get("gen_ai.response.model") or said.get("gen_ai.request.model") or ""),
        outcome="failed" if failed else _outcome(reasons),
        status=500 if failed else 200,
        characters_in=len(prompt or ""),
        characters_out=len(reply or ""),
        tokens_in=said.get("gen_ai.usage.input_tokens"),
        tokens_out=said.get("gen_ai.usage.output_tokens"),
        finish_reason=reasons[0] if reasons else None,
        latency_s=(ended - began) / 1e9,
    )
    return Seen(event=event, prompt=prompt or None, reply=reply or None, source="spans", offset=where)


def _attributes(rows: Iterable[Json]) -> dict[str, Any]:
    return {row["key"]: _plain(row.get("value", {})) for row in rows}


def _plain(value: Json) -> Any:
    """An OTLP value in JSON: integers come as text."""
    for kind, read in (("stringValue", str), ("boolValue", bool), ("intValue", int), ("doubleValue", float)):
        if kind in value:
            return read(value[kind])
    if "arrayValue" in value:
        return [_plain(one) for one in value["arrayValue"].get("values", ())]
    return _attributes(value["kvlistValue"].get("values", ())) if "kvlistValue" in value else None


def _choice(said: Json) -> str:
    message = said.get("message")
    if isinstance(message, str) and message.startswith("{"):
        message = json.loads(message)
    return _text(message.get("content") if isinstance(message, Mapping) else said.get("content"))


# --- Logs -------------------------------------------------------------------------------------------------------------


def calls_of_log(line: Json, where: str) -> Iterator[Seen]:
    """The call of one line; `{"request": ..., "response": ...}`, or the two merged into one object."""
    request = line.get("request") or line
    response = line.get("response") or line
    messages = request.get("messages") or request.get("input") or request.get("prompt")
    prompt, reply = _last_user(_messages(messages)), _reply(response)
    choices = response.get("choices") or [{}]
    reason = choices[0].get("finish_reason")
    usage = response.get("usage") or {}
    failed = "error" in response or line.get("status", 200) >= 500
    event = CallEvent(
        event_id=str(line.get("id") or response.get("id") or digest_value([where, line])[:32]),
        at=_at(line, response),
        account=str(line.get("account") or request.get("safety_identifier") or request.get("user") or ""),
        key_id="",
        route=str(line.get("route", "")),
        permit="",
        context="",
        stack_digest=str(line.get("stack_digest", "")),
        model=str(response.get("model") or request.get("model") or ""),
        outcome="failed" if failed else _outcome([reason]),
        status=int(line.get("status", 500 if failed else 200)),
        characters_in=len(prompt or ""),
        characters_out=len(reply or ""),
        tokens_in=usage.get("prompt_tokens", usage.get("input_tokens")),
        tokens_out=usage.get("completion_tokens", usage.get("output_tokens")),
        finish_reason=reason,
    )
    if prompt or reply or failed:
        yield Seen(event=event, prompt=prompt or None, reply=reply or None, source="log", offset=where)


def _reply(response: Json) -> str | None:
    if choices := response.get("choices"):
        message = choices[0].get("message") or {}
        return _text(message.get("content")) or message.get("refusal") or choices[0].get("text")
    return _texts(response.get("output") or ())


def _at(line: Json, response: Json) -> str:
    said = line.get("at") or line.get("timestamp") or response.get("created") or response.get("created_at")
    if isinstance(said, int | float):
        return _of_seconds(said)
    at = datetime.fromisoformat(str(said))
    return format_utc(at if at.tzinfo else at.replace(tzinfo=UTC))


# --- Both -------------------------------------------------------------------------------------------------------------


def _of_seconds(seconds: float) -> str:
    return format_utc(datetime.fromtimestamp(seconds, UTC))


def _outcome(reasons: Iterable[str | None]) -> Outcome:
    return "withheld" if "content_filter" in reasons else "served"


def _messages(said: Any) -> list[Json]:
    """Messages in any of the shapes that are about: a list, JSON of one, or a bare text of the user."""
    if isinstance(said, str) and said.lstrip().startswith("["):
        said = json.loads(said)
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    return [one for one in said if isinstance(one, Mapping)] if isinstance(said, list) else []


def _last_user(messages: list[Json]) -> str:
    return next((_text(_content(one)) for one in reversed(messages) if one.get("role", "user") == "user"), "")


def _texts(messages: Iterable[Json]) -> str:
    return "\n".join(text for one in messages if (text := _text(_content(one))))


def _content(message: Json) -> Any:
    return message.get("parts") if "parts" in message else message.get("content")


def _text(content: Any) -> str:
    """The text of a content: bare, or the text parts of a list."""
    if isinstance(content, str):
        return content
    parts = [part for part in content or () if isinstance(part, Mapping)]
    texts = [part.get("text") or part.get("content") for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str))
