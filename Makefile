# make setup | run | test | dev | lint | lock: everything lives in .venv, nothing else is touched.
VENV := .venv
BIN := $(VENV)/bin

# The first Python that fits; `make PYTHON=/path/to/python3.12 ...` overrides.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c "$(FITS)" 2>/dev/null && echo $$python && break; done)

export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DAGSTER_DISABLE_TELEMETRY := yes

.PHONY: setup run test dev lint lock clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 was found; name one: make PYTHON=/path/to/python3.12 setup"; exit 1; }
	@$(PYTHON) -c "import ensurepip" 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# Compiled modules go to .venv whoever starts this Python, so that the checkout stays clean.
	@$(BIN)/python -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'pycache_prefix.pth').write_text( \
		'import sys; sys.pycache_prefix = sys.pycache_prefix or sys.prefix + \"/pycache\"\n')"
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

run: setup
	@$(BIN)/neo run

test: setup
	@$(BIN)/python -m pytest -n auto --maxprocesses 8 --cov --cov-report=term

dev: setup
	@$(BIN)/dagster dev

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

lock: setup
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-strip-extras \
		--no-emit-index-url --custom-compile-command "make lock" --quiet --upgrade -o requirements.lock

clean:
	rm -rf $(VENV)
