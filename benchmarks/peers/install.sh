#!/usr/bin/env bash
# Install the peers that `python benchmarks/peers.py --peers DIR` looks for, each in a place of its own. Takes minutes.
set -euo pipefail
dir="${1:?usage: benchmarks/peers/install.sh DIR}"
mkdir -p "$dir" && cd "$dir"
python3 -m venv inspect && inspect/bin/pip -q install inspect-ai openai
python3 -m venv pyrit && pyrit/bin/pip -q install pyrit
# pip's resolver takes a quarter of an hour over garak's dependencies; uv's takes seconds.
python3 -m venv uv && uv/bin/pip -q install uv
python3 -m venv garak && garak/bin/pip -q install torch==2.13.0
uv/bin/uv -q pip install --python garak/bin/python garak torch==2.13.0
mkdir -p promptfoo && (cd promptfoo && npm init -y >/dev/null && npm install --no-audit --no-fund promptfoo)
