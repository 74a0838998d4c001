"""The process that an embedded model's server has to itself.

It is told on its input what to load, says on its output where that listens, and ends when its input does: with whoever
started it, however that ends. Letting go of llama.cpp's server waits for every connection to it, and has been seen to
wait for ever, so nobody lets go of it: the process ends.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from safecase.models import LocalOptions, ModelError, load_server


def main() -> None:
    """Serve until the input ends."""
    asked = json.loads(sys.stdin.buffer.readline())
    options = LocalOptions(slots=asked["slots"], context_tokens=asked["context_tokens"])
    server: Any = None  # xllamacpp ships no types
    try:
        key, port = asked["key"], asked["port"]
        server = load_server(Path(asked["path"]), slots=options.slots, options=options, port_key=key, port=port)
        said = {"address": server.listening_address}
    except ModelError as fault:
        said = {"fault": type(fault).__name__, "line": str(fault)}
    os.write(sys.stdout.fileno(), json.dumps(said).encode() + b"\n")
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
