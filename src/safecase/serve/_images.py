"""`/v1/images/generations`: the prompt is checked, and no picture goes out without its marks."""

import asyncio
import base64
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
from yarl import URL

from safecase.mark import MarkError, Marking, mark_picture
from safecase.models import must_be_reachable
from safecase.safeguard import Exchange, exchange_of, reply_of
from safecase.serve._bodies import LONG, must_know, must_name, parsed, whole_number
from safecase.serve._call import JSON, Call
from safecase.serve._config import Images, Limits
from safecase.serve._embeddings import withheld_error
from safecase.serve._faults import Fault, bad_request, failed
from safecase.serve._guarded import Guarded
from safecase.serve._marks import Marker
from safecase.serve._upstream import Client, UpstreamRefused

FIELDS = frozenset(
    "model prompt n size quality style response_format background moderation output_compression output_format user "
    "stream partial_images".split()
)
_KEPT = ("background", "output_format", "quality")  # of an answer, where they hold one of these words
_WORDS = frozenset("auto transparent opaque png jpeg webp low medium high standard hd".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesRoute:
    """Makes pictures."""

    guarded: Guarded
    client: Client
    marker: Marker
    images: Images
    provider: str
    limits: Limits

    async def __call__(self, call: Call) -> None:
        """Answer one call.

        Raises:
            Fault: it cannot be answered, or the prompt is withheld, or a picture cannot be marked.
        """
        data = await call.body(most_bytes=self.limits.body_bytes)
        read = self._read(call, data) if len(data) < LONG else await asyncio.to_thread(self._read, call, data)
        body, asked = read
        if await self.guarded.rules(call, asked) is not None:
            raise withheld_error()
        body["model"] = self.client.upstream.name
        try:
            response = await self.client.post("/images/generations", orjson.dumps(body), call.flight)
        except UpstreamRefused as refusal:
            raise await self.guarded.as_fault(refusal, asked) from None
        reply = _parsed(await self.client.read(response, call.flight))
        await self._check_words(call, reply, asked)
        pictures = [await self._picture(call, one) for one in reply["data"]]
        self.guarded.note(asked)
        about = self.marker.block([picture["b64_json"] for picture in pictures])
        answer = {**_kept(reply), "data": pictures, "provenance": about}
        await call.answer(orjson.dumps(answer), headers=(JSON, *self.marker.headers()))

    def _read(self, call: Call, data: bytes) -> tuple[dict[str, Any], Exchange]:
        """The body, and every string of it."""
        body = parsed(data)
        prompt = self._must_be_in_order(body)
        call.characters_in, call.prompt = len(prompt), prompt
        asked = exchange_of(
            {**body, "prompt": None, "messages": [{"role": "user", "content": prompt}]},
            account=call.account.id if call.account else "",
            tiers=call.account.tiers if call.account else frozenset(),
            attributes=call.account.attributes if call.account else None,
            is_long=len(data) >= LONG,
        )
        return body, asked

    def _must_be_in_order(self, body: dict[str, Any]) -> str:
        must_know(body, FIELDS)
        must_name(body, self.client.upstream.serves)
        whole_number(body, "n", most=self.limits.choices)
        prompt = body.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise bad_request("prompt must be a text", param="prompt")
        if body.get("stream") or body.get("partial_images"):
            raise bad_request("pictures are not streamed: half a picture cannot be marked", param="stream")
        if body.get("response_format") not in (None, "b64_json"):
            raise bad_request(
                "pictures are only given as b64_json, with their marks; ask for that", param="response_format"
            )
        return prompt

    async def _check_words(self, call: Call, reply: dict[str, Any], asked: Exchange) -> None:
        """Rule on the prompts that the upstream wrote anew."""
        words = [said for one in reply["data"] if isinstance(said := one.get("revised_prompt"), str)]
        choices = [{"message": {"content": said}} for said in words]
        for exchange in reply_of({"choices": choices}, asked=asked) if choices else ():
            if await self.guarded.rules_out(call, exchange):
                raise withheld_error()

    async def _picture(self, call: Call, one: dict[str, Any]) -> dict[str, Any]:
        data = await self._bytes(one)
        marking = Marking(
            model=self.client.upstream.serves,
            provider=self.provider,
            created=datetime.now(UTC),
            label=self.images.label,
            watermark=self.images.watermark,
            signer=self.images.signer,
        )
        try:
            # A watermark takes a good part of a second of one core: other calls go on meanwhile.
            made = await asyncio.to_thread(mark_picture, data, marking, name=call.id)
        except MarkError:
            raise failed(502, "unmarkable", "the model's picture could not be marked, so it is not given out") from None
        answer: dict[str, Any] = {"b64_json": base64.b64encode(made.data).decode(), "marks": list(made.marks)}
        if isinstance(said := one.get("revised_prompt"), str):
            answer["revised_prompt"] = said
        return answer

    async def _bytes(self, one: dict[str, Any]) -> bytes:
        encoded, address = one.get("b64_json"), one.get("url")
        if isinstance(encoded, str):
            try:
                return base64.b64decode(encoded, validate=True)
            except ValueError:  # `binascii.Error` is one, and letters beyond ASCII raise a plain one
                raise _malformed() from None
        if isinstance(address, str):
            return await self._fetched(address)
        raise _malformed()

    async def _fetched(self, address: str) -> bytes:
        """A picture from one of the hosts that are named for it. No redirect is followed: it may lead anywhere."""
        try:
            url = URL(address)
        except ValueError:
            raise _malformed() from None
        if not self.images.fetch & {url.host or "", f"{url.host}:{url.port}"} or url.scheme not in ("https", "http"):
            raise failed(502, "picture-by-address", "the model's server gives pictures by addresses not to be fetched")
        must_be_reachable(url, name="picture")
        try:
            return await self.client.fetch(url, most_bytes=self.images.most_bytes)
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise failed(502, "upstream-broke", "the model's picture could not be fetched") from None


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise _malformed() from None
    if not isinstance(reply, dict) or not isinstance(pictures := reply.get("data"), list) or not pictures:
        raise _malformed()
    if not all(isinstance(one, dict) for one in pictures):
        raise _malformed()
    return reply


def _kept(reply: dict[str, Any]) -> dict[str, Any]:
    """What an answer says around its pictures, as far as it is known words and figures."""
    kept = {name: word for name in _KEPT if isinstance(word := reply.get(name), str) and word in _WORDS}
    if _is_size(reply):
        kept["size"] = reply["size"]
    created = reply.get("created")
    return {"created": created if type(created) is int else int(time.time()), **kept}


def _is_size(reply: dict[str, Any]) -> bool:
    size = reply.get("size")
    width, _, height = size.partition("x") if isinstance(size, str) else ("", "", "")
    return size is not None and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()


def _malformed() -> Fault:
    return failed(502, "upstream-malformed", "the model's answer is not as the API has it")
