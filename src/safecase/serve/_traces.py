"""OpenTelemetry spans of calls, with the semantic conventions for generative AI. No content is ever put on a span.

Source of the names: OpenTelemetry semantic conventions for generative AI, as last published with 1.44 (a repository of
their own since), spans. Of the header: W3C Trace Context, 3.2.
"""

import random
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from safecase.evidence import CallEvent, parse_utc
from safecase.serve._errors import ServeError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_MOST_NAME = 200
_NOTHING: tuple[object, ...] = (None, "", [])  # a count of zero is a count
_OTHER_MODEL = frozenset({"model-not-found"})  # reasons of calls that asked for a model that is not served
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/images/generations": "generate_content",
}


class CallSpan:
    """One call that is traced; end it with `finish`, whatever became of the call."""

    def __init__(self, span: Any, tracestate: str, *, provider: str) -> None:
        self._span = span
        self._tracestate = tracestate
        self._provider = provider

    def headers(self) -> dict[str, str]:
        """What the upstream is to be sent, so that its spans lie under this one."""
        at = self._span.get_span_context()
        headers = {"traceparent": f"00-{at.trace_id:032x}-{at.span_id:016x}-{int(at.trace_flags):02x}"}
        return headers | {"tracestate": self._tracestate} if self._tracestate else headers

    def finish(
        self, event: CallEvent, *, request_model: str = "", response_model: str = "", ended: int | None = None
    ) -> None:
        """End the span with what the event says of the call.

        Args:
            request_model: as the caller named it; "" where that is not known.
            response_model: as the upstream named it.
            ended: nanoseconds since the epoch; None for now.
        """
        from opentelemetry.trace import StatusCode

        span, operation = self._span, _OPERATIONS.get(event.route, "")
        model = request_model[:_MOST_NAME]
        span.update_name(f"{operation} {model}".rstrip() if operation else event.route or "call")
        told = _attributes(event)
        if operation:
            told |= {"gen_ai.provider.name": self._provider} | _of_model(event, operation, model, response_model)
        span.set_attributes({name: value for name, value in told.items() if value not in _NOTHING})
        span.set_attribute("http.response.status_code", event.status)
        for ruling in event.rulings:
            named = {"layer": ruling.layer, "stage": ruling.stage, "action": ruling.action, "enforced": ruling.enforced}
            took = {"latency_ms": ruling.latency_ms, "is_error": ruling.error is not None}
            said = {f"safecase.{key}": value for key, value in (named | took).items()}
            span.add_event("safecase.ruling", said, timestamp=ended)
        if event.outcome in ("failed", "cut"):
            span.set_status(StatusCode.ERROR, event.reason)
            span.set_attribute("error.type", event.reason or event.outcome)
        span.end(ended)


class Traces:
    """Begins spans for some of the calls. Where tracing is off there is no `Traces` at all, and it costs nothing.

    Args:
        exporter: gets the spans, in a thread of its own.
        sample: share of calls that are traced, of those whose caller does not say.
        honour: follow what a caller's `traceparent` says about sampling. Off where callers are not trusted: they could
            have every call traced.
        service: `service.name`; provider: `gen_ai.provider.name`.
        models: by route, the one model that callers can ask for there, for spans of calls that are over.
        draw: uniform in [0, 1).
    """

    def __init__(
        self,
        exporter: "SpanExporter",
        *,
        sample: float = 0.01,
        honour: bool = True,
        service: str = "safecase-gateway",
        provider: str = "safecase",
        models: Mapping[str, str] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if not 0.0 <= sample <= 1.0:
            raise ServeError(f"sample is {sample!r}; the share of calls that are traced lies in [0, 1]")
        self._sample, self._honour, self._named, self._draw = sample, honour, provider, draw
        self._models = models or {}
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("safecase.serve")

    @classmethod
    def open(cls, endpoint: str | None, **options: Any) -> "Traces | None":
        """Send spans to an OTLP/HTTP endpoint, such as "http://127.0.0.1:4318/v1/traces"; None for no tracing.

        Raises:
            ServeError: the packages of the extra `traces` are not installed, or an option is out of range.
        """
        if endpoint is None:
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            raise ServeError('tracing needs more packages; `pip install "safecase[traces]"`') from None
        return cls(OTLPSpanExporter(endpoint=endpoint), **options)

    def begin(self, *, traceparent: str | None = None, tracestate: str = "") -> CallSpan | None:
        """A span for a call, None for one that is not traced.

        Args:
            traceparent, tracestate: the caller's headers. One that is malformed is as good as none.
        """
        parent = _parent(traceparent) if traceparent else None
        if not self._is_drawn(parent):
            return None
        state = tracestate if parent is not None else ""
        return CallSpan(self._started(parent, None), state, provider=self._named)

    def observe(self, event: CallEvent, traceparent: bytes = b"") -> None:
        """Trace a call that is over, with the times its event tells; the upstream's spans then lie beside it.

        Args:
            traceparent: the caller's header, b"" for none.
        """
        parent = _parent(traceparent.decode("latin-1")) if traceparent else None
        if self._is_drawn(parent):
            began = int(parse_utc(event.at).timestamp() * 1e9)
            model = self._models.get(event.route, "") if event.reason not in _OTHER_MODEL else ""
            ended = began + int(event.latency_s * 1e9)
            answered = model if event.outcome == "served" else ""
            CallSpan(self._started(parent, began), "", provider=self._named).finish(
                event, request_model=model, response_model=answered, ended=ended
            )

    def _is_drawn(self, parent: tuple[int, int, int] | None) -> bool:
        if parent is not None and self._honour:
            return bool(parent[2] & _SAMPLED)
        return self._draw() < self._sample

    def close(self) -> None:
        """Send what is left; waits for the exporter, so call it in a thread."""
        self._provider.shutdown()

    def _started(self, parent: tuple[int, int, int] | None, began: int | None) -> Any:
        from opentelemetry.context import Context
        from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

        context = Context()
        if parent is not None:
            at = SpanContext(trace_id=parent[0], span_id=parent[1], is_remote=True, trace_flags=TraceFlags(_SAMPLED))
            context = set_span_in_context(NonRecordingSpan(at), context)
        return self._tracer.start_span("call", context=context, kind=SpanKind.SERVER, start_time=began)


def is_traceparent(text: str) -> bool:
    """Whether a header is one that may be sent on.

    >>> is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    True
    """
    return _parent(text) is not None


def _parent(text: str) -> tuple[int, int, int] | None:
    """Trace id, span id and flags of a `traceparent`, None where it is none."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    trace, span, flags = (int(match[at], 16) for at in (2, 3, 4))
    return (trace, span, flags) if trace and span else None


def _attributes(event: CallEvent) -> dict[str, Any]:
    return {
        "url.path": event.route,
        "safecase.event_id": event.event_id,
        "safecase.outcome": event.outcome,
        "safecase.reason": event.reason,
        "safecase.withheld_by": event.withheld_by,
        "safecase.permit": event.permit,
        "safecase.stack_digest": event.stack_digest,
    }


def _of_model(event: CallEvent, operation: str, asked: str, answered: str) -> dict[str, Any]:
    """What a call of a model says; a listing of models or a call to nowhere is none."""
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": asked,
        "gen_ai.request.stream": event.streamed,
        "gen_ai.response.model": answered[:_MOST_NAME],
        "gen_ai.response.finish_reasons": [event.finish_reason] if event.finish_reason else [],
        "gen_ai.response.time_to_first_chunk": event.first_s if event.streamed else None,
        "gen_ai.usage.input_tokens": event.tokens_in,
        "gen_ai.usage.output_tokens": event.tokens_out,
    }
