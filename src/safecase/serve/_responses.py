"""`/v1/responses`: translated to a chat and back, so that there is one path to the model and not two."""

from dataclasses import dataclass, replace
from typing import Any

from safecase.safeguard import Exchange, exchange_of
from safecase.serve._bodies import parsed
from safecase.serve._call import Call
from safecase.serve._chat import ChatRoute
from safecase.serve._guarded import Guarded
from safecase.serve._responses_in import as_chat
from safecase.serve._responses_out import ResponsesDialect


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRoute:
    """Answers requests of the Responses API."""

    guarded: Guarded
    chat: ChatRoute

    async def __call__(self, call: Call) -> None:
        """Answer one call."""
        body = parsed(await call.body(most_bytes=self.chat.limits.body_bytes))
        ask = self.chat.ask(call, as_chat(body))
        dialect = ResponsesDialect(body, call_id=call.id, model=self.chat.serves)
        exchange = with_strings_of(ask.exchange, body)
        await self.guarded.answer(call, replace(ask, exchange=exchange, dialect=dialect, wants_usage=ask.streams))


def with_strings_of(exchange: Exchange, body: dict[str, Any]) -> Exchange:
    """The exchange, and every string of the body that it came from which the translation left out."""
    known = {part.text for part in exchange.asked()}
    further = tuple(part for part in exchange_of(body).parts if part.text not in known)
    return replace(exchange, parts=(*exchange.parts, *further))
