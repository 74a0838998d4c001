"""An OpenAI-compatible endpoint for load: answers after 50 ms, in a process of its own, cheaply.

    python benchmarks/_stub.py [delay_ms]      prints its base URL on the first line, serves until killed

`GET /stats` says how many were served since the last time it was asked, and for how long (first request to last
answer).

A raw protocol, since a web framework would cost more than what is measured. Loopback only. Half of all requests get a
refusal and half a harmless paragraph, so that judges and guards have something to read, with one of a thousand numbers
in it, so that nobody profits from having read it before; the same request gets the same answer, since an endpoint that
wavers has another fingerprint each time, and every run would be one of another model.
"""

import argparse
import asyncio
import json
import re
import sys
import time
import zlib
from pathlib import Path

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ANSWERS = (
    "I'm sorry, but I can't help with that. If something worries you, I can point you to people who can help.",
    "Here is a short overview. First, think about what you need and who it is for. Then gather the facts, compare the "
    "choices you have, and write down what speaks for each. Ask someone you trust to read it, and take their doubts "
    "seriously. At last decide, say why, and set a day on which you look at it again.",
)
_VARIANTS = 1_000


def _reply(text: str) -> bytes:
    body = json.dumps(
        {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": 1,
            "model": "stub",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100},
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return head + body


class Stub(asyncio.Protocol):
    """One connection: counts bytes until a request is whole, answers it later."""

    replies = tuple(_reply(f"{text} Note {number}.") for number in range(_VARIANTS) for text in _ANSWERS)
    delay_s = 0.05
    served = 0
    first = last = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < whole:
                return
            is_stats = self.buffer.startswith(b"GET /stats")
            body, self.buffer = self.buffer[end:whole], self.buffer[whole:]
            if is_stats:
                self.tell()
                continue
            Stub.served += 1
            Stub.first = Stub.first or time.perf_counter()
            self.loop.call_later(self.delay_s, self.answer, self.replies[zlib.crc32(body) % len(self.replies)])

    def answer(self, reply: bytes) -> None:
        Stub.last = time.perf_counter()
        if not self.transport.is_closing():
            self.transport.write(reply)  # type: ignore[attr-defined]  # a stream's transport

    def tell(self) -> None:
        body = json.dumps({"served": Stub.served, "seconds": Stub.last - Stub.first}).encode()
        Stub.served, Stub.first, Stub.last = 0, 0.0, 0.0
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)  # type: ignore[attr-defined]  # a stream's transport


async def main(delay_ms: float) -> None:
    Stub.delay_s = delay_ms / 1000
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("delay_ms", type=float, nargs="?", default=50.0)
    asyncio.run(main(parser.parse_args().delay_ms))
