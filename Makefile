# The commands of this repository. Each sets up what it needs first; the second time that costs nothing.
# Needed on the machine: make, and a Python of at least 3.11 with its venv module. Nothing is written outside this folder.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh

# The first of these that is new enough and can make an environment; `make PYTHON=/path/to/python` says it outright.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
IS_ENOUGH  := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON     ?= $(shell for each in $(CANDIDATES); do "$$each" -c '$(IS_ENOUGH)' 2>/dev/null && { echo "$$each"; break; }; done)

# A stamp is named for what it stands for: the project file, the lock file and the place, since an installation knows all.
# (A clone that was moved, or a changed dependency, thereby installs again; a mere `touch` does not.)
STATE  := $(shell { cat pyproject.toml requirements.lock; pwd; } | cksum | tr ' ' '-')
STAMPS := .venv/stamps
VENV   := $(STAMPS)/venv
RUN    := $(STAMPS)/run-$(STATE)
DEV    := $(STAMPS)/dev-$(STATE)
BENCH  := $(STAMPS)/bench-$(STATE)

# Tools are run as modules: a script in .venv/bin names the folder it was installed in, a module does not.
PY  := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet

# The version of pyright is pinned in pyproject.toml, so nobody needs to be told of a newer one (nor wait for the answer).
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

CODE := src tests examples benchmarks docs

.PHONY: help run test lint types pytest format bench soak fuzz docs lock sbom clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: $(RUN)  ## install and run the demo; ARGS="--input DIR --verify" goes to it
	$(PY) -m trouper demo $(ARGS)

test: lint types pytest  ## every check: lint, format, types, tests

lint: $(DEV)  ## ruff: rules and format
	$(PY) -m ruff check
	$(PY) -m ruff format --check

types: $(DEV)  ## mypy --strict and pyright strict
	$(PY) -m mypy $(CODE)
	$(PY) -m pyright --warnings

pytest: $(DEV)  ## the tests alone; ARGS="-k name" goes to them
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

format: $(DEV)  ## let ruff put right what it can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

bench: $(BENCH)  ## measure Trouper beside its peers; ARGS goes to the benchmark
	$(PY) -m benchmarks $(or $(ARGS),--all --write-docs)

soak: $(DEV)  ## the simulations and properties with many more seeds; takes minutes
	TROUPER_SOAK=1 $(PY) -m pytest tests $(ARGS)

fuzz: $(DEV)  ## feed a node, then the wire alone, with what a fuzzer makes up, for FUZZ_S seconds each (600); needs atheris
	$(PY) -m tests.fuzz.node $(or $(FUZZ_S),600)
	$(PIP) atheris
	$(PY) -m tests.fuzz.wire -max_total_time=$(or $(FUZZ_S),600)

docs: $(DEV)  ## write docs/reference/api.md and permissions.md anew from the code
	$(PY) docs/build_reference.py
	$(PY) docs/build_permissions.py

lock: $(DEV)  ## write requirements.lock anew: the newest versions that pyproject.toml allows, for all Pythons, by hash
	$(PIP) 'uv>=0.9,<1'
	$(PY) -m uv pip compile pyproject.toml --extra dev --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --quiet --output-file requirements.lock

sbom: $(DEV)  ## write the bill of materials, dist/sbom.cdx.json, from requirements.lock
	$(PY) docs/build_sbom.py

clean:  ## remove the environment and everything that a tool cached here
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests examples benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV):
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 with venv and ensurepip was found; install one" \
	  "(on Debian: python3 and python3-venv) or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	@mkdir -p $(STAMPS) && touch $@

$(RUN): | $(VENV)
	$(PIP) --editable .
	@touch $@

$(DEV): | $(VENV)
	$(PIP) --require-hashes --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@ $(RUN)

$(BENCH): | $(VENV)
	$(PIP) --editable '.[dev,bench]'
	@touch $@ $(RUN) $(DEV)
