"""`/v1/chat/completions`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from safecase.evidence import quick_maker
from safecase.safeguard import exchange_of
from safecase.serve._bodies import (
    LONG,
    boolean,
    last_of_user,
    must_be_tools,
    must_be_turns,
    must_know,
    must_name,
    parsed,
    whole_number,
)
from safecase.serve._call import Call
from safecase.serve._config import Limits
from safecase.serve._faults import Fault, bad_request, error_json
from safecase.serve._guarded import Ask, Body, Guarded
from safecase.serve._sse import DONE, event

FIELDS = frozenset(
    "model messages frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens "
    "metadata modalities n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_retention "
    "reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options temperature "
    "tool_choice tools top_logprobs top_p user verbosity top_k min_p repetition_penalty".split()
)
"""What is passed on. Not here: `audio`, which no one reads, and `web_search_options`, whose results nobody sees."""


class ChatDialect:
    """Checked replies as they are."""

    def whole(self, reply: Body) -> bytes:
        """A reply that does not stream."""
        return orjson.dumps(reply)

    def opening(self) -> bytes:
        """Nothing: the first chunk opens the stream."""
        return b""

    def events(self, chunks: Sequence[Body]) -> bytes:
        """An event for each chunk."""
        return b"".join(map(event, chunks))

    def ending(self) -> bytes:
        """The last event."""
        return DONE

    def broken(self, fault: Fault) -> bytes:
        """An error, and the last event."""
        return b"data: " + error_json(fault) + b"\n\n" + DONE


CHAT = ChatDialect()
_ask = quick_maker(Ask)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRoute:
    """Answers chats.

    Attributes:
        serves: the model's name for clients.
        forward: names of further fields that the upstream gets.
        modalities: types of content parts, beside text, that the stack reads.
    """

    guarded: Guarded
    serves: str
    limits: Limits
    forward: frozenset[str]
    modalities: frozenset[str]

    async def __call__(self, call: Call) -> None:
        """Answer one call."""
        data = await call.body(most_bytes=self.limits.body_bytes)
        ask = self._read(call, data) if len(data) < LONG else await asyncio.to_thread(self._read, call, data)
        await self.guarded.answer(call, ask)

    def _read(self, call: Call, data: bytes) -> Ask:
        return self.ask(call, parsed(data), is_long=len(data) >= LONG)

    def ask(self, call: Call, body: Body, *, is_long: bool = False) -> Ask:
        """A body that was found to be in order.

        Args:
            is_long: as the exchange has it.

        Raises:
            Fault: it is not.
        """
        must_know(body, FIELDS | self.forward if self.forward else FIELDS)
        must_name(body, self.serves)
        turns = body.get("messages")
        call.characters_in = must_be_turns(turns, modalities=self.modalities)
        call.tools = must_be_tools(body)
        streams = boolean(body, "stream")
        whole_number(body, "n", most=self.limits.choices)
        if body.get("modalities") not in (None, ["text"]):
            raise bad_request('modalities may only be ["text"]', param="modalities")
        call.prompt = last_of_user(turns or ())
        account = call.account
        exchange = (
            exchange_of(body, account=account.id, tiers=account.tiers, attributes=account.attributes, is_long=is_long)
            if account
            else exchange_of(body, is_long=is_long)
        )
        return _ask(
            exchange=exchange,
            body=body,
            dialect=CHAT,
            streams=streams,
            wants_usage=streams and _wants_usage(body),
            is_prose=_is_prose(body),
        )


def _wants_usage(body: Body) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if type(options) is not dict:
        raise bad_request("stream_options must be an object", param="stream_options")
    return boolean(options, "include_usage")


def _is_prose(body: Body) -> bool:
    wanted: Any = body.get("response_format")
    if wanted is None:
        return True
    if type(wanted) is not dict:
        raise bad_request("response_format must be an object", param="response_format")
    return wanted.get("type") == "text"
