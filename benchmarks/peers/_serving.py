"""Serve an ASGI app on a free port of loopback; once it has started, print its base URL and a key."""

import os
import socket
import sys
from typing import Any

import uvicorn


def quiet() -> int:
    """Send everything that is printed to the log; a handle to the real standard output."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def serve(app: Any, key: str, out: int) -> None:
    """Serve until killed, under the same server settings as the others."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    line = f"http://127.0.0.1:{listening.getsockname()[1]}/v1 {key}\n"

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            os.write(out, line.encode())

    settings = {"access_log": False, "server_header": False, "date_header": False, "proxy_headers": False}
    try:
        import httptools  # noqa: F401
        import uvloop  # noqa: F401

        settings |= {"http": "httptools", "loop": "uvloop"}
    except ImportError:
        sys.stderr.write("without uvloop and httptools\n")
    Server(uvicorn.Config(app, log_level="error", **settings)).run(sockets=[listening])
