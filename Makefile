# Every command of the project; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
JOBS ?= 2

# The stages' `python` and `dvc` are this environment's, whichever other one is active.
export PATH := $(abspath $(VENV))/bin:$(PATH)
unexport PYTHONPATH
export TOKENIZERS_PARALLELISM := false

PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt
PROJECT := $(VENV)/.project
TOOLS := $(VENV)/.tools

.DEFAULT_GOAL := help
.PHONY: help install repro sweep experiments summary test pipeline-test lint types check clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | \
		awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
		"Python %d.%d found, 3.11 or newer needed: make PYTHON=/path/to/python3.11" % v[:2])'
	$(PYTHON) -m venv $(VENV)

$(PROJECT): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

$(TOOLS): $(PROJECT)
	$(PIP) -e '.[test]'
	@touch $@

install: $(PROJECT) ## Make .venv with the pinned versions

repro: $(PROJECT) ## Run what changed of the pipeline, then print the study's summary
	@python -m stages.check
	@dvc repro
	@python -m stages.summarize --show

sweep: $(PROJECT) ## The same with JOBS=2 cells at a time; a cell that fails stops no other
	@python -m stages.check
	@python -m stages.sweep --jobs $(JOBS)
	@python -m stages.summarize --show

experiments: $(PROJECT) ## Compare experiments: headline metrics and the parameters that differ
	@dvc exp show --only-changed --no-pager \
		--drop '^(adarank|stages|data|metrics/(cells|scores)|Created|State|Executor)'

summary: $(PROJECT) ## Print the summary of the last run
	@python -m stages.summarize --show

test: $(TOOLS) ## Unit tests (make pipeline-test runs the rest)
	python -m pytest -m 'not pipeline' -n auto --maxprocesses 4 $(PYTEST_ARGS)

pipeline-test: $(TOOLS) ## Tests that run DVC and whole stages on a pico model
	python -m pytest -m pipeline $(PYTEST_ARGS)

lint: $(TOOLS) ## Style, formatting, import contracts
	ruff check
	ruff format --check
	lint-imports

types: $(TOOLS) ## Type check, strict on adarank/
	pyright

check: lint types test pipeline-test ## All of the above

clean: ## Remove the environment, caches of tools and timings; keep data, metrics and DVC's cache
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache timings
	find adarank stages bench tests -name __pycache__ -prune -exec rm -rf {} +
