# Everything is kept in .venv and data/. `make` alone lists the targets.
VENV := .venv
BIN := $(VENV)/bin

# The first supported Python on PATH; `make PYTHON=/path/to/python3.12 setup` overrides it.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c "$(FITS)" 2>/dev/null && echo $$python && break; done)

PIP := $(BIN)/python -m pip install --quiet --quiet
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --custom-compile-command "make lock" --quiet --upgrade

export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DAGSTER_DISABLE_TELEMETRY := yes

.PHONY: help setup setup-dev run dev test quick lint bench mutants lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r target text; do printf '  make %-10s %s\n' "$$target" "$$text"; done

setup: $(VENV)/.installed  ## install what `neo` and Dagster need to run

setup-dev: $(VENV)/.installed-dev  ## also install what tests and linters need

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 found; name one: make PYTHON=/path/to/python3.12 setup"; exit 1; }
	@$(PYTHON) -c "import ensurepip" 2>/dev/null || { \
		echo "$(PYTHON) cannot create virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@# Compiled modules always go to .venv, however this Python is started, so the checkout stays clean.
	@$(BIN)/python -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'pycache_prefix.pth').write_text( \
		'import sys; sys.pycache_prefix = sys.pycache_prefix or sys.prefix + \"/pycache\"\n')"
	@# dg writes telemetry to the home directory unless its configuration forbids that; yours, if you have one, wins.
	@printf '[cli.telemetry]\nenabled = false\n' > $(VENV)/dg.toml
	@$(BIN)/python -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'dg_config.pth').write_text( \
		'import os, sys; config = os.environ.get(\"XDG_CONFIG_HOME\") or os.path.expanduser(\"~/.config\"); ' \
		'os.path.exists(config + \"/dg.toml\") or os.environ.setdefault(\"DG_CLI_CONFIG\", sys.prefix + \"/dg.toml\")\n')"
	@touch $@

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/.created
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV) (once) ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# Without it, make would report an error on Ctrl-C.
STOPPABLE := trap 'exit 0' INT;

run: setup  ## gather the first 200 NEOs and print the totals
	@$(STOPPABLE) $(BIN)/neo run

PORT := 3000

dev: setup  ## open Dagster's UI (PORT=3000)
	@test "$(PORT)" -ge 1 -a "$(PORT)" -le 65535 2>/dev/null || { \
		echo "PORT=$(PORT) is not a number from 1 to 65535; name one, such as: make dev PORT=3001"; exit 1; }
	@$(BIN)/python -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null || { \
		echo "Port $(PORT) is not free; name another one, such as: make dev PORT=3001"; exit 1; }
	@# Without DAGSTER_HOME, Dagster announces a temporary directory, although dagster.yaml names another one.
	@# Alerts link to this UI, unless another address is set.
	@grep -qs '^[^#]*DAGSTER_HOME=' .env || export DAGSTER_HOME="$${DAGSTER_HOME:-$(CURDIR)}"; \
		grep -qs '^[^#]*NEO_DAGSTER_URL=' .env || export NEO_DAGSTER_URL="$${NEO_DAGSTER_URL:-http://127.0.0.1:$(PORT)}"; \
		$(STOPPABLE) $(BIN)/dg dev --port $(PORT)

PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 $(TESTS)

test: setup-dev  ## run all tests (COV=1 also measures coverage, which takes longer)
	@$(PYTEST) $(if $(COV),--cov --cov-report=term)

quick: setup-dev  ## run the quick tests: no slow ones, no S3 server (TESTS=... for some files)
	@$(PYTEST) -m "not slow and not s3"

lint: setup-dev  ## check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

BENCH := $(VENV)/bench

$(BENCH)/.installed: requirements-bench.lock | $(VENV)/.created
	@echo "Installing what is compared into $(BENCH) (once, about two minutes, 1.3 GB) ..."
	@$(BIN)/python -m venv --clear $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --quiet --require-hashes -r requirements-bench.lock
	@touch $@

bench: setup $(BENCH)/.installed  ## measure neo beside what else could do its work (BENCH_OPTIONS="--pages 100")
	@$(BIN)/python benchmarks/compare.py $(BENCH_OPTIONS)

MUTANTS := $(VENV)/mutants

# It finds what the project and its tests need in the environment around it.
$(MUTANTS)/.installed: requirements-mutants.lock | $(VENV)/.installed-dev
	@echo "Installing what changes code into $(MUTANTS) (once) ..."
	@$(BIN)/python -m venv --clear $(MUTANTS)
	@$(MUTANTS)/bin/python -m pip install --quiet --quiet --require-hashes -r requirements-mutants.lock
	@$(BIN)/python -c "import pathlib, sysconfig; packages = sysconfig.get_path('purelib'); \
		own = sysconfig.get_path('purelib', vars={'base': '$(abspath $(MUTANTS))'}); \
		pathlib.Path(own, 'project.pth').write_text(f'import site; site.addsitedir({packages!r})\n')"
	@touch $@

mutants: setup-dev $(MUTANTS)/.installed  ## test the tests: change the code in many ways (SCOPES="sql parse", EVERY=5, AGAIN=1)
	@$(STOPPABLE) $(MUTANTS)/bin/python -m pytest --quiet -n 0 neo_assets_tests/test_mutants.py
	@$(STOPPABLE) $(MUTANTS)/bin/python -m mutants.run $(SCOPES) $(if $(EVERY),--every $(EVERY)) $(if $(AGAIN),--again)

lock: setup-dev  ## update the lock files
	@$(BIN)/$(LOCK) pyproject.toml --group build -o requirements.lock
	@$(BIN)/$(LOCK) --strip-extras pyproject.toml --all-extras -c requirements.lock -o requirements-extras.lock
	@$(BIN)/$(LOCK) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@$(BIN)/$(LOCK) --group pyproject.toml:bench -c requirements.lock -o requirements-bench.lock
	@$(BIN)/$(LOCK) --group pyproject.toml:mutants -c requirements.lock -c requirements-dev.lock -o requirements-mutants.lock

clean:  ## delete .venv
	rm -rf $(VENV)
