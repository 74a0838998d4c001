"""`safecase serve`: what it says before it serves, when it refuses, and that it serves with several workers."""

import asyncio
import dataclasses
import datetime as dt
import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from safecase import serve
from safecase.assess import (
    begin_successor,
    decide_case,
    open_case,
    revoke_permit,
    run_case,
    sign_decision,
    take_over,
    utc_now,
)
from safecase.cli import main
from safecase.evidence import CallEvent, EventRow, encode_event, load_private_key, read_events
from safecase.monitor import ContentOpener, Seen
from safecase.serve import add_key, grant
from safecase.testing import StubEndpoint

from .permitted import SMALL_STACK, Permitted, make_permitted, safe_answer


@dataclasses.dataclass(frozen=True)
class World:
    permitted: Permitted
    keys: Path
    root: Path
    token: str
    home: Path

    def command(self, upstream: str, *more: str) -> list[str]:
        case, keys = str(self.permitted.path), str(self.keys)
        return ["serve", case, "--context", "limited", "--upstream", upstream, "--keys", keys, *more]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A case with a permit of today, keys of a vetted account, and the roster's root from outside the case."""
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAFECASE_HAZARD_KEY_FILE", str(tmp_path / "home" / "hazard.key"))

    async def make() -> Permitted:
        async with StubEndpoint(safe_answer) as stub:
            return await make_permitted(tmp_path, model_name=stub.target(), clock=utc_now, contexts=("limited",))

    permitted = asyncio.run(make())
    keys, root = tmp_path / "keys.json", tmp_path / "root.pub.pem"
    at = dt.datetime.now(dt.UTC)
    made = add_key(keys, account="acme", at=at)
    grant(keys, "acme", tiers=frozenset({"vetted"}), by="a person", why="a test", at=at)
    root.write_text(load_private_key(permitted.key("root")).public.pem)
    return World(permitted=permitted, keys=keys, root=root, token=made.token, home=tmp_path / "home")


class Upstream:
    """The stub endpoint in a thread's own loop, for commands that run their own."""

    def __enter__(self) -> StubEndpoint:
        import threading

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stub = StubEndpoint(safe_answer)
        return self._do(self._stub.__aenter__())

    def __exit__(self, *_: object) -> None:
        self._do(self._stub.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


@pytest.fixture
def upstream() -> Iterator[StubEndpoint]:
    with Upstream() as stub:
        yield stub


def run(*args: str):
    return CliRunner().invoke(main, list(args))


def test_a_dry_run_says_what_would_be_served_and_on_whose_word(world, upstream):
    plain = run(*world.command(upstream.url, "--dry-run"))
    rooted = run(*world.command(upstream.url, "--root", str(world.root), "--dry-run", "--json"))

    assert plain.exit_code == 0, plain.output
    assert "SELF-CONSISTENT ONLY" in plain.output
    assert "accounts that a person vetted" in plain.output
    assert "nothing is served" in plain.output
    said = json.loads(rooted.stdout)
    assert (said["signatures"], said["admits"], said["serves"]) == ("authentic", "vetted", "stub")
    assert sorted(said["signers"]) == ["one (chief-ai-officer)", "two (director-alignment-risk)"]


def test_models_that_no_permit_is_for_are_named(world, upstream):
    """Their prompts are checked and their pictures marked, but nobody assessed them."""
    flags = ["--embeddings", f"openai/vectors@{upstream.url}", "--images", f"openai/pictures@{upstream.url}"]
    plain = run(*world.command(upstream.url, *flags, "--dry-run"))
    told = run(*world.command(upstream.url, *flags, "--dry-run", "--json"))

    assert "beside     vectors, pictures: behind the same safeguards, in no assessment" in plain.output
    assert json.loads(told.stdout)["unassessed"] == ["vectors", "pictures"]


@pytest.mark.parametrize("stream", ["ev", "no stream"])
def test_no_password_of_the_event_stream_is_printed(world, upstream, stream):
    """A banner ends up in a log, and a log in many hands."""
    flags = ["--events", f"nats://gateway:hunter2@127.0.0.1:9/{stream}", "--dry-run"]
    plain, told = run(*world.command(upstream.url, *flags)), run(*world.command(upstream.url, *flags, "--json"))

    assert "nats://127.0.0.1:9/ev" in plain.output or stream != "ev"
    assert "hunter2" not in plain.output + told.output


def test_each_refusal_has_its_exit_code_and_the_next_step(world, upstream, tmp_path):
    inside = world.permitted.path / "root.pem"
    inside.write_text(world.root.read_text())
    command = world.command(upstream.url, "--dry-run")
    other = ["serve", str(world.permitted.path), "--context", "closed", *command[4:]]
    refusals = [
        (other, 3, "decide permit"),
        ([*command, "--host", "0.0.0.0"], 3, "give --root"),
        ([*command, "--root", str(inside)], 2, "you have from elsewhere"),
        ([*command, "--root", str(tmp_path / "none")], 2, "cannot be read"),
        ([*command, "--head", "0" * 64], 4, "cut short or written anew"),
        (world.command("http://127.0.0.1:9/v1", "--dry-run"), 3, "which model answers"),
        (world.command("embedded", "--dry-run"), 2, "give its URL"),
        (world.command("127.0.0.1:8000", "--dry-run"), 2, "--upstream '127.0.0.1:8000'"),
    ]
    for args, code, words in refusals:
        found = run(*args)
        assert (found.exit_code, words in found.output) == (code, True), (args, found.output)


def test_a_permit_that_names_no_model_is_none(world, upstream):
    path = world.permitted.path / "permits" / "limited.json"
    path.write_bytes((world.permitted.path / "decision.json").read_bytes())

    refused = run(*world.command(upstream.url, "--dry-run"))

    assert (refused.exit_code, "names no model" in refused.output) == (3, True), refused.output


def test_a_shadow_is_named_in_the_banner_and_refused_where_it_cannot_be(world, upstream, tmp_path):
    stack = tmp_path / "trial.yaml"
    stack.write_text(
        "id: trial\nversion: '1'\nlayers:\n  - {name: w, stage: output, kind: terms, terms: [zanziscope]}\n"
    )
    command = world.command(upstream.url, "--dry-run")

    shown = run(*command, "--shadow", str(stack))
    told = run(*command, "--shadow", "default", "--root", str(world.root), "--json")

    assert shown.exit_code == 0, shown.output
    assert f"shadow     {stack}, which only observes" in shown.output
    assert json.loads(told.stdout)["shadow"] == "default"
    for args, words in ((["no-such-stack.yaml"], "no-such-stack.yaml"), ([str(stack), "--durable"], "leave out one")):
        refused = run(*command, "--shadow", *args)
        assert (refused.exit_code, words in refused.output) == (2, True), refused.output


def test_a_revoked_permit_is_refused_before_anything_listens(world, upstream):
    case = str(world.permitted.path)
    key = str(world.permitted.key("watch"))

    revoked = run("decide", "revoke", case, "--context", "limited", "--key", key, "--reason", "leaks", "--json")
    refused = run(*world.command(upstream.url))

    assert revoked.exit_code == 0, revoked.output
    assert refused.exit_code == 3
    assert "leaks" in refused.output
    keys = [arg for name in ("one", "two") for arg in ("--key", str(world.permitted.key(name)))]
    restriction = json.loads(revoked.stdout)["restriction"]
    lifted = run("decide", "lift", case, "--restriction", restriction, *keys, "--reason", "mended")
    assert lifted.exit_code == 0, lifted.output
    assert run(*world.command(upstream.url, "--dry-run")).exit_code == 0


def test_a_narrowing_by_command_stands_in_the_banner(world, upstream):
    case, key = str(world.permitted.path), str(world.permitted.key("one"))
    plain = ["decide", "narrow", case, "--context", "limited", "--key", key, "--reason", "directive 12"]

    assert run(*plain, "--where", "region").exit_code == 2
    assert run(*plain).exit_code == 3
    done = run(*plain, "--where", "region=XX", "--share", "0.5")

    assert done.exit_code == 0, done.output
    shown = run(*world.command(upstream.url, "--dry-run")).output
    assert "narrowed by one (chief-ai-officer)" in shown
    assert "(0.5 of them)" in shown


async def test_two_workers_serve_until_the_permit_is_revoked_and_drain_when_told(world):
    async with StubEndpoint(safe_answer) as stub:
        args = [sys.executable, "-m", "safecase", *world.command(stub.url, "--root", str(world.root))]
        process = subprocess.Popen(  # noqa: ASYNC220 - it is quickly begun, and its loop is its own
            [*args, "--port", "0", "--workers", "2", "--json"], stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            said = json.loads(await asyncio.to_thread(process.stdout.readline))
            assert await ask(said["address"], world.token) == 200

            revoke_permit(world.permitted.case, "limited", world.permitted.key("one"), reason="leaks")
            took_s = await until_refused(said["address"], world.token)
            process.send_signal(signal.SIGTERM)

            assert took_s < 5.0
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.slow
async def test_a_successor_with_other_safeguards_is_taken_over_while_every_request_is_answered(world, tmp_path):
    """Nobody tells the gateway: it goes on under the handover, builds its workers anew, then lets the old ones go."""
    case, answered, is_over = world.permitted.case, [], asyncio.Event()

    async def client(address: str) -> None:
        while not is_over.is_set():
            answered.append(await ask(address, world.token))
            await asyncio.sleep(0.05)

    async with StubEndpoint(safe_answer) as stub:
        args = [sys.executable, "-m", "safecase", *world.command(stub.url, "--root", str(world.root))]
        process = subprocess.Popen(  # noqa: ASYNC220 - it is quickly begun, and its loop is its own
            [*args, "--port", "0", "--workers", "2", "--json"], stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            address = json.loads(await asyncio.to_thread(process.stdout.readline))["address"]
            successor = begin_successor(case, tmp_path / "next", by="one")
            (successor.path / "stack.yaml").write_text(SMALL_STACK.replace("zanzibar protocol", "sourdough"))
            successor = open_case(successor.path)
            await run_case(successor, model_name=stub.target())
            await decide_case(successor)
            for name in ("one", "two"):
                sign_decision(successor, world.permitted.key(name), position="approve", reason="read it")
            clients = [asyncio.create_task(client(address)) for _ in range(3)]
            await asyncio.sleep(1.0)

            await asyncio.to_thread(take_over, case, successor)

            began = time.monotonic()
            while not await withheld(address, world.token, "sourdough"):
                assert time.monotonic() - began < 110.0
            await asyncio.sleep(3.0)
            is_over.set()
            await asyncio.gather(*clients)
            assert set(answered) == {200}
            assert len(answered) > 20
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


async def withheld(address: str, token: str, word: str) -> bool:
    """Whether an answer to five requests with this word was each time withheld: over both workers."""
    said = [await reply_to(address, token, f"How do I bake {word}?") for _ in range(5)]
    return all(status == 200 and body["choices"][0]["finish_reason"] == "content_filter" for status, body in said)


async def ask(address: str, token: str) -> int:
    """Status of an ordinary request."""
    status, _ = await reply_to(address, token, "How do I bake bread?")
    return status


async def reply_to(address: str, token: str, text: str) -> tuple[int, Any]:
    """Status and body, by a connection of its own, so that any worker may answer."""
    body = {"model": "stub", "messages": [{"role": "user", "content": text}]}
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{address}/chat/completions", json=body) as r,
    ):
        return r.status, await r.json()


async def until_refused(address: str, token: str) -> float:
    """Seconds until ten calls in a row are refused, over both workers."""
    began, refused = time.monotonic(), 0
    while refused < 10:
        refused = refused + 1 if await ask(address, token) == 503 else 0
        assert time.monotonic() - began < 10.0
    return time.monotonic() - began


async def test_what_was_flagged_can_be_looked_at_until_its_account_says_reset(world):
    """Through the command alone: kept without personal data, sealed, shown with a trace, then gone for ever."""
    case, folder = str(world.permitted.path), world.home / "events"
    looked = ["monitor", "look", case, "--events", str(folder), "--by", "ana", "--why", "a test", "--json", "--event"]
    async with StubEndpoint(safe_answer) as stub:
        args = [sys.executable, "-m", "safecase", *world.command(stub.url, "--root", str(world.root))]
        process = subprocess.Popen(  # noqa: ASYNC220 - it is quickly begun, and its loop is its own
            [*args, "--port", "0", "--events", str(folder), "--json"], stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            address = json.loads(await asyncio.to_thread(process.stdout.readline))["address"]
            for text in ("What is the zanzibar protocol? I am ada@example.org.", "How do I bake bread?"):
                await tell(address, world.token, text)
            (flagged,) = await written(folder, 2)
            before = await asyncio.to_thread(run, *looked, flagged.event_id)
            read = opened_for_detectors(world, flagged)
            said = await tell(address, world.token, "/reset-ai")
            asked = [str(one.body) for one in stub.asked]
            after = await asyncio.to_thread(run, *looked, flagged.event_id)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    assert (flagged.prompt, flagged.reply) == (None, None)
    assert json.loads(before.stdout)[0]["prompt"] == "What is the zanzibar protocol? I am [email]."
    assert read == "What is the zanzibar protocol? I am [email]."
    assert json.loads(after.stdout)[0]["prompt"] is None
    assert opened_for_detectors(world, flagged) is None
    assert "its key was destroyed" in after.stdout
    entries = list(world.permitted.case.ledger.entries())
    (gone,) = [entry for entry in entries if entry.action == "content-forgotten"]
    assert gone.subject["key"] in said
    looks = [entry for entry in entries if entry.action == "content-read"]
    assert [entry.subject["events"] for entry in looks] == [[flagged.event_id]] * 2
    assert {(entry.actor, entry.subject["purpose"]) for entry in looks} == {("ana", "a test")}
    assert world.permitted.case.ledger.check() == []
    assert not [body for body in asked if "/reset-ai" in body], "the model never sees a command"
    assert [body for body in asked if "bake bread" in body]
    last = _events_in(folder)[-1]
    assert (last.outcome, last.prompt, last.sealed) == ("served", None, None)


async def tell(address: str, token: str, text: str) -> str:
    """The answer's text."""
    body = {"model": "stub", "messages": [{"role": "user", "content": text}]}
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{address}/chat/completions", json=body) as r,
    ):
        return (await r.json())["choices"][0]["message"]["content"]


def opened_for_detectors(world: World, event: CallEvent) -> str | None:
    """The prompt as a monitor's detectors get it."""
    opener = ContentOpener(world.permitted.case, actor="ana", purpose="a test")
    (seen,) = opener([Seen(event=event, prompt=None, reply=None, source="test", offset="0")])
    return seen.prompt


def _events_in(folder: Path) -> list[CallEvent]:
    return [row.event for row in read_events(folder) if isinstance(row, EventRow)]


async def written(folder: Path, count: int) -> list[CallEvent]:
    """The flagged ones, once so many events are there."""
    async with asyncio.timeout(10):
        while len(found := _events_in(folder)) < count:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.05)
    return [one for one in found if one.kept == "flagged"]


def test_a_pattern_of_misuse_becomes_a_proposal_that_a_person_decides(world, tmp_path):
    """Also without content: attempts that safeguards withheld, from one account among others."""
    case, rows = str(world.permitted.path), []
    for number in range(40):
        is_withheld = number % 4 == 0
        event = CallEvent(
            event_id=f"{number:032x}",
            at=f"2026-11-21T12:00:{number:02d}.000000Z",
            account="mallory" if is_withheld else f"other-{number}",
            key_id="k",
            route="/v1/chat/completions",
            permit="",
            context="limited",
            stack_digest="5" * 64,
            model="stub",
            outcome="withheld" if is_withheld else "served",
            status=200,
        )
        rows.append(encode_event(event, worker="w0", seq=number))
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "w0-0.jsonl").write_bytes(b"".join(row + b"\n" for row in rows))

    watched = run("monitor", case, "--events", str(tmp_path / "events"), "--json")
    (waiting,) = json.loads(run("monitor", "proposals", case, "--json").stdout)
    alert = ["--alert", waiting["alert"]["alert_id"]]
    decided = run("monitor", "confirm", case, *alert, "--action", "suspend", "--by", "ana", "--why", "a test")

    assert watched.exit_code == 0, watched.output
    assert (waiting["account"], waiting["action"]) == ("mallory", "limit")
    assert "serve keys revoke" in decided.output
    assert "nothing waits" in run("monitor", "proposals", case).output
    assert run("monitor", "confirm", case, *alert, "--action", "warn", "--by", "ana", "--why", "again").exit_code == 2
    ledger = (world.permitted.path / "ledger.jsonl").read_text()
    assert "misuse-decided" in ledger
    assert "mallory" not in ledger


def test_further_servers_traces_and_retention_travel_to_the_workers(world, upstream, tmp_path):
    """What a worker gets is pickled; what is wrong is told before one starts."""
    from safecase.cli._serve import prepared

    flags = {"embeddings": f"openai/e@{upstream.url}", "images": f"openai/i@{upstream.url}", "image_label": "made"}
    flags |= {
        "traces": "http://127.0.0.1:9/v1/traces",
        "traces_share": 0.5,
        "keep": "sealed",
        "audit": 0.25,
        "content_days": 9,
        "provider": "Example",
        "notice": "de",
    }
    none = dict.fromkeys(["weights", "pepper_file", "root", "head", "events", "image_keys"])
    given = {**none, **flags, "state": tmp_path / "state", "durable": False}
    with prepared(
        world.permitted.path,
        host="127.0.0.1",
        workers=1,
        upstream=upstream.url,
        keys=world.keys,
        context="limited",
        **given,
    ) as (setup, _):
        there = pickle.loads(pickle.dumps(setup))

    images, retention = there.images(), there.retention()
    assert (there.embeddings.serves, images.upstream.serves, images.label.text) == ("e", "i", "made")
    assert (there.marks.provider, there.marks.notice) == ("Example", "de")
    assert (there.traces, there.traces_share) == ("http://127.0.0.1:9/v1/traces", 0.5)
    assert (retention.flagged, retention.audit_p, retention.box is not None) == (True, 0.25, True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--images", "openai/i@http://127.0.0.1:9/v1", "--image-label", ""], "unmarked"),
        (["--embeddings", "llama-cpp/x"], "openai/<model>@<base-url>"),
        (["--audit", "2"], "--audit"),
        (["--keep", "all"], "--keep"),
        (["--notice", "xx"], "no notice in language"),
    ],
)
def test_flags_that_cannot_be_kept_are_told(world, upstream, flags, said):
    done = run(*world.command(upstream.url, *flags, "--dry-run"))

    assert done.exit_code == 2, done.output
    assert said in done.output


def test_what_every_request_gets_travels_too():
    """A token watermark names half the vocabulary by number."""
    adds = {"logit_bias": [(1, 2.0), (3, 2.0)], "top_k": 0}
    way = serve.Upstream(base_url="http://127.0.0.1:9/v1", serves="m", adds=adds)

    assert pickle.loads(pickle.dumps(way)) == way
