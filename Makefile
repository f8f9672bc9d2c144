# One environment in .venv serves every target; it is made again when pyproject.toml or the lock changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BENCH  := $(VENV)/.bench-ready
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs bench profile soak simulation lock

help:           ## say what there is
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: $(READY)  ## run the demo shop behind a gateway, until Ctrl-C
	@exec $(BIN)/meshwright demo $(ARGS)

test: $(READY)  ## run every test; ARGS="-k retry" is handed to pytest
	@tests/install-servers
	$(BIN)/pytest -n 3 --dist worksteal -rs $(ARGS)

lint: $(READY)  ## ruff and mypy --strict, as the continuous integration runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff put imports and layout right
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

docs: $(READY)  ## make the pages of the built-in plugins in docs/plugins anew
	$(BIN)/python -m meshwright.plugin_host.reference docs/plugins

bench: $(BENCH)  ## compare with other proxies; ARGS="--scenario tls --rounds 5 --write"
	@tests/install-servers
	@exec $(BIN)/python -m benchmarks $(ARGS)

profile: $(BENCH)  ## where the time of a request goes; ARGS="--scenario filter --seconds 10"
	@tests/install-servers
	@exec $(BIN)/python -m benchmarks.profile $(ARGS)

soak: $(READY)  ## mixed traffic that breaks off at random, and what leaks; ARGS="--minutes 10"
	@tests/install-servers
	@exec $(BIN)/python -m benchmarks.soak $(ARGS)

simulation: $(READY)  ## a fleet of 1,000 endpoints and 100 gateways in virtual time; ARGS="--write"
	@exec $(BIN)/python -m benchmarks.simulation $(ARGS)

lock: $(READY)  ## resolve the development environment anew
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --upgrade --quiet --universal --python-version 3.11 --no-header --no-annotate \
	    pyproject.toml --all-extras --group dev --output-file requirements-dev.lock
	$(BIN)/uv pip compile --upgrade --quiet --universal --python-version 3.11 --no-header --no-annotate \
	    --group pyproject.toml:bench --output-file requirements-bench.lock

$(READY): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit("Meshwright needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(BENCH): $(READY) requirements-bench.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.lock
	@touch $@
