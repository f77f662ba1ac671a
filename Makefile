# make demo | test | lint | docs | wheel | parity | clean
# Each target makes .venv once and reuses it; what a target needs is installed when it is first asked for, and again
# after pyproject.toml has changed.

VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := python3 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
JOBS ?= 2
TESTED ?= tests expressivity

export JAX_PLATFORMS ?= cpu

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs wheel parity prepare clean

help:
	@echo "make demo    how wide must a network be: the default run, its figure and its page"
	@echo "make test    all tests and doctests"
	@echo "make lint    format, style and types"
	@echo "make docs    the documentation, pages executed, into docs/_build/html"
	@echo "make wheel   build the wheel and run its doctests in a fresh environment elsewhere"
	@echo "make parity  comparisons with other frameworks (installs torch)"
	@echo "make clean   remove what was built, except $(VENV) and runs/"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python of at least 3.11 with venv found on PATH; name one: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.docs $(VENV)/.parity: $(VENV)/.%: pyproject.toml $(VENV)/.core
	$(PIP) --editable '.[$*]'
	@touch $@

demo: $(VENV)/.core
	$(BIN)/python -m experiments.error_vs_width --preset default --out runs/error_vs_width
	@echo "Figure: runs/error_vs_width/figure.png"
	@echo "Page:   runs/error_vs_width/report.html"

test: $(VENV)/.test
	$(BIN)/python -m pytest $(TESTED) --doctest-modules -m "not parity" --numprocesses=$(JOBS) --dist=worksteal $(ARGS)

# What the targets need that .ci/run takes side by side.
prepare: $(VENV)/.lint $(VENV)/.docs

lint: $(VENV)/.core $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going --quiet -b html docs docs/_build/html
	@echo "Start page: docs/_build/html/index.html"

# The wheel is tested as a user gets it: in an environment of its own, from a folder that does not hold the sources.
wheel: $(BIN)/python
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; wheel=$$(ls "$$PWD"/dist/*.whl); \
	$(BIN)/python -m venv "$$folder/env"; \
	"$$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "$$wheel" pytest; \
	cd "$$folder"; \
	"$$folder/env/bin/python" -c "import expressivity; assert 'site-packages' in expressivity.__file__, expressivity.__file__"; \
	"$$folder/env/bin/python" -m pytest -q -W error -o doctest_optionflags='ELLIPSIS NORMALIZE_WHITESPACE' \
		--doctest-modules --pyargs expressivity; \
	"$$folder/env/bin/python" -m expressivity; \
	echo "The wheel works: $$wheel"

parity: $(VENV)/.test $(VENV)/.parity
	$(BIN)/python -m pytest tests -m parity $(ARGS)

clean:
	rm -rf dist build docs/_build docs/jupyter_execute .pytest_cache .hypothesis .ruff_cache *.egg-info
	find expressivity experiments tests -name __pycache__ -type d -exec rm -rf {} +
