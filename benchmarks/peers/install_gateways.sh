#!/usr/bin/env bash
# Install the gateways that `python benchmarks/gateway.py --peers DIR` looks for, each in a place of its own.
set -euo pipefail
dir="${1:?usage: benchmarks/peers/install_gateways.sh DIR}"
mkdir -p "$dir" && cd "$dir"
python3 -m venv uv && uv/bin/pip -q install uv
python3 -m venv litellm && uv/bin/uv -q pip install --python litellm/bin/python "litellm[proxy]" uvloop httptools
python3 -m venv nemo && uv/bin/uv -q pip install --python nemo/bin/python "nemoguardrails[server]" uvicorn uvloop httptools
