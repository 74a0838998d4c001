"""`/v1/embeddings`: the texts are checked, the vectors passed through."""

import asyncio
import base64
import binascii
from dataclasses import dataclass
from typing import Any

import orjson

from safecase.safeguard import Exchange, exchange_of
from safecase.serve._bodies import LONG, must_know, must_name, parsed
from safecase.serve._call import Call
from safecase.serve._config import Limits
from safecase.serve._faults import Fault, bad_request, failed
from safecase.serve._guarded import Guarded
from safecase.serve._upstream import Client, UpstreamRefused

FIELDS = frozenset({"model", "input", "dimensions", "encoding_format", "user"})
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsRoute:
    """Turns texts into vectors."""

    guarded: Guarded
    client: Client
    limits: Limits

    async def __call__(self, call: Call) -> None:
        """Answer one call.

        Raises:
            Fault: it cannot be answered; a text that a safeguard withholds has no safe vector, so it is an error.
        """
        data = await call.body(most_bytes=self.limits.body_bytes)
        read = self._read(call, data) if len(data) < LONG else await asyncio.to_thread(self._read, call, data)
        body, texts, asked = read
        if await self.guarded.rules(call, asked) is not None:
            raise withheld_error()
        body["model"] = self.client.upstream.name
        try:
            response = await self.client.post("/embeddings", orjson.dumps(body), call.flight)
        except UpstreamRefused as refusal:
            raise await self.guarded.as_fault(refusal, asked) from None
        self.guarded.note(asked)
        vectors = await self.client.read(response, call.flight)
        if len(vectors) < LONG:
            reply = _vectors(vectors, texts=texts)
        else:
            reply = await asyncio.to_thread(_vectors, vectors, texts=texts)
        reply["model"] = self.client.upstream.serves
        usage = reply["usage"]
        call.tokens_in = usage.get("prompt_tokens")
        await call.answer(orjson.dumps(reply))

    def _read(self, call: Call, data: bytes) -> tuple[dict[str, Any], int, Exchange]:
        """The body, how many texts it has, and every string of it."""
        body = parsed(data)
        must_know(body, FIELDS)
        must_name(body, self.client.upstream.serves)
        texts = _texts(body.get("input"), most=self.limits.inputs)
        call.characters_in = sum(map(len, texts))
        call.prompt = "\n".join(texts)
        asked = exchange_of(
            {**body, "input": None, "messages": [{"role": "user", "content": text} for text in texts]},
            account=call.account.id if call.account else "",
            tiers=call.account.tiers if call.account else frozenset(),
            attributes=call.account.attributes if call.account else None,
            is_long=len(data) >= LONG,
        )
        return body, len(texts), asked


def withheld_error() -> Fault:
    """What a client gets where no safe completion can stand in for an answer."""
    return Fault(bad_request("a safeguard withholds this request", reason="content_filter").refusal, outcome="withheld")


def _texts(given: Any, *, most: int) -> list[str]:
    """The texts. Lists of token ids are refused: without the model's vocabulary no one can read them."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise bad_request("input must be a text or a list of texts; token ids cannot be checked", param="input")
    if len(texts) > most:
        raise bad_request(f"input holds {len(texts)} texts; send at most {most}", param="input")
    return texts


def _vectors(data: bytes, *, texts: int) -> dict[str, Any]:
    """The upstream's answer, of which only numbers are kept: a text hidden in it would be unchecked."""
    try:
        reply = orjson.loads(data)
        found = [
            {"object": "embedding", "index": int(one["index"]), "embedding": _vector(one["embedding"])}
            for one in reply["data"]
        ]
        counted = reply.get("usage")
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise failed(502, "upstream-malformed", "the model's answer is not as the API has it") from None
    if len(found) != texts:
        raise failed(502, "upstream-malformed", "the model gave another number of vectors than there are texts")
    told = counted if isinstance(counted, dict) else {}
    usage = {name: told[name] for name in ("prompt_tokens", "total_tokens") if _is_count(told.get(name))}
    return {"object": "list", "data": found, "usage": usage}


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _vector(value: Any) -> Any:
    if isinstance(value, str):
        try:
            size = len(base64.b64decode(value, validate=True))
        except binascii.Error:
            raise ValueError("no base64") from None
        if size % _FLOAT_BYTES:
            raise ValueError("no floats")
        return value
    if not isinstance(value, list) or not all(isinstance(number, int | float) for number in value):
        raise ValueError("no vector")
    return value
