"""The page of faults in the documentation, made of what tests assert; `python -m tests.serve.fault_table` writes it."""

from pathlib import Path

from . import test_connections, test_faults, test_faults_within

PAGE = Path(__file__).parents[2] / "docs" / "serve_faults.md"
_HEAD = """\
# serve: faults, and what becomes of a call

Every row is a test in `tests/serve/`, and this page is made from them (`python -m tests.serve.fault_table`). In every
row no unchecked word goes out, what was a call leaves its event or is counted, and the process goes on.
"""
_BESIDE = {
    "an upstream that is not there": ("502 `upstream-unreachable`", "test_an_upstream_that_is_not_there"),
    "an upstream that keeps failing": (
        "503 `upstream-down`, until one call in a while succeeds",
        "test_an_upstream_that_keeps_failing_is_left_alone_and_tried_again",
    ),
    "an upstream that refuses a request in words": (
        "400 with its words where the stack allows them",
        "test_what_an_upstream_says_of_a_bad_request_is_passed_on_where_the_stack_allows_it",
    ),
    "an upstream that says absurdly when to come back": (
        "429 `upstream-busy`",
        "test_a_busy_upstream_cannot_break_the_answer_by_when_to_come_back",
    ),
    "a kept connection that was closed meanwhile": (
        "the answer, by another connection",
        "test_a_connection_that_was_closed_while_idle_is_opened_anew",
    ),
    "a safeguard that raises or hangs": (
        "a safe completion, `safeguard-failed`",
        "test_a_safeguard_that_fails_withholds",
    ),
    "a safeguard whose process is killed": (
        "the same, until it is back",
        "test_a_safeguard_whose_process_is_killed_withholds_until_it_is_back",
    ),
    "safeguards that rule otherwise than on known exchanges": (
        "503 `safeguards-failed`",
        "test_a_stack_that_rules_otherwise_than_it_should_answers_nothing",
    ),
    "an event stream that is down or slow": (
        "the answer; events wait on disk and arrive once",
        "test_calls_go_on_while_events_cannot_be_delivered_and_each_arrives_once",
    ),
    "a full disk": (
        "503 `cannot-record` until there is room; no event is lost",
        "test_a_full_disk_takes_no_calls_and_loses_no_event",
    ),
    "a full disk under the shared counters": (
        "the worker does not start, and says why",
        "test_shared_files_are_reserved_before_anything_is_counted",
    ),
    "metrics or traces that fail": ("the answer; a line in the log", "test_an_observer_that_fails_breaks_no_call"),
    "a broken file of keys": (
        "401 for every key until it is mended",
        "test_no_key_opens_while_their_file_is_broken_and_all_do_again_afterwards",
    ),
    "a permit that falls in mid-stream": (
        "what was checked, an error event with the reason, `[DONE]`",
        "test_a_permit_that_falls_ends_streams_within_a_moment",
    ),
    "a key that is revoked in mid-stream, an account that is suspended": (
        "the same",
        "test_a_stream_ends_soon_after_its_key_is_no_longer_served_and_others_go_on",
    ),
    "a clock that is set back": (
        "what had expired stays so",
        "test_a_clock_set_back_brings_no_expired_permit_back",
    ),
    "a body or a reply that takes long to read": (
        "read in a thread; other calls go on",
        "test_a_long_request_is_read_in_a_thread_and_a_short_one_at_once",
    ),
    "a worker that is killed": (
        "its connections break; `safecase_calls_begun_total` keeps what left no event",
        "test_every_call_that_began_is_counted_though_none_ends",
    ),
    "killed workers' events": (
        "delivered by another worker, gaps known",
        "test_what_a_kill_lost_is_known_to_the_event",
    ),
    "a killed worker's place": ("another is started", "test_a_killed_worker_is_replaced_and_others_serve_meanwhile"),
    "the embedded model's process is killed": (
        "502, 503; started again at its port, with the same weights or not at all",
        "test_a_process_that_is_killed_is_started_again_where_it_was",
    ),
    "a fault in the gateway itself": (
        "500 `internal`, without its words",
        "test_a_fault_of_ours_ends_one_call_without_its_words",
    ),
    "a client that hangs up": (
        "the upstream's answer is broken off",
        "test_a_client_that_hangs_up_ends_its_call_upstream",
    ),
    "a client that reads half a stream": (
        "it is charged for what was generated",
        "test_a_client_that_cuts_its_stream_short_pays_for_what_it_got",
    ),
    "a client that takes nothing of its stream": (
        "ended after 30 s without a byte taken",
        "test_a_client_that_takes_nothing_loses_its_place",
    ),
    "a body that trickles": ("408 `slow-body`", "test_a_body_that_trickles_is_a_408_and_leaves_its_event"),
    "a body that is compressed": ("415 `compressed`", "test_a_compressed_body_is_refused"),
    "a body that is too large": ("413 `too-large`", "test_a_body_may_only_be_so_large"),
    "a body nested deeply": ("400 `bad-request`", "test_deep_bodies_are_answered_or_refused"),
    "a key of JSON that stands twice": (
        "the last counts, for the safeguards and the model",
        "test_a_key_that_stands_twice_is_one_to_the_model_and_to_the_safeguards",
    ),
    "requests sent ahead of their answers": (
        "answered in order, each with its own",
        "test_pipelined_requests_are_answered_in_order_each_with_its_own",
    ),
}


def render() -> str:
    """The page."""
    upstream = [(f"it {name}", f"{status} `{reason}`") for name, (_, status, reason) in test_faults.REPLIES.items()]
    streams = [(f"it {name}", f"`{reason}`") for name, (_, reason) in test_faults.BROKEN.items()]
    odd = [(f"it rules with {name}", "a safe completion, `safeguard-failed`") for name in test_faults_within.NONSENSE]
    heads = [(name, "400, and the connection closed") for name in test_connections.SMUGGLED if "folded" not in name]
    endless = [(f"{name} without end", "431 or 413, and the connection closed") for name in test_connections.ENDLESS]
    silent = [(f"it {name}", "408 after 20 s") for name in test_connections.SLOW]
    tables = [
        _table("The upstream, before or in a whole answer", "the client gets", upstream),
        _table("The upstream, in mid-stream: what was checked, an error event, `[DONE]`", "the error's code", streams),
        _table("A safeguard", "the client gets", odd),
        _table("Requests that two readers could cut differently", "the client gets", heads),
        _table("What has no end", "the client gets", endless),
        _table("A client that never asks", "the client gets", silent),
        _table("Everything else", "what happens", [(fault, told) for fault, (told, _) in _BESIDE.items()]),
    ]
    return "\n".join([_HEAD, *tables]) + _TAIL


_TAIL = """
What this does not cover: a safeguard that blocks the event loop, or swallows its own cancellation, holds up its worker.
What never became a request (a head that does not come) leaves no event. A client that hangs up while a whole answer is
being made is charged for its prompt alone, since nobody has counted the rest.
"""


def proofs() -> list[str]:
    """The tests behind the last table."""
    return [test for _, test in _BESIDE.values()]


def _table(title: str, column: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {fault} | {told} |" for fault, told in rows]
    return "\n".join([f"## {title}", "", f"| fault | {column} |", "|---|---|", *lines, ""])


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
