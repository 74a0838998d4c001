"""A stub endpoint for `gateway.py`: answers every chat after a delay, whole or in chunks. Prints its base URL.

Bare asyncio: it has to be much faster than what is measured.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
from collections.abc import Iterator

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_SENTENCE = (
    "The moon pulls the near water more than the far shore, so two bulges follow her round, and every harbour learns "
    "its own delay from depth, shape and season before anybody writes a table. "
)
_WORDS = [word + " " for word in _SENTENCE.split()]
_ANSWERS = 500
_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub"}


def word(at: int) -> str:
    """A word of the answer."""
    return _WORDS[at % len(_WORDS)]


def whole(words: int, number: int = 0) -> bytes:
    """A reply that does not stream; another text for each number."""
    message = {"role": "assistant", "content": "".join(map(word, range(words))) + str(number)}
    body = json.dumps(
        {
            **_HEAD,
            "id": f"chatcmpl-{number:029x}",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 120, "completion_tokens": words, "total_tokens": 120 + words},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def chunked(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event of a stream."""
    event = {**_HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return chunked(b"data: " + json.dumps(event).encode() + b"\n\n")


class Stub(asyncio.Protocol):
    """One connection: counts bytes until a request is whole, answers it later."""

    delay_s = 0.02
    pause_s = 0.02
    words = 64
    replies: Iterator[bytes] = iter(())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end)
            after = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < after:
                return
            body, self.buffer = self.buffer[end:after], self.buffer[after:]
            streams = b'"stream":true' in body
            self.loop.call_later(self.delay_s, self.begin if streams else self.answer)

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)  # type: ignore[attr-defined]  # a stream's transport

    def answer(self) -> None:
        self.write(next(self.replies))

    def begin(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.write(head + chunk({"role": "assistant", "content": ""}))
        self.loop.call_later(self.pause_s, self.go_on, 0)

    def go_on(self, done: int) -> None:
        if done < self.words:
            self.write(chunk({"content": word(done)}))
            self.loop.call_later(self.pause_s, self.go_on, done + 1)
        else:
            self.write(chunk({}, "stop") + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def main(options: argparse.Namespace) -> None:
    """Serve until killed."""
    Stub.delay_s, Stub.pause_s, Stub.words = options.delay_ms / 1e3, options.pause_ms / 1e3, options.words
    Stub.replies = itertools.cycle([whole(options.words, number) for number in range(_ANSWERS)])
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a stub endpoint")
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--pause-ms", type=float, default=20.0)
    parser.add_argument("--words", type=int, default=64)
    asyncio.run(main(parser.parse_args()))
