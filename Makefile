# Every command of the project; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
JOBS ?= 2
# Where a sweep's cells run: local, ray or slurm; and what each gets there (docs/CLUSTERS.md).
WHERE ?= local
CPUS ?= 1
GPUS ?= 0
RETRIES ?= 3
AUTOSCALED ?=
# Of a cell's training runs (seeds, tried rates), how many a unit has; 0: the whole cell.
RUNS ?= 0
# Into how many units a scoring by exact draws is cut on a cluster; 1: not cut; 0: it runs here.
SHARES ?= 0

# The stages' `python` and `dvc` are this environment's, whichever other one is active.
export PATH := $(abspath $(VENV))/bin:$(PATH)
unexport PYTHONPATH
export TOKENIZERS_PARALLELISM := false

PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt
PROJECT := $(VENV)/.project
TOOLS := $(VENV)/.tools

.DEFAULT_GOAL := help
.PHONY: help install repro sweep verify experiments report summary pr-report pr-reproduce test \
	pipeline-test lint types docs check audit release clean

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
	@python -m adarank.commands.verify_cache
	@dvc repro
	@python -m stages.summarize --show

sweep: $(PROJECT) ## The same, JOBS=2 cells at a time, or on a cluster: WHERE=ray CPUS=4 GPUS=0.5
	@python -m stages.check
	@python -m adarank.commands.verify_cache
	@python -m adarank.commands.sweep --jobs $(JOBS) --where $(WHERE) --cpus $(CPUS) \
		--gpus $(GPUS) --retries $(RETRIES) --runs $(RUNS) --shares $(SHARES) \
		$(if $(AUTOSCALED),--autoscaled)
	@python -m stages.summarize --show

verify: $(PROJECT) ## Hash what DVC keeps of the study; REPAIR=1 restores or removes what is damaged
	@python -m adarank.commands.verify_cache $(if $(REPAIR),--repair)

experiments: $(PROJECT) ## Compare experiments: headline metrics and the parameters that differ
	@dvc exp show --only-changed --no-pager \
		--drop '^(adarank|stages|data|metrics/(cells|confusion|scores|summary)|Created|State|Executor)'

report: $(PROJECT) ## Make the report of the study, and a page of what it took beside it
	@dvc repro report
	@python -m stages.report --costs
	@echo "open report/index.html in a browser"

summary: $(PROJECT) ## Print the summary of the last run
	@python -m stages.summarize --show

# What the report imports: without torch and its like, a pull request's check takes seconds.
REPORTING := $(VENV)/.reporting
BASE ?= main

$(REPORTING): constraints.txt | $(VENV)/bin/python
	$(PIP) dvc pandas pyarrow pydantic ruamel.yaml typer
	@touch $@

# By the environment, not by make, into the shell: a branch's name may hold what both obey.
pr-report: export PR_BASE = $(value BASE)
pr-report: $(REPORTING) ## Report what this branch changes in the study: make pr-report BASE=main
	@python -m adarank.commands.pull_request --base "$$PR_BASE"

pr-reproduce: $(PROJECT) ## Run what a pull request staled, with what remotes have; push the rest
	@python -m stages.check
	dvc repro --pull --allow-missing
	dvc push --run-cache

test: $(TOOLS) ## Unit tests (make pipeline-test runs the rest)
	python -m pytest -m 'not pipeline' -n auto --maxprocesses 4 $(PYTEST_ARGS)

pipeline-test: $(TOOLS) ## Tests that run DVC and whole stages on a pico model
	python -m pytest -m pipeline -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

lint: $(TOOLS) ## Style, formatting, import contracts
	ruff check
	ruff format --check
	codespell
	lint-imports

types: $(TOOLS) ## Type check, strict on adarank/
	pyright

# The theme announces its successor at each build; the variable leaves that out.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(TOOLS) ## Build the docs and the API reference into site/; a broken link fails
	python -m mkdocs build --strict

check: lint types test pipeline-test docs ## All of the above

# --strict: a dependency that could not be asked about is no clean one.
audit: $(PROJECT) ## Ask PyPI for known vulnerabilities of the pinned versions (needs the network)
	$(PIP) -e '.[audit]'
	pip-audit --strict --vulnerability-service pypi --no-deps --disable-pip -r constraints.txt

release: ## Make the default study again, and stage its dvc.lock and metrics/ for the release's commit
	@git diff --quiet HEAD -- params.yaml adarank stages dvc.yaml || \
		{ echo "uncommitted changes in code or params.yaml: commit them first"; exit 1; }
	@$(MAKE) --no-print-directory repro
	@git add --force dvc.lock metrics
	@git status --short dvc.lock metrics
	@echo "Next: README's table and docs/LOG.md from the summary above, the date of the version in"
	@echo "CHANGELOG.md, pyproject.toml and CITATION.cff, then commit and tag."

clean: ## Remove the environment, caches of tools and timings; keep data, metrics and DVC's cache
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache timings
	find adarank stages bench tests -name __pycache__ -prune -exec rm -rf {} +
