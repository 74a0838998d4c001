"""Answers: headers that go with each, JSON, errors in one form, and what a content policy names a text by."""

import base64
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http import HttpProcessingError
from pydantic import BaseModel, ConfigDict, ValidationError

from safecase.web._errors import Refused

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Server": "safecase",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer, whatever it is."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Body(BaseModel):
    """Base of what a program may send as JSON: nothing unknown, nothing converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


BodyT = TypeVar("BodyT", bound=Body)


async def answer(request: web.Request, handler: Handler, *, log: logging.Logger) -> web.StreamResponse:
    """What a handler answers, its faults as errors in one form, and `HEADERS` on all of it. For a middleware.

    Args:
        log: where a bug's traceback goes; whoever asked is told nothing of it.
    """
    try:
        response = await handler(request)
    except Refused as fault:
        response = error_answer(fault.status, fault.code, str(fault), retry_after_s=fault.retry_after_s)
    except web.HTTPRequestEntityTooLarge:
        response = error_answer(413, "too-long", "the request is too large")
    except web.HTTPException as fault:
        response = error_answer(fault.status, "no-such-page", fault.reason)
        if "Allow" in fault.headers:
            response.headers["Allow"] = fault.headers["Allow"]
    except Exception:
        log.exception("a request to %s failed", request.path)
        told = "the server failed on this request; whoever runs it will find it logged"
        response = error_answer(500, "fault", told)
    response.headers.update(HEADERS)
    return response


async def read_json(request: web.Request, kind: type[BodyT]) -> BodyT:
    """The body of a request.

    Raises:
        Refused: it is not of this kind; the message names the field and none of its words.
    """
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the body"
        raise Refused(422, "malformed", f"{where}: {fault['msg']}"[:300]) from None


async def read_form(request: web.Request) -> Mapping[str, str | bytearray | bytes | web.FileField]:
    """The fields of a small form, files among them.

    Raises:
        Refused: it is broken; what a browser sends is not.
    """
    try:
        return await request.post()
    except (ValueError, LookupError, AssertionError, HttpProcessingError) as fault:
        raise Refused(400, "form", "the form is broken; send it again") from fault


def json_answer(value: Any, *, status: int = 200) -> web.Response:
    """A JSON document as an answer."""
    return web.Response(body=json.dumps(value).encode(), status=status, content_type="application/json")


def error_answer(status: int, code: str, message: str, *, retry_after_s: float | None = None) -> web.Response:
    """`{"error": {"code", "message", "retry_after_s"?}}`, with the headers that belong to it."""
    error: dict[str, Any] = {"code": code, "message": message}
    if retry_after_s is not None:
        error["retry_after_s"] = math.ceil(retry_after_s)
    response = json_answer({"error": error}, status=status)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(retry_after_s))
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def source_of(text: str) -> str:
    """A style or script as a content policy names it, so that none but this one takes effect.

    >>> source_of("p { margin: 0 }")
    "'sha256-7IWhgxoOGTB5NQzjGk9OPt0FwhVeBvZGoWgF9xLLh8c='"
    """
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
