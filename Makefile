# What people do here; `make help` lists it. Needs Python >= 3.11 with venv, git, and the registries of Python packages and Go modules.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
WORKERS ?= 2
PYTEST  := $(BIN)/python -m pytest

IMAGE        ?= dr-syncer:dev
BASE_IMAGE   ?= debian:trixie-slim
VERSION      = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' drsyncer/__init__.py)
REVISION     = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DOCKER       = $(shell docker version >/dev/null 2>&1 && echo yes)
BUILDX       = $(shell docker buildx version >/dev/null 2>&1 && echo yes)
OUTPUT       = $(if $(PUSH),--push --sbom=true --provenance=true,--load)
BUILDER      = $(if $(BUILDX),docker buildx build $(if $(PLATFORMS),--platform $(PLATFORMS)) $(OUTPUT),DOCKER_BUILDKIT=0 docker build)
BUILD_ARGS   = $(foreach name,BASE_IMAGE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST,$(if $($(name)),--build-arg $(name)=$($(name)))) \
               --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION)
DOCKER_BUILD = $(BUILDER) $(DOCKER_FLAGS) --tag $(IMAGE) $(BUILD_ARGS) .

.DEFAULT_GOAL := help
.PHONY: help venv test lint types layers unit integration tools demo demo-down demo-env bench docs charts capture soak soak-kills deploy undeploy docker-build e2e e2e-down lab lab-down image-archive format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

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
	$(BIN)/mypy --strict tests/cluster tests/e2e image examples

layers: $(STAMP) ## Imports run downwards only: import-linter
	$(BIN)/lint-imports

unit: $(STAMP) ## Unit and property tests: two minutes
	$(PYTEST) tests/unit -n $(WORKERS) --dist loadfile

integration: tools ## Tests on two real control planes per worker and real Git (WORKERS=2)
	$(PYTEST) tests/integration -n $(WORKERS) --dist loadfile

tools: $(STAMP) ## Find or build the programs that tests run: Kubernetes, sops, helm, promtool, restic and servers (minutes, once)
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

charts: $(STAMP) ## Write the generated files of the Helm charts anew: values, their schema and table, shared templates
	$(BIN)/python -m charts

# One release in each cluster, named as its chart; `image` is what `make docker-build` makes, or IMAGE=repository:tag.
HELM         ?= helm
NAMESPACE    ?= dr-syncer
DEPLOY_FLAGS ?= --wait --timeout 2m
needed       = $(foreach name,$(1),$(if $($(name)),,$(error $(name)= is missing; see `make help`)))
chart        = $(HELM) $(1) dr-syncer-$(2) --kube-context $(3) --namespace $(NAMESPACE)
image        = $(if $(IMAGE),--set-string image.repository=$(shell echo '$(IMAGE)' | sed 's/:[^:/]*$$//') --set-string image.tag=$(lastword $(subst :, ,$(IMAGE))))
installed    = charts/dr-syncer-$(1) --install --create-namespace --values $(2) $(image) $(DEPLOY_FLAGS)

deploy: ## Both charts, from this tree: SOURCE= and DR= (contexts), EXPORTER_VALUES=, IMPORTER_VALUES= (IMAGE=, NAMESPACE=)
	$(call needed,SOURCE DR EXPORTER_VALUES IMPORTER_VALUES)
	$(call chart,upgrade,exporter,$(SOURCE)) $(call installed,exporter,$(EXPORTER_VALUES))
	$(call chart,upgrade,importer,$(DR)) $(call installed,importer,$(IMPORTER_VALUES))

undeploy: ## Take both charts out again, and nothing that they exported or imported: SOURCE=, DR= (NAMESPACE=)
	$(call needed,SOURCE DR)
	$(call chart,uninstall,exporter,$(SOURCE)) --ignore-not-found
	$(call chart,uninstall,importer,$(DR)) --ignore-not-found

capture: tools ## Ask a real cluster: golden pairs, VERSION and docs/reference/types.md anew
	$(BIN)/python -m tests.capture

soak: tools ## Both services under churn and on bad days, for MINUTES (30)
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30)

soak-kills: tools ## Leaders of both sides killed under churn, KILLS times (20)
	DR_SYNCER_KILLS=$(or $(KILLS),20) $(PYTEST) tests/integration/test_leader_kill.py -n 0 -s

# buildx where it is, for several PLATFORMS and a bill of materials that is attached; the classic builder elsewhere; and
# where no Docker answers, one of our own for as long as it takes (root on Debian only).
docker-build: ## The container image (IMAGE=, BASE_IMAGE=, PLATFORMS=a,b PUSH=1, DOCKER_FLAGS=)
	$(if $(DOCKER),$(DOCKER_BUILD),@make --no-print-directory image-archive)

image-archive: $(STAMP)
	@$(BIN)/python -m tests.e2e.lab image $(IMAGE)

e2e: $(STAMP) ## The whole story on two kind clusters: image, charts, Git server (KEEP=1: they stay)
	@$(BIN)/python -m tests.e2e $(if $(filter-out 0,$(KEEP)),--keep)

e2e-down: $(STAMP) ## End what a kept or killed `make e2e` left
	@$(BIN)/python -m tests.e2e --down

lab: $(STAMP) ## The two kind clusters alone
	@$(BIN)/python -m tests.e2e.lab up

lab-down: e2e-down ## Delete them

format: $(STAMP) ## Let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what was made here; the built programs stay in ~/.cache/dr-syncer
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
