"""`/v1/responses`: translated to a chat and back, so that there is one path to the model and not two."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from safecase.safeguard import Exchange, exchange_of
from safecase.serve._bodies import LONG, parsed
from safecase.serve._call import Call
from safecase.serve._chat import ChatRoute
from safecase.serve._guarded import Ask, Guarded
from safecase.serve._responses_in import as_chat
from safecase.serve._responses_out import ResponsesDialect


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRoute:
    """Answers requests of the Responses API."""

    guarded: Guarded
    chat: ChatRoute

    async def __call__(self, call: Call) -> None:
        """Answer one call."""
        data = await call.body(most_bytes=self.chat.limits.body_bytes)
        ask = self._read(call, data) if len(data) < LONG else await asyncio.to_thread(self._read, call, data)
        await self.guarded.answer(call, ask)

    def _read(self, call: Call, data: bytes) -> Ask:
        body = parsed(data)
        ask = self.chat.ask(call, as_chat(body), is_long=len(data) >= LONG)
        dialect = ResponsesDialect(body, call_id=call.id, model=self.chat.serves)
        exchange = with_strings_of(ask.exchange, body)
        return replace(ask, exchange=exchange, dialect=dialect, wants_usage=ask.streams)


def with_strings_of(exchange: Exchange, body: dict[str, Any]) -> Exchange:
    """The exchange, and every string of the body that it came from which the translation left out."""
    known = {part.text for part in exchange.asked()}
    further = tuple(part for part in exchange_of(body).parts if part.text not in known)
    return replace(exchange, parts=(*exchange.parts, *further))
