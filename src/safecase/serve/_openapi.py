"""The gateway's description of itself, as OpenAPI 3.1: which routes, what they take, what comes back.

Fields are those that the routes themselves check by, so the description cannot know of others.
"""

from collections.abc import Mapping
from typing import Any

from safecase.serve._chat import FIELDS as CHAT_FIELDS
from safecase.serve._config import Gateway, Limits
from safecase.serve._embeddings import FIELDS as EMBEDDINGS_FIELDS
from safecase.serve._images import FIELDS as IMAGES_FIELDS
from safecase.serve._responses_in import FIELDS as RESPONSES_FIELDS

Body = dict[str, Any]  # JSON

_REFUSALS: Mapping[int, str] = {
    400: "The body is none, or asks for what is not served; code `content_filter`: a safeguard withholds it.",
    401: "No valid API key.",
    403: "The key does not allow it, or the permit does not admit the account.",
    404: "No such model, or nothing at this path.",
    405: "Another method is used here.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "The account's limit is reached, or the model is busy.",
    431: "The headers are too many or too large.",
    502: "The model's server failed, or gave an answer that cannot be passed on.",
    503: "Nothing is served now: no permit, nothing can be recorded, or the model is down.",
    504: "The model gave no answer in time.",
}
"""Every error but 500, which is a fault of the gateway itself."""

_TEXT: Body = {"type": "string"}
_FLAG: Body = {"type": ["boolean", "null"]}
_ANY_OBJECT: Body = {"type": "object"}
_PART: Body = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"enum": ["text", "refusal"]}, "text": _TEXT, "refusal": _TEXT},
}
_CALL: Body = {
    "type": "object",
    "properties": {"id": _TEXT, "type": _TEXT, "function": {"type": "object", "properties": {"name": _TEXT}}},
}
_TURN: Body = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": _TEXT,
        "content": {"anyOf": [_TEXT, {"type": "array", "items": _PART}, {"type": "null"}]},
        "tool_calls": {"type": ["array", "null"], "items": _CALL},
    },
}
_TOOL: Body = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"enum": ["function", "custom"]}, "function": _ANY_OBJECT},
}
_ITEM: Body = {
    "type": "object",
    "required": ["role"],
    "properties": {"type": {"const": "message"}, "role": _TEXT, "content": _TEXT},
}
_ERROR: Body = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {"message": _TEXT, "type": _TEXT, "param": {"type": ["string", "null"]}, "code": _TEXT},
        }
    },
}


def describe_api(gateway: Gateway) -> Body:
    """The description of what a gateway serves."""
    serves, limits = gateway.upstream.serves, gateway.limits
    model = {"schema": {"enum": [upstream.serves for upstream in gateway.upstreams]}}
    named = {"name": "model", "in": "path", "required": True, **model}
    paths: Body = {
        "/v1/chat/completions": {"post": _asked("chat", _chat(serves, limits, gateway.forward), "ChatCompletion")},
        "/v1/responses": {"post": _asked("responses", _responses(serves), "Response")},
        "/v1/models": {"get": _operation("models", _answer("ModelList"))},
        "/v1/models/{model}": {"get": _operation("models", _answer("Model")) | {"parameters": [named]}},
        "/healthz": {"get": {"responses": {"200": _answer("Health"), "503": _answer("Health")}, "security": []}},
        "/readyz": {"get": {"responses": {"200": _answer("Health"), "503": _answer("Health")}, "security": []}},
        "/openapi.json": {"get": {"responses": {"200": _json("This description.", _ANY_OBJECT)}, "security": []}},
    }
    if gateway.embeddings is not None:
        body = _embeddings(gateway.embeddings.serves, limits)
        paths["/v1/embeddings"] = {"post": _asked("embeddings", body, "Embeddings", streams=False)}
    if gateway.images is not None:
        body = _images(gateway.images.upstream.serves, limits)
        paths["/v1/images/generations"] = {"post": _asked("images", body, "Images", streams=False)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "safecase gateway", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**_SCHEMAS, "Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


# --- What is asked ----------------------------------------------------------------------------------------------------


def _body(fields: frozenset[str], shapes: Body, *, required: list[str]) -> Body:
    """An object of these fields alone; those without a shape go to the model's server as they are."""
    properties = {name: shapes.get(name, {}) for name in sorted(fields)}
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _chat(serves: str, limits: Limits, forward: frozenset[str]) -> Body:
    shapes: Body = {
        "model": {"const": serves},
        "messages": {"type": "array", "minItems": 1, "items": _TURN},
        "stream": _FLAG,
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": limits.choices},
        "stream_options": {"type": ["object", "null"], "properties": {"include_usage": _FLAG}},
        "tools": {"type": ["array", "null"], "items": _TOOL},
        "response_format": {"type": ["object", "null"]},
        "modalities": {"enum": [None, ["text"]]},
        "store": {"enum": [None, False]},
    }
    return _body(CHAT_FIELDS | forward, shapes, required=["model", "messages"])


def _responses(serves: str) -> Body:
    shapes: Body = {
        "model": {"const": serves},
        "input": {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": _ITEM}]},
        "instructions": {"type": ["string", "null"]},
        "stream": _FLAG,
        "tools": {"type": ["array", "null"], "items": {"type": "object", "required": ["type", "name"]}},
        "text": {"type": ["object", "null"]},
        "reasoning": {"type": ["object", "null"]},
        "store": {"enum": [None, False]},
        "background": {"enum": [None, False]},
        "truncation": {"enum": [None, "disabled"]},
        "previous_response_id": {"type": "null"},
        "conversation": {"type": "null"},
    }
    return _body(RESPONSES_FIELDS, shapes, required=["model", "input"])


def _embeddings(serves: str, limits: Limits) -> Body:
    text = {"type": "string", "minLength": 1}
    texts = {"type": "array", "minItems": 1, "maxItems": limits.inputs, "items": text}
    shapes: Body = {"model": {"const": serves}, "input": {"anyOf": [text, texts]}}
    return _body(EMBEDDINGS_FIELDS, shapes, required=["model", "input"])


def _images(serves: str, limits: Limits) -> Body:
    shapes: Body = {
        "model": {"const": serves},
        "prompt": {"type": "string", "minLength": 1},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": limits.choices},
        "response_format": {"enum": [None, "b64_json"]},
        "moderation": {"enum": [None, "auto"]},
        "stream": {"enum": [None, False]},
    }
    return _body(IMAGES_FIELDS, shapes, required=["model", "prompt"])


# --- What comes back --------------------------------------------------------------------------------------------------


def _list_of(items: Body) -> Body:
    return {"type": "array", "items": items}


def _object(**properties: Any) -> Body:
    return {"type": "object", "required": sorted(properties), "properties": properties}


_CHOICE = _object(index={"type": "integer"}, message=_ANY_OBJECT, finish_reason={"type": ["string", "null"]})
_MODEL = _object(id=_TEXT, object={"const": "model"}, created={"type": "integer"}, owned_by=_TEXT)
_SCHEMAS: Body = {
    "ChatCompletion": _object(
        id=_TEXT,
        object={"const": "chat.completion"},
        created={"type": "integer"},
        model=_TEXT,
        choices=_list_of(_CHOICE),
    ),
    "Response": _object(
        id=_TEXT,
        object={"const": "response"},
        created_at={"type": "integer"},
        status={"enum": ["completed", "incomplete", "failed"]},
        model=_TEXT,
        output=_list_of(_ANY_OBJECT),
    ),
    "Model": _MODEL,
    "ModelList": _object(object={"const": "list"}, data=_list_of(_MODEL)),
    "Embeddings": _object(object={"const": "list"}, data=_list_of(_ANY_OBJECT), model=_TEXT, usage=_ANY_OBJECT),
    "Images": _object(created={"type": "integer"}, data=_list_of(_object(b64_json=_TEXT))),
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"enum": ["alive", "ready", "unready"]}, "reasons": _list_of(_TEXT)},
    },
}


def _json(about: str, schema: Body) -> Body:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _answer(name: str) -> Body:
    return _json(name, {"$ref": f"#/components/schemas/{name}"})


def _operation(scope: str, answer: Body) -> Body:
    """A route behind a key with this scope, and every error that it may end in."""
    errors = {str(status): _json(about, {"$ref": "#/components/schemas/Error"}) for status, about in _REFUSALS.items()}
    return {"responses": {"200": answer, **errors}, "summary": f"Needs a key that allows `{scope}`."}


def _asked(scope: str, body: Body, answer: str, *, streams: bool = True) -> Body:
    whole = _answer(answer)
    if streams:
        whole["content"]["text/event-stream"] = {"schema": {}}  # the API's chunks or events, one to an event
    request = {"required": True, "content": {"application/json": {"schema": body}}}
    return _operation(scope, whole) | {"requestBody": request}
