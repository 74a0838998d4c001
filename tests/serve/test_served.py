"""A case, keys and an upstream put together as `safecase serve` does, and asked over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from safecase.assess import narrow_permit, revoke_permit
from safecase.evidence import Message, Trial, read_envelope
from safecase.measure import EmbeddedJudge
from safecase.models import LocalOptions, Model, Options, Request, Settings, open_model
from safecase.serve import EmbeddedModel, GatewaySetup, Upstream, add_key, grant, place_of
from safecase.testing import StubEndpoint, StubReply

from .gateways import serving
from .permitted import HELPFUL, SAFE_REFUSAL, START, Clock, Permitted, make_permitted, place, safe_answer


def client(token: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})


@dataclass
class Served:
    url: str
    keys: Path
    events: Path

    def key(self, account: str, *, tiers: Sequence[str] = (), **attributes: str) -> str:
        """An API key of an account with these tiers and verified attributes."""
        scopes = frozenset({"chat", "models", "metrics"})
        made = add_key(self.keys, account=account, scopes=scopes, at=START)
        said = {"by": "a person", "why": "a test", "at": START}
        grant(self.keys, account, tiers=frozenset(tiers), attributes=attributes, **said)
        return made.token

    async def ask(self, token: str, content: str = "How do I bake bread?", **body: Any) -> tuple[int, dict[str, Any]]:
        asked = {"model": "stub", "messages": [{"role": "user", "content": content}], **body}
        async with client(token) as session, session.post(f"{self.url}/chat/completions", json=asked) as response:
            return response.status, await response.json()

    async def word(self, token: str) -> str:
        """`served`, or why not."""
        status, body = await self.ask(token)
        return "served" if status == 200 else body["error"]["code"]


@asynccontextmanager
async def served(permitted: Permitted, clock: Clock, upstream: str | Upstream, **changes: Any) -> AsyncIterator[Served]:
    folder = permitted.path.parent / "gateway"
    keys = folder / "keys.json"
    add_key(keys, account="first", at=START)
    way = upstream if isinstance(upstream, Upstream) else Upstream(base_url=upstream, serves="stub")
    at = place(permitted, upstream=way.base_url, **changes)
    events = folder / "events"
    setup = GatewaySetup(place=at, upstream=way, keys=keys, state=folder / "state", events=str(events), now=clock)
    async with setup.open() as running, serving(running.app) as url:
        assert running.fault() is None
        yield Served(url=url, keys=keys, events=events)


async def until(holds, *, within_s: float = 5.0) -> float:
    began = time.monotonic()
    while not await holds():
        assert time.monotonic() - began < within_s, "not in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_a_limited_context_serves_vetted_accounts_and_no_others(permitted, clock):
    async with StubEndpoint(safe_answer) as stub, served(permitted, clock, stub.url) as gateway:
        vetted, plain = gateway.key("acme", tiers=["vetted"]), gateway.key("other")

        await until(lambda: is_word(gateway, vetted, "served"))  # workers see a new key within a second
        assert await gateway.word(plain) == "not-vetted"


async def test_a_controlled_context_serves_the_share_that_was_decided(permitted, clock):
    names = [f"acct-{n}" for n in range(12)]
    expected = [name for name in names if place_of(name, salt="case/controlled") < 0.25]
    async with StubEndpoint(safe_answer) as stub, served(permitted, clock, stub.url, context="controlled") as gateway:
        tokens = {name: gateway.key(name) for name in names}
        await asyncio.sleep(1.1)

        words = {name: await gateway.word(token) for name, token in tokens.items()}

    assert [name for name, word in words.items() if word == "served"] == expected
    assert {word for word in words.values() if word != "served"} == {"outside-share"}
    assert 0 < len(expected) < 12


async def test_an_internal_context_serves_staff(permitted, clock):
    async with StubEndpoint(safe_answer) as stub, served(permitted, clock, stub.url, context="internal") as gateway:
        staff, vetted = gateway.key("us", tiers=["staff"]), gateway.key("acme", tiers=["vetted"])

        await until(lambda: is_word(gateway, staff, "served"))
        assert await gateway.word(vetted) == "not-staff"


async def is_word(gateway: Served, token: str, word: str) -> bool:
    return await gateway.word(token) == word


async def test_a_narrowing_suspends_a_region_while_others_are_served(permitted, clock):
    async with StubEndpoint(safe_answer) as stub, served(permitted, clock, stub.url, context="closed") as gateway:
        here, there = gateway.key("here", region="EU"), gateway.key("there", region="XX")
        await until(lambda: is_word(gateway, there, "served"))

        case, key = permitted.case, permitted.key("watch")
        narrow_permit(case, "closed", key, where={"region": "XX"}, reason="directive 12", now=clock)

        assert await until(lambda: is_word(gateway, there, "suspended")) < 2.0
        assert await gateway.word(here) == "served"


async def test_a_revocation_stops_calls_and_streams_with_its_reason_and_counts_go_on(permitted, clock):
    reply = StubReply(text="word " * 400, pause_s=0.05)
    script = lambda body: reply if body.get("stream") else safe_answer(body)  # noqa: E731
    async with StubEndpoint(script) as stub, served(permitted, clock, stub.url, context="closed") as gateway:
        token = gateway.key("acme")
        await until(lambda: is_word(gateway, token, "served"))
        stream = asyncio.create_task(read_stream(gateway, token))
        await asyncio.sleep(0.5)

        revoke_permit(permitted.case, "closed", permitted.key("one"), reason="seen to leak", now=clock)

        assert await until(lambda: is_word(gateway, token, "permit-revoked")) < 2.0
        status, body = await gateway.ask(token)
        assert (status, body["error"]["message"]) == (503, "Nothing is served now: the permit was revoked.")
        last = await asyncio.wait_for(stream, 5.0)
        assert "permit-revoked" in last
        assert "safecase_serving" in await metrics(gateway, token)
    events = "".join(path.read_text() for path in gateway.events.rglob("*.jsonl"))
    assert '"cut"' in events
    assert '"permit-revoked"' in events


async def read_stream(gateway: Served, token: str) -> str:
    """The last 300 characters of a streamed answer."""
    body = {"model": "stub", "stream": True, "messages": [{"role": "user", "content": "Tell me a long story."}]}
    async with client(token) as session, session.post(f"{gateway.url}/chat/completions", json=body) as response:
        return (await response.text())[-300:]


async def metrics(gateway: Served, token: str) -> str:
    async with client(token) as session, session.get(gateway.url.removesuffix("/v1") + "/metrics") as response:
        assert response.status == 200
        return await response.text()


# --- What was assessed is what is served ------------------------------------------------------------------------------


LAYERED = """\
id: layered
version: '1'
system_prompt: model-spec
layers:
  - {kind: heads, name: asked, stage: input, heads: [harmful-request, jailbreak-prompt]}
  - {kind: heads, name: said, stage: output, heads: [harmful-output]}
  - {kind: terms, name: words, stage: output, terms: [keep a note for next time]}
  - {kind: personal-data, name: addresses}
"""


def mixed_answer(body: dict[str, Any]) -> str:
    """Refuses most of what it is asked, helps with the rest, and now and then gives an address away."""
    kind = len(str(body["messages"][-1]["content"])) % 4
    return (SAFE_REFUSAL if kind else HELPFUL) + (" Write to ada@example.org for more." if kind == 2 else "")


async def through(model: Model, trial: Trial, permitted: Permitted) -> str:
    """The answer to a trial's conversation, as a client of the gateway gets it."""
    generation = permitted.case.spec.generation
    messages = (*trial.turns, Message(role="user", content=trial.prompt))
    settings = Settings(
        max_tokens=generation.max_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        seed=generation.seed,
    )
    return (await model.generate(Request(messages=messages, settings=settings, trace=trial.trial_id))).text


async def differing(permitted: Permitted, url: str, token: str, monkeypatch) -> list[str]:
    """Guarded trials whose text or verdict is another one through the gateway."""
    monkeypatch.setenv("SAFECASE_API_KEY_127_0_0_1", token)
    judge = EmbeddedJudge()
    differ: list[str] = []
    async with open_model(f"openai/stub@{url}") as model:
        for trial in permitted.case.trials.read({"arm": "guarded"}):
            text = await through(model, trial, permitted)
            verdicts = {
                judge.verdict(request=trial.prompt, answer=answer)[0] for answer in (text, trial.response or "")
            }
            if text != trial.response or len(verdicts) != 1:
                differ.append(trial.trial_id)
    return differ


async def test_the_guarded_arm_and_the_gateway_agree_trial_by_trial(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    async with StubEndpoint(mixed_answer) as stub:
        permitted = await make_permitted(
            tmp_path,
            model_name=stub.target(),
            clock=Clock(),
            contexts=("limited",),
            stack=LAYERED,
            attacks=("none", "prefix-injection"),
            at_most=0.98,
        )
        async with served(permitted, clock, stub.url) as gateway:
            token = gateway.key("acme", tiers=["vetted"])
            await until(lambda: is_word(gateway, token, "served"))

            differ = await differing(permitted, gateway.url, token, monkeypatch)

    guarded = list(permitted.case.trials.read({"arm": "guarded"}))
    stopped_by, texts = {trial.withheld_by for trial in guarded}, {trial.response or "" for trial in guarded}

    assert differ == []
    assert len(guarded) == 24
    assert stopped_by == {"asked", "words", None}
    assert any("[removed]" in text for text in texts)


@pytest.mark.slow
@pytest.mark.local_model
async def test_the_embedded_model_answers_through_the_gateway_as_it_was_assessed(tmp_path, clock, monkeypatch):
    """Greedy, one answer at a time: what decodes together changes a little with its neighbours."""
    monkeypatch.setenv("SAFECASE_HOME", str(tmp_path / "home"))
    name, options = "smollm2-135m-instruct", LocalOptions(deterministic=True)
    async with open_model(f"llama-cpp/{name}", options=Options(local=options)) as model:
        permitted = await make_permitted(
            tmp_path,
            model=model,
            clock=Clock(),
            contexts=("limited",),
            stack=LAYERED,
            at_most=1.0,
            max_tokens=16,
            intents=6,
        )
    embedded = EmbeddedModel(name, options=options)
    try:
        upstream = embedded.start(serves="stub")
        async with served(permitted, clock, upstream, weights=embedded.path) as gateway:
            token = gateway.key("acme", tiers=["vetted"])
            await until(lambda: is_word(gateway, token, "served"), within_s=20)

            differ = await differing(permitted, gateway.url, token, monkeypatch)
    finally:
        embedded.close()

    assert differ == []
    assert read_permit(permitted)["identity"]["kind"] == "weights"


def read_permit(permitted: Permitted) -> dict[str, Any]:
    return dict(read_envelope(permitted.path / "permits" / "limited.json").statement().predicate)
