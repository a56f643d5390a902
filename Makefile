# Two commands for a newcomer: `make run` and `make test`. Everything that they need is installed on the way.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
TESTS ?= tests

.PHONY: run test check unit install models format lock bench eval security sbom soak clean help
.DEFAULT_GOAL := help

run: install  ## start everything and print the address of the chat page; Ctrl-C ends it
	@$(BIN)/nlq up

test: check unit  ## everything that a change must pass

check: $(INSTALLED)  ## linter, formatting, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: install  ## tests; TESTS=tests/platform runs one folder
	$(BIN)/python -m pytest $(TESTS)

install: $(INSTALLED)  ## libraries, jars and models
	@$(BIN)/python -m app.install fetch

models: install

# pip takes the installer from a hash-locked file, the installer takes the rest from another; pip does it all where
# the installer cannot (a package index that only pip is configured for).
$(INSTALLED): requirements/lock.txt requirements/bootstrap.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Cannot install: Python 3.11 or later is needed and none is in PATH. Install one\
	 (Debian and Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.12) or say PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -m app.install check
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "Cannot install: $(PYTHON) cannot make a\
	 virtual environment. On Debian and Ubuntu: apt-get install python3-venv." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements/lock.txt \
	|| $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

format: $(INSTALLED)  ## put every file into the form that `make check` asks for
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

lock: $(INSTALLED)  ## resolve the dependencies of pyproject.toml anew into hash-locked files
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --extra dev pyproject.toml -o requirements/lock.txt

bench: install  ## freshness, throughput, recovery; about half an hour
	$(BIN)/python -m evals.bench --out docs/bench.md

eval: install  ## right answers on every case of the corpus, over the three worlds
	@mkdir -p build
	$(BIN)/python -m evals run --cases evals/cases/*.jsonl evals/cases/corpus/*.jsonl --catalogue evals/worlds/w10? \
		--out build/eval.jsonl

security: install  ## hostile statements and questions against both walls
	$(BIN)/python -m evals.security

sbom: $(INSTALLED)  ## software bill of materials (CycloneDX) from the lock files, in build/sbom.cdx.json
	$(BIN)/python -m app.sbom

soak: install  ## twenty minutes under load, watching memory
	$(BIN)/python -m evals.soak

clean:  ## remove the environment and what tools left; jars and models stay in the cache
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build ./*.egg-info

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12
