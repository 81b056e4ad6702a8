# Everything a newcomer, a developer and CI do. Every target sets up what it needs first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test nightly check bench image clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv with everything Torpor needs

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: setup ## suspend and resume a 4-PE board on real processes, and show it
	$(BIN)/torpor run deploy/scenarios/seed.yaml

test: setup ## all tests, in parallel; boards in containers last, one at a time
	$(BIN)/pytest -n 2 --ignore=tests/compose
	tests/compose/run.sh $(BIN)/pytest

nightly: setup ## 100,000 schedules, thousands of random boards, and every known bug from 20 seeds
	TORPOR_SCHEDULES=100000 HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -n auto --timeout=0 tests/sim
	$(BIN)/torpor mutants --seeds 20 --baseline 20000

check: setup ## lint, types and the fast tests, under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 -m 'not sim and not live' --ignore=tests/compose

bench: setup ## measure the bus, the simulator and the cycle
	$(BIN)/python -m benchmarks

image: setup ## build the container image, with a base of Debian packages if need be
	PYTHON=$(BIN)/python deploy/image.sh

clean: ## remove .venv, caches and run folders
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
