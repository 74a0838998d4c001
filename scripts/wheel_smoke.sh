#!/usr/bin/env bash
# Build the wheel, install it where nothing else is, and use what must be inside: packs, banks, weights, templates.
set -euo pipefail
cd "$(dirname "$0")/.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m build --quiet --wheel --no-isolation --outdir "$work" .
"${PYTHON:-python3}" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check --quiet"
$pip install --no-deps --require-hashes -r requirements/run.lock
$pip install --no-deps "$work"/safecase-*.whl
cd "$work"
venv/bin/safecase --help > /dev/null
venv/bin/safecase new case > /dev/null
venv/bin/safecase declare case --json > /dev/null
venv/bin/safecase compose case --json | grep -q '"scenarios"'
venv/bin/safecase console case --write pages > /dev/null
grep -q "Nothing was decided yet" pages/case.html
venv/bin/python -c "
from safecase.measure import EmbeddedJudge
from safecase.safeguard import load_stack
from safecase.declare import load_model_spec
assert load_stack('default', load_model_spec('default')).layers
assert EmbeddedJudge().digest"
echo "the installed wheel works"
