"""Metrics: what all workers counted, no counter that falls, and labels that nobody outside can multiply."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import parser

from safecase.serve import Account, Metrics, MetricsPage, RecorderStats, WorkerSlot
from tests.serve.events import event, ruling


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[WorkerSlot]:
    claimed = WorkerSlot.claim(tmp_path / "run", most=4)
    yield claimed
    claimed.release()


def stats(**fields: object) -> RecorderStats:
    plain = {"taken": 0, "delivered": 0, "lost": 0, "queued": 0, "spooled_bytes": 0}
    return RecorderStats(**(plain | {"sink_fault": None, "fault": None} | fields))


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Name and label values, in the order of their names, to value."""
    text = metrics.render()[0].decode()
    return {
        (one.name, *(one.labels[name] for name in sorted(one.labels))): one.value
        for family in parser.text_string_to_metric_families(text)
        for one in family.samples
    }


def test_a_call_is_counted_with_its_times_tokens_and_rulings(slot: WorkerSlot):
    metrics = Metrics.open(slot)
    metrics.count(event(1, latency_s=0.3, first_s=0.05, tokens_in=10, tokens_out=20, characters_in=40))
    metrics.count(event(2, outcome="refused", reason="no-key", status=401))
    metrics.count(event(3, outcome="withheld", rulings=(ruling(latency_ms=0.3), ruling("allow", error="TimeoutError"))))
    seen, route = samples(metrics), "/v1/chat/completions"

    assert seen["safecase_calls_total", "served", "", route] == 1
    assert seen["safecase_calls_total", "refused", "no-key", route] == 1
    assert seen["safecase_call_seconds_bucket", "0.25", "served", route] == 0
    assert seen["safecase_call_seconds_bucket", "0.5", "served", route] == 1
    assert seen["safecase_call_seconds_sum", "served", route] == pytest.approx(0.3)
    assert seen["safecase_first_content_seconds_bucket", "0.05", route] == 1  # a bound belongs to its bucket
    assert (seen["safecase_tokens_total", "in"], seen["safecase_tokens_total", "out"]) == (10, 20)
    assert seen["safecase_characters_total", "in"] == 40
    assert seen["safecase_rulings_total", "withhold", "yes", "no", "input-classifier", "input"] == 1
    assert seen["safecase_rulings_total", "allow", "yes", "yes", "input-classifier", "input"] == 1
    assert seen["safecase_layer_seconds_count", "input-classifier"] == 2


def test_any_worker_shows_what_all_counted(slot: WorkerSlot):
    other_slot = WorkerSlot.claim(slot.folder, most=4)
    one, other = Metrics.open(slot), Metrics.open(other_slot)
    one.count(event(1))
    other.count(event(2))
    other.count(event(3, outcome="failed", reason="upstream-timeout"))

    assert samples(one) == samples(other)
    assert samples(one)["safecase_calls_total", "served", "", "/v1/chat/completions"] == 2
    other_slot.release()


def test_counters_outlive_their_worker_and_gauges_do_not(slot: WorkerSlot):
    watcher = Metrics.open(slot)
    dying = WorkerSlot.claim(slot.folder, most=4)
    metrics = Metrics.open(dying)
    metrics.count(event(1))
    metrics.note(recorder=stats(queued=7, taken=5), is_serving=True, is_breaker_open=False)
    assert samples(watcher)["safecase_queue_events", "1"] == 7
    dying.release()

    seen = samples(watcher)
    assert ("safecase_queue_events", "1") not in seen
    assert seen["safecase_events_taken_total",] == 5
    again = WorkerSlot.claim(slot.folder, most=4)
    resumed = Metrics.open(again)
    resumed.count(event(2))
    resumed.note(recorder=stats(taken=2), is_serving=True, is_breaker_open=True)
    seen = samples(watcher)
    assert seen["safecase_calls_total", "served", "", "/v1/chat/completions"] == 2
    assert seen["safecase_events_taken_total",] == 7
    assert (seen["safecase_queue_events", "1"], seen["safecase_breaker_open", "1"]) == (0, 1)
    again.release()


def test_standing_and_recording_show(slot: WorkerSlot):
    metrics = Metrics.open(slot)
    metrics.note(
        recorder=stats(fault="disk full", sink_fault="down", lost=3, spooled_bytes=99),
        is_serving=False,
        is_breaker_open=True,
    )
    seen = samples(metrics)

    names = ("recording", "sink_up", "serving", "breaker_open", "spool_bytes")
    assert [seen[f"safecase_{name}", "0"] for name in names] == [0, 0, 0, 1, 99]
    assert seen["safecase_events_lost_total",] == 3


def test_paths_that_callers_invent_make_no_series(slot: WorkerSlot):
    metrics = Metrics.open(slot)
    for at in range(200):
        metrics.count(event(at, route=f"/v1/{at}", outcome="refused", reason="no-route", first_s=0.1))

    seen = samples(metrics)
    assert seen["safecase_calls_total", "refused", "no-route", "other"] == 200
    assert seen["safecase_first_content_seconds_count", "other"] == 200
    assert not [key for key in seen if "/v1/7" in key]


def test_a_file_without_room_refuses_series_and_says_how_many(slot: WorkerSlot):
    metrics = Metrics.open(slot)
    for at in range(9000):
        metrics.count(event(at, reason=f"reason-{at}"))

    seen = samples(metrics)
    assert seen["safecase_series_refused_total",] > 0
    assert seen["safecase_calls_total", "served", "reason-1", "/v1/chat/completions"] == 1
    assert seen["safecase_call_seconds_count", "served", "/v1/chat/completions"] == 9000


def test_a_half_written_list_goes_on(slot: WorkerSlot):
    """A worker was killed while it wrote what its next number means."""
    Metrics.open(slot).count(event(1))
    with (slot.folder / "metrics-0.keys").open("a") as file:
        file.write('["safecase_calls", ["/v1')
    metrics = Metrics.open(slot)
    metrics.count(event(2))
    metrics.count(event(3, outcome="cut", reason="client-gone"))

    seen = samples(metrics)
    assert seen["safecase_calls_total", "served", "", "/v1/chat/completions"] == 2
    assert seen["safecase_calls_total", "cut", "client-gone", "/v1/chat/completions"] == 1


def test_another_versions_file_begins_anew(slot: WorkerSlot):
    Metrics.open(slot).count(event(1))
    (slot.folder / "metrics-0.keys").write_text('["of another version"]\n')

    assert ("safecase_calls_total", "served", "", "/v1/chat/completions") not in samples(Metrics.open(slot))


def test_openmetrics_where_it_is_asked_for(slot: WorkerSlot):
    body, kind = Metrics.open(slot).render("application/openmetrics-text; version=1.0.0")

    assert body.endswith(b"# EOF\n")
    assert "openmetrics" in kind


# --- The page ---------------------------------------------------------------------------------------------------------


class Keys:
    """Two keys: one may read metrics."""

    def find(self, token: str) -> Account | None:
        scopes = {"reads": frozenset({"metrics"}), "chats": frozenset({"chat"})}
        return Account(id=token, key_id="k", scopes=scopes[token]) if token in scopes else None


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (b"Bearer reads", 200),
        (b"bearer reads", 200),
        (b"Bearer chats", 403),
        (b"Bearer x", 401),
        (b"Basic reads", 401),
        (b"", 401),
    ],
)
async def test_the_page_wants_a_key_with_the_scope(slot: WorkerSlot, authorization: bytes, status: int):
    sent = []

    async def send(message: dict) -> None:
        sent.append(message)

    page = MetricsPage(Metrics.open(slot), keys=Keys())
    await page({"type": "http", "headers": [(b"authorization", authorization)]}, None, send)

    assert sent[0]["status"] == status
    assert (b"safecase_queue_events" in sent[1]["body"]) is (status == 200)


async def test_a_page_of_its_own_is_open_and_fresh(slot: WorkerSlot):
    metrics, sent = Metrics.open(slot), []

    async def send(message: dict) -> None:
        sent.append(message)

    def refresh() -> None:
        metrics.note(recorder=stats(queued=5), is_serving=True, is_breaker_open=False)

    await MetricsPage(metrics, keys=None, refresh=refresh)({"type": "http", "headers": []}, None, send)

    assert b'safecase_queue_events{worker="0"} 5.0' in sent[1]["body"]
