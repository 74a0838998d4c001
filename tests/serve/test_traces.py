"""Traces: the standard's names, the caller's trace, and never a word of content."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from safecase.serve import ServeError, Traces, is_traceparent
from tests.serve.events import event, ruling

sdk = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="extra `traces` is missing")

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@pytest.fixture
def exporter():
    return sdk.InMemorySpanExporter()


def traced(exporter, **options) -> Traces:
    return Traces(exporter, **({"sample": 1.0} | options))


def test_a_span_has_the_conventions_attributes_and_no_content(exporter):
    traces = traced(exporter)
    call = event(
        1,
        tokens_in=12,
        tokens_out=34,
        finish_reason="stop",
        streamed=True,
        first_s=0.2,
        rulings=(ruling(),),
        prompt="SECRET PROMPT",
        reply="SECRET REPLY",
    )
    traces.begin().finish(call, request_model="gpt-x", response_model="gpt-x-2026")
    traces.close()
    (span,) = exporter.get_finished_spans()

    assert span.name == "chat gpt-x"
    assert span.kind.name == "SERVER"
    wanted = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "safecase",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.model": "gpt-x-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "http.response.status_code": 200,
        "safecase.outcome": "served",
    }
    assert {name: span.attributes[name] for name in wanted} == wanted
    assert span.events[0].attributes["safecase.layer"] == "input-classifier"
    assert "SECRET" not in span.to_json()


def test_every_name_is_one_of_the_conventions(exporter):
    """Names are spelled here as the conventions' own package has them, and a typo would show nowhere else."""
    known = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    traces = traced(exporter, models={"/v1/chat/completions": "small"})
    traces.observe(event(1, tokens_in=1, tokens_out=2, finish_reason="stop", streamed=True, first_s=0.2))
    traces.close()
    names = {name for name in exporter.get_finished_spans()[0].attributes if name.startswith("gen_ai.")}

    assert len(names) == 9
    assert names <= {value for name, value in vars(known).items() if name.startswith("GEN_AI_")}


def test_a_span_names_the_model_that_was_asked_for_and_not_the_permit_s(exporter):
    traces = traced(exporter, models={"/v1/chat/completions": "small", "/v1/embeddings": "vectors"})
    permitted = "openai/small@http://10.0.0.7:8000/v1"
    traces.observe(event(1, model=permitted))
    traces.observe(event(2, model=permitted, route="/v1/embeddings"))
    traces.observe(event(3, model=permitted, outcome="refused", reason="model-not-found", status=404))
    traces.observe(event(4, model=permitted, outcome="refused", reason="safeguard", status=400))
    traces.close()
    spans = exporter.get_finished_spans()

    assert [span.name for span in spans] == ["chat small", "embeddings vectors", "chat", "chat small"]
    asked = [span.attributes.get("gen_ai.request.model") for span in spans]
    assert asked == ["small", "vectors", None, "small"]
    answered = [span.attributes.get("gen_ai.response.model") for span in spans]
    assert answered == ["small", "vectors", None, None]


def test_what_is_no_call_of_a_model_says_nothing_of_one(exporter):
    traces = traced(exporter, models={"/v1/chat/completions": "small"})
    traces.observe(event(1, route="/v1/models"))
    traces.observe(event(2, route="", outcome="refused", reason="no-route", status=404))
    traces.close()
    spans = exporter.get_finished_spans()

    assert [span.name for span in spans] == ["/v1/models", "call"]
    assert not [name for span in spans for name in span.attributes if name.startswith("gen_ai.")]


def test_a_token_count_of_zero_is_a_count_and_one_not_told_is_absent(exporter):
    traces = traced(exporter)
    traces.begin().finish(event(1, tokens_in=0, tokens_out=None))
    traces.close()
    attributes = exporter.get_finished_spans()[0].attributes

    assert attributes["gen_ai.usage.input_tokens"] == 0
    assert "gen_ai.usage.output_tokens" not in attributes


def test_the_callers_trace_goes_on_to_the_upstream(exporter):
    traces = traced(exporter, sample=0.0)
    call = traces.begin(traceparent=SAMPLED, tracestate="vendor=1")
    headers = call.headers()
    call.finish(event(1))
    traces.close()
    (span,) = exporter.get_finished_spans()

    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    assert headers == {"traceparent": f"00-{TRACE}-{span.context.span_id:016x}-01", "tracestate": "vendor=1"}


def test_a_caller_who_does_not_sample_is_followed(exporter):
    assert traced(exporter).begin(traceparent=UNSAMPLED) is None


def test_callers_who_are_not_trusted_cannot_turn_tracing_on(exporter):
    traces = traced(exporter, sample=0.0, honour=False)

    assert traces.begin(traceparent=SAMPLED) is None


def test_the_share_is_kept(exporter):
    draws = iter([0.009, 0.011] * 50)
    traces = traced(exporter, sample=0.01, draw=lambda: next(draws))

    assert [traces.begin() is not None for _ in range(4)] == [True, False, True, False]
    traces.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\r\nx: y",
    ],
)
def test_a_malformed_header_is_as_good_as_none(exporter, text: str):
    traces = traced(exporter, sample=0.0)

    assert not is_traceparent(text)
    assert traces.begin(traceparent=text) is None


def test_a_call_that_is_over_gets_a_span_of_its_own_time(exporter):
    traces = traced(exporter, sample=0.0)
    traces.observe(event(1, latency_s=0.5, rulings=(ruling(),)), SAMPLED.encode())
    traces.observe(event(2, latency_s=0.5), UNSAMPLED.encode())
    traces.observe(event(3, latency_s=0.5))
    traces.close()
    (span,) = exporter.get_finished_spans()

    assert span.attributes["safecase.event_id"] == event(1).event_id
    assert f"{span.parent.span_id:016x}" == SPAN
    assert span.end_time - span.start_time == 500_000_000
    assert span.start_time == 1_795_255_200_000_000_000
    assert [at.timestamp for at in span.events] == [span.end_time]


def test_a_failed_call_is_an_error(exporter):
    traces = traced(exporter)
    traces.begin().finish(event(1, outcome="failed", reason="upstream-timeout", status=504))
    traces.close()
    (span,) = exporter.get_finished_spans()

    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == "upstream-timeout"


def test_off_is_nothing_at_all():
    assert Traces.open(None) is None


def test_a_share_that_is_none_is_refused(exporter):
    with pytest.raises(ServeError, match="lies in"):
        Traces(exporter, sample=1.5)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP endpoint that remembers what it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_reach_an_otlp_endpoint(collector: tuple[str, list[bytes]]):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    endpoint, bodies = collector
    traces = Traces.open(endpoint, sample=1.0)
    traces.begin().finish(event(1), request_model="small")
    traces.close()

    sent = ExportTraceServiceRequest.FromString(bodies[0])
    (span,) = sent.resource_spans[0].scope_spans[0].spans
    assert span.name == "chat small"
