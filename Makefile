SHELL := /bin/bash
.DEFAULT_GOAL := help
.SILENT:
MAKEFLAGS += --no-print-directory

python := .venv/bin/python
# Most tests wait for other processes, so there may be more of them than processors. Some take two minutes: who is
# through takes over what waits behind them.
workers ?= 4
# Any arguments for pytest, e.g. make test tests='tests/core -x'
tests ?=

.PHONY: help setup builds demo test bench bench-decisions lint types imports crds kind clean

help: ## list the targets
	awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv from the lock file (installs uv where there is none)
	scripts/bootstrap

builds: setup ## build what the local parts need: control plane, Prometheus, Helm, CRDs (minutes, once)
	$(python) -m agentrelease.local.builds controlplane gateway-api prometheus kubectl helm istio >/dev/null

demo: setup ## release a good agent and a bad one, on real parts, on this machine (KEEP=1 leaves it running)
	$(python) -m agentrelease.local.demo

test: builds lint types imports ## run every check and every test, on real parts
	$(python) -m pytest -n $(workers) --dist worksteal $(tests)

bench: builds ## measure: builds, starts, reaction to a violation, memory
	$(python) -m bench

bench-decisions: setup ## measure: wrong decisions and delays, beside models of other controllers (minutes)
	$(python) -m bench.decisions

lint: setup ## style and format of all Python code
	$(python) -m ruff check --quiet --output-format concise
	$(python) -m ruff format --check --quiet || { echo 'run: .venv/bin/ruff format' >&2; exit 1; }

types: setup ## strict types
	$(python) -m mypy --no-error-summary

imports: setup ## which room may import which
	.venv/bin/lint-imports --no-cache > build/imports.log || { cat build/imports.log; exit 1; }

crds: setup ## write crds/ from the models
	$(python) -m agentrelease.api

kind: setup ## a kind cluster with everything installed (needs Docker, kind, kubectl and helm)
	scripts/kind

clean: ## remove the environment, all builds and all caches
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
