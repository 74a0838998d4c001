"""Checked chat replies as the Responses API writes them, whole and as typed events."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from safecase.serve._faults import Fault
from safecase.serve._sse import named_event

Body = dict[str, Any]  # JSON

_ECHOED = ("instructions", "metadata", "user", "reasoning", "text")
_FIGURES = ("max_output_tokens", "temperature", "top_p")  # repeated only as numbers: a text there is the client's words
# Of these the client's own words are repeated only beside an answer that was let through.
_QUIET: Mapping[str, Any] = dict.fromkeys(("instructions", "metadata", "user", "reasoning", "text")) | {
    "tools": [],
    "tool_choice": "auto",
}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# Of a chat's delta: what kind of item and event it becomes.
_REASONING = ("reasoning_content", "reasoning")


@dataclass(slots=True, kw_only=True)
class _Open:
    """An item that is being written."""

    kind: str  # "output_text", "refusal" or "reasoning_text"
    item: Body
    texts: list[str] = field(default_factory=list)


class ResponsesDialect:
    """Writes one reply. Text streams as it is let go; calls of functions come whole at the end, as they were checked.

    Args:
        asked: the request, whose settings are repeated in the reply.
        call_id: makes the ids of the reply and its items.
    """

    def __init__(self, asked: Mapping[str, Any], *, call_id: str, model: str) -> None:
        self._id = f"resp_{call_id}"
        self._call_id = call_id
        self._created = int(time.time())
        figures = {name: asked.get(name) for name in _FIGURES}
        self._around: Body = {name: asked.get(name) for name in _ECHOED} | {
            **{name: value if type(value) in (int, float) else None for name, value in figures.items()},
            "model": model,
            "tools": asked.get("tools") or [],
            "tool_choice": asked.get("tool_choice") or "auto",
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "truncation": "disabled",
            "store": False,
            "previous_response_id": None,
            "background": False,
        }
        self._output: list[Body] = []
        self._open: _Open | None = None
        self._calls: dict[int, Body] = {}
        self._finish: str | None = None
        self._usage: Any = None
        self._beside: Body = {}
        self._number = 0

    # -- whole

    def whole(self, reply: Body) -> bytes:
        """A reply that does not stream."""
        choice = reply["choices"][0]
        message = choice["message"]
        self._note(reply)
        self._finish = choice.get("finish_reason")
        for name in _REASONING:
            if isinstance(text := message.get(name), str) and text:
                self._output.append(self._reasoning(text))
                break
        if parts := list(_parts(message)):
            self._output.append(self._message(parts))
        for number, call in enumerate(message.get("tool_calls") or ()):
            self._remember(number, call)
        self._output += self._functions()
        return orjson.dumps(self._response())

    # -- streaming

    def opening(self) -> bytes:
        """The reply begins."""
        about = {**self._response(status="in_progress"), **_QUIET}
        return self._event("response.created", response=about) + self._event("response.in_progress", response=about)

    def events(self, chunks: Sequence[Body]) -> bytes:
        """What the chunks say."""
        return b"".join(event for chunk in chunks for event in self._chunk(chunk))

    def ending(self) -> bytes:
        """The calls of functions, and the reply as a whole."""
        events = [*self._close()]
        for item in self._functions():
            events += self._function_events(item)
        response = self._response()
        return b"".join([*events, self._event(f"response.{response['status']}", response=response)])

    def broken(self, fault: Fault) -> bytes:
        """The reply fails."""
        error = {"code": fault.refusal.reason, "message": fault.refusal.message}
        response = self._response(status="failed") | {"error": error}
        return self._event("response.failed", response=response)

    def _chunk(self, chunk: Body) -> Iterator[bytes]:
        self._note(chunk)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            for name in _REASONING:
                yield from self._write("reasoning_text", delta.get(name))
            yield from self._write("output_text", delta.get("content"))
            yield from self._write("refusal", delta.get("refusal"))
            for call in delta.get("tool_calls") or ():
                self._remember(call.get("index", 0), call)
            self._finish = choice.get("finish_reason") or self._finish

    def _write(self, kind: str, text: Any) -> Iterator[bytes]:
        if not isinstance(text, str) or not text:
            return
        if self._open is None or self._open.kind != kind:
            yield from self._close()
            yield from self._begin(kind)
        assert self._open is not None  # noqa: S101 - it was just begun
        self._open.texts.append(text)
        further: Body = {"logprobs": []} if kind == "output_text" else {}
        yield self._event(f"response.{kind}.delta", **self._place(), delta=text, **further)

    def _begin(self, kind: str) -> Iterator[bytes]:
        item = self._reasoning("") if kind == "reasoning_text" else self._message([])
        item |= {"status": "in_progress", "content": []}
        self._open = _Open(kind=kind, item=item)
        yield self._event("response.output_item.added", output_index=len(self._output), item=item)
        yield self._event("response.content_part.added", **self._place(), part=_part(kind, ""))

    def _close(self) -> Iterator[bytes]:
        """End the item that is being written."""
        if (opened := self._open) is None:
            return
        kind, text = opened.kind, "".join(opened.texts)
        part = _part(kind, text)
        key = "refusal" if kind == "refusal" else "text"
        further: Body = {"logprobs": []} if kind == "output_text" else {}
        yield self._event(f"response.{kind}.done", **self._place(), **{key: text}, **further)
        yield self._event("response.content_part.done", **self._place(), part=part)
        item = {**opened.item, "status": self._item_status(), "content": [part]}
        yield self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._open = None

    def _function_events(self, item: Body) -> Iterator[bytes]:
        at, arguments = len(self._output), item["arguments"]
        place = {"output_index": at, "item_id": item["id"]}
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", output_index=at, item=begun)
        yield self._event("response.function_call_arguments.delta", **place, delta=arguments)
        name = item["name"]
        yield self._event("response.function_call_arguments.done", **place, name=name, arguments=arguments)
        yield self._event("response.output_item.done", output_index=at, item=item)
        self._output.append(item)

    def _place(self) -> Body:
        assert self._open is not None  # noqa: S101 - only asked while an item is being written
        return {"item_id": self._open.item["id"], "output_index": len(self._output), "content_index": 0}

    def _event(self, name: str, /, **fields: Any) -> bytes:
        self._number += 1
        return named_event(name, {"type": name, "sequence_number": self._number - 1, **fields})

    # -- items

    def _message(self, parts: list[Body]) -> Body:
        name = f"msg_{self._call_id}_{len(self._output)}"
        return {"id": name, "type": "message", "role": "assistant", "status": self._item_status(), "content": parts}

    def _reasoning(self, text: str) -> Body:
        name = f"rs_{self._call_id}_{len(self._output)}"
        return {"id": name, "type": "reasoning", "summary": [], "content": [_part("reasoning_text", text)]}

    def _functions(self) -> list[Body]:
        return [
            {
                "id": f"fc_{self._call_id}_{number}",
                "type": "function_call",
                "status": self._item_status(),
                "call_id": call["id"],
                "name": call["name"],
                "arguments": call["arguments"],
            }
            for number, call in sorted(self._calls.items())
        ]

    def _remember(self, number: int, call: Body) -> None:
        function = call.get("function") or {}
        known = self._calls.setdefault(number, {"id": f"call_{self._call_id}_{number}", "name": "", "arguments": ""})
        known["id"] = call.get("id") or known["id"]
        known["name"] += function.get("name") or ""
        known["arguments"] += function.get("arguments") or ""

    # -- around them

    def _note(self, reply: Body) -> None:
        self._usage = reply.get("usage") or self._usage
        self._beside |= {name: reply[name] for name in ("safeguard", "provenance") if name in reply}

    def _item_status(self) -> str:
        return "incomplete" if self._finish in _INCOMPLETE else "completed"

    def _response(self, *, status: str | None = None) -> Body:
        why = _INCOMPLETE.get(self._finish or "") if status is None else None
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status or ("incomplete" if why else "completed"),
            "error": None,
            "incomplete_details": {"reason": why} if why else None,
            "output": list(self._output),
            "usage": _usage(self._usage),
            **self._around,
            **(_QUIET if "safeguard" in self._beside else {}),
            **self._beside,
        }


def _parts(message: Body) -> Iterator[Body]:
    if isinstance(text := message.get("content"), str) and text:
        yield _part("output_text", text)
    if isinstance(text := message.get("refusal"), str) and text:
        yield _part("refusal", text)


def _part(kind: str, text: str) -> Body:
    if kind == "refusal":
        return {"type": kind, "refusal": text}
    if kind == "reasoning_text":
        return {"type": kind, "text": text}
    return {"type": kind, "text": text, "annotations": [], "logprobs": []}


def _usage(usage: Any) -> Body | None:
    """Token counts under their other names; None where the upstream did not count."""
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    asked, said = usage["prompt_tokens"], usage.get("completion_tokens")
    said = said if isinstance(said, int) else 0
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": _detail(usage, "prompt_tokens_details", "cached_tokens")},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": _detail(usage, "completion_tokens_details", "reasoning_tokens")},
        "total_tokens": asked + said,
    }


def _detail(usage: Body, group: str, name: str) -> int:
    details = usage.get(group)
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, int) else 0  # the API has no other way to say "not counted"
