"""The embedded model as an upstream: llama.cpp's own server, in a process of its own, on a port of loopback.

It streams, calls tools and decodes several answers together, as a server elsewhere does; and its weights are a file
whose digest a permit can bind. Where its process ends by itself (out of memory, a fault of the library), it is started
again at the same port, with the same weights or not at all; until then calls find an upstream that is down.
"""

import json
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safecase.evidence import digest_file
from safecase.models import (
    LocalOptions,
    MissingPackage,
    ModelError,
    UnknownModel,
    ask_server,
    find_endpoint,
    find_weights,
    sampling_fields,
    token_bias,
)
from safecase.serve._config import Upstream

LOG = logging.getLogger("safecase.serve")
_CHILD = "safecase.serve._embedded_child"
_AGAIN_S, _LONGEST_S = 0.5, 30.0  # until a process that ended is started again; doubled each time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """A running server."""

    process: subprocess.Popen[bytes]
    listening_address: str


class EmbeddedModel:
    """A GGUF file behind llama.cpp's server. Start it in one process; any number of workers may ask it.

    Args:
        name: a file ending in .gguf, or a name that `models` knows.
        options: slots and context; `deterministic` decodes one answer at a time.

    Raises:
        UnknownModel: neither a known name nor a file.
        MissingPackage: the weights' package is not installed.
    """

    def __init__(self, name: str, *, options: LocalOptions | None = None) -> None:
        self.path: Path = find_weights(name)
        self.name = name
        self.digest = digest_file(self.path)
        self._options = options or LocalOptions(slots=max(2, os.cpu_count() or 1))
        self._key = secrets.token_hex(32)
        self._server: _Child | None = None
        self._closing = threading.Event()
        self._swapping = threading.Lock()

    def start(self, *, serves: str = "") -> Upstream:
        """Load the weights; a second or more. Give the way to them.

        Args:
            serves: the model's name for clients; its own by default.

        Raises:
            MissingPackage: xllamacpp is not installed.
            UnknownModel: llama.cpp cannot load the file.
        """
        if self._server is None:
            self._server = self._started()
            self._closing.clear()
            threading.Thread(target=self._keep, args=(self._server,), name="safecase-embedded", daemon=True).start()
        return Upstream(
            base_url=f"{self._server.listening_address}/v1",
            serves=serves or self.name.rpartition("/")[2].removesuffix(".gguf"),
            key=self._key,
            adds=self._adds(),
            has_tools=self._has_tools(),
        )

    def _keep(self, server: _Child) -> None:
        """Start the server again whenever its process ended and nobody ended it."""
        port, wait_s = int(server.listening_address.rpartition(":")[2]), _AGAIN_S
        while True:
            code = server.process.wait()
            if self._closing.wait(wait_s):
                return
            LOG.error("the embedded model's process ended (exit code %s); it is started again", code)
            wait_s = min(wait_s * 2, _LONGEST_S)
            try:
                if digest_file(self.path) != self.digest:
                    raise UnknownModel(f"{self.path}: not the weights that were loaded before; put those back")
                new = self._started(port=port)
            except (ModelError, OSError) as fault:
                LOG.error("it did not start: %s", fault)  # noqa: TRY400 - tried again
                continue
            with self._swapping:
                if self._closing.is_set():
                    _end(new.process)
                    return
                _end(server.process)
                self._server = server = new

    def _started(self, *, port: int = 0) -> _Child:
        options = self._options
        slots = 1 if options.deterministic else options.slots
        asked = {"path": str(self.path), "slots": slots, "context_tokens": options.context_tokens}
        asked |= {"key": self._key, "port": port}
        command = [sys.executable, "-m", _CHILD]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our module
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline() or b'{"fault": "", "line": "its process ended while loading"}')
        if "address" in said:
            return _Child(process=process, listening_address=said["address"])
        _end(process)
        fault = MissingPackage if said["fault"] == MissingPackage.__name__ else UnknownModel
        raise fault(said["line"])

    def _adds(self) -> dict[str, Any]:
        """Drawing tokens as an assessment does, with its watermark where there is one."""
        bias = token_bias(self._server, options=self._options, port_key=self._key)
        mark = {"logit_bias": bias} if bias else {}
        return sampling_fields(self._options) | mark

    def _has_tools(self) -> bool:
        timeout_s = self._options.timeout_s
        about = ask_server(self._server, "/props", None, port_key=self._key, timeout_s=timeout_s)
        return bool(about.get("chat_template_caps", {}).get("supports_tools"))

    def close(self) -> None:
        """Let go of the weights; the process that holds them ends, whatever it is doing."""
        self._closing.set()
        with self._swapping:
            server, self._server = self._server, None
        if server is not None:
            _end(server.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()  # closes the pipes, and waits


@contextmanager
def open_upstream(name: str, *, serves: str = "", options: LocalOptions | None = None) -> Iterator[Upstream]:
    """The way to a target, for as long as it is needed: `llama-cpp/<file-or-name>` is started here and ended again.

    Args:
        name: `llama-cpp/<file-or-name>` or `openai/<model>@<base-url>`, as in a case file.
        serves: the model's name for clients; the target's own by default.

    Raises:
        UnknownModel: the name is of no kind that can be served.
    """
    kind, _, rest = name.partition("/")
    if kind == "llama-cpp" and rest:
        with EmbeddedModel(rest, options=options) as model:
            yield model.start(serves=serves)
    elif kind == "openai":
        endpoint = find_endpoint(name)
        yield Upstream(
            base_url=endpoint.base_url, serves=serves or endpoint.model, model=endpoint.model, key=endpoint.key
        )
    else:
        raise UnknownModel(f"{name!r} cannot be served; name it llama-cpp/<file-or-name> or openai/<model>@<base-url>")
