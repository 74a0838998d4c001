"""The embedded model as an upstream: llama.cpp's own server, in a process of its own, on a port of loopback.

It streams, calls tools and decodes several answers together, as a server elsewhere does; and its weights are a file
whose digest a permit can bind.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safecase.evidence import digest_file
from safecase.models import (
    LocalOptions,
    MissingPackage,
    UnknownModel,
    ask_server,
    find_endpoint,
    find_weights,
    sampling_fields,
    token_bias,
)
from safecase.serve._config import Upstream

_CHILD = "safecase.serve._embedded_child"


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
        return Upstream(
            base_url=f"{self._server.listening_address}/v1",
            serves=serves or self.name.rpartition("/")[2].removesuffix(".gguf"),
            key=self._key,
            adds=self._adds(),
            has_tools=self._has_tools(),
        )

    def _started(self) -> _Child:
        options = self._options
        slots = 1 if options.deterministic else options.slots
        asked = {"path": str(self.path), "slots": slots, "context_tokens": options.context_tokens, "key": self._key}
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
