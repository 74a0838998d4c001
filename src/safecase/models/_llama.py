"""A model in this process: llama.cpp through xllamacpp."""

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from safecase.evidence import Identity, digest_file
from safecase.models._errors import EndpointError, EndpointTimeout, PlatformFailed
from safecase.models._llama_server import ask_server, await_loop, find_weights, load_server, sampling_fields, token_bias
from safecase.models._options import LocalOptions
from safecase.models._values import Answer, Delta, Request, must_ask_without_tools
from safecase.models._whole import gather_answer


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
        self._path = find_weights(name)
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
        self._has_begun = False  # llama.cpp's loop, known by a token that came

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
        must_ask_without_tools(request, name=self.name)
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
                self._has_begun = True
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
        ask = partial(
            ask_server, server, "/tokenize", asked, port_key=self._port_key, timeout_s=self._options.timeout_s
        )
        return tuple((await asyncio.to_thread(ask))["tokens"])

    async def aclose(self) -> None:
        """Stop what is being answered; let go of threads and weights."""
        self._closing.set()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        server, self._server = self._server, None
        if server is not None and not self._has_begun:
            await asyncio.to_thread(await_loop, server)

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
                server = await asyncio.to_thread(
                    load_server, self._path, slots=self.concurrency, options=options, port_key=port_key
                )
                self._must_be_unchanged()
                self._bias = await asyncio.to_thread(token_bias, server, options=options, port_key=port_key)
                self._server = server
            return self._server

    def _body(self, request: Request) -> dict[str, Any]:
        settings = request.settings
        body: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            **sampling_fields(self._options),
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


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written or replaced."""
    try:
        seen = path.stat()
    except OSError as error:
        raise PlatformFailed(f"{path}: cannot be read any more ({error.strerror}); put it back") from None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns
