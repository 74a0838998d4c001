"""A service of slow answers behind a supervisor, to be run as a program: `slow_service.py FOLDER WORKERS`.

It writes its port to FOLDER/port once it is up, its log to FOLDER/log; a text in FOLDER/fault is why new workers would
not serve, FOLDER/word is what they answer with, and FOLDER/wants what they ought to be built of.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safecase.serve import Patience, Running, Supervisor, listen


@dataclass(frozen=True)
class Slow:
    folder: Path

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Running]:
        word = self._text("word")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await _lifespan(receive, send)
                return
            await asyncio.sleep(0.05 if scope["path"] == "/" else 1.0)
            body = f"{os.getpid()} {word}".encode()
            headers = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        yield Running(app=app, fault=lambda: self._text("fault") or None)

    def _text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""


async def _lifespan(receive: Any, send: Any) -> None:
    for done in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{done}.complete"})


def main(folder: Path, workers: int) -> None:
    sock = listen("127.0.0.1", 0)
    log = (folder / "log").open("a", buffering=1)
    supervisor = Supervisor(
        Slow(folder),
        sock,
        workers=workers,
        patience=Patience(linger_s=0.6, drain_s=3.0),
        say=lambda line: print(line, file=log),
        wants=lambda: Slow(folder)._text("wants"),
    )
    port = sock.getsockname()[1]
    is_up = supervisor.run(lambda: (folder / "port").write_text(str(port)) and None)
    print(f"ended {is_up}", file=log)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
