# What people do here; `make help` lists it. Needs Python >= 3.11 with venv, git, and the registries of Python packages and Go modules.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
WORKERS ?= 2
PYTEST  := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help venv test lint types layers unit integration tools demo demo-down demo-env bench docs capture soak format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP) ## Make .venv with everything that development needs

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

test: ## Everything that a change must pass: lint, types, layers, unit, integration
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory layers
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory integration

lint: $(STAMP) ## Style: ruff, and ruff's formatter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Types: mypy, strict
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/cluster examples

layers: $(STAMP) ## Imports run downwards only: import-linter
	$(BIN)/lint-imports

unit: $(STAMP) ## Unit and property tests: seconds
	$(PYTEST) tests/unit

integration: tools ## Tests on two real control planes per worker and real Git (WORKERS=2)
	$(PYTEST) tests/integration -n $(WORKERS) --dist loadfile

tools: $(STAMP) ## Find or build the programs that tests run: Kubernetes, sops, helm, promtool (minutes, once)
	$(BIN)/python -m tests.cluster.tools

demo: $(STAMP) ## Two clusters, a sample shop, a recovery between them (KEEP=1: they stay)
	@$(BIN)/python -m examples.demo up $(if $(filter-out 0,$(KEEP)),--keep)

# Without prerequisites: its output is for a shell to evaluate, and where no .venv is, no demo runs.
demo-env: ## What a shell needs to talk to a kept demo: eval $(make demo-env)
	@$(BIN)/python -m examples.demo env

demo-down: $(STAMP) ## End a kept demo
	@$(BIN)/python -m examples.demo down

bench: tools ## Measurements, side by side with what one would use instead
	$(BIN)/python -m tests.bench

docs: $(STAMP) ## Write what is generated anew: configuration, reference, alerts, dashboard; not types.md (make capture)
	@mkdir -p build
	$(BIN)/python -m drsyncer.config.reference >build/configuration.md
	@mv build/configuration.md docs/configuration.md
	$(BIN)/python -m transforms.reference docs/reference
	$(BIN)/python -m drsyncer.service.reference docs/reference/metrics.md
	$(BIN)/python -m drsyncer.service.monitoring .

capture: tools ## Ask a real cluster: golden pairs, VERSION and docs/reference/types.md anew
	$(BIN)/python -m tests.capture

soak: tools ## Both services under churn and on bad days, for MINUTES (30)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30)

format: $(STAMP) ## Let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what was made here; the built programs stay in ~/.cache/dr-syncer
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
