.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(CURDIR)/.tools
export PATH := $(TOOLS)/bin:$(PATH)

PORT ?= 8000
ADMIN_PORT ?= 9000
export PORT ADMIN_PORT

# One more than there are cores: the tests of faults mostly wait.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate

# Chart, rendered manifests, dashboard and documents against what they are made from.
CHECKS := tests/docs tests/packaging/test_chart_docs.py tests/packaging/test_kustomize.py tests/observability/test_dashboard.py

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x ...")'
	$(PYTHON) -m venv $(VENV)

# The project itself is installed editable, so that `tasks-service` exists; its dependencies come from the lock alone.
$(VENV)/.local: requirements/local.txt pyproject.toml | $(BIN)/python
	$(PIP) --require-hashes -r requirements/local.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.local
	$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: run
run: $(VENV)/.local ## everything, then the service on http://127.0.0.1:8000 (PORT=, ADMIN_PORT=, DATABASE_URL= override)
	@$(BIN)/python -m service dev

.PHONY: test
test: $(VENV)/.dev ## the whole suite on a real PostgreSQL; ARGS=path narrows it
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## format, lint, types, migration drift, chart, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m service migrate drift
	@$(BIN)/python -m pytest -q $(CHECKS)

.PHONY: format
format: $(VENV)/.dev ## rewrite the code as the formatter wants it
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(VENV)/.dev ## renew requirements/*.txt from pyproject.toml
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) -c requirements/runtime.txt --extra local pyproject.toml -o requirements/local.txt
	$(LOCK) -c requirements/runtime.txt --extra tracing pyproject.toml -o requirements/tracing.txt
	$(LOCK) -c requirements/local.txt -c requirements/tracing.txt --extra local --group dev pyproject.toml -o requirements/dev.txt

include make/*.mk

.PHONY: clean
clean: ## remove the virtual environment, the tools and the local database
	rm -rf $(VENV) $(TOOLS) .data
