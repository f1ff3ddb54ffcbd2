.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Not its path: whatever stands in that, spaces, quotes, dollars, a relative name means this clone and no neighbour.
override VENV := .venv
override BIN := .venv/bin
override TOOLS := .tools
COMMA := ,
PYTHON ?= python3
export PYTHON
export PATH := $(CURDIR)/.tools/bin:$(value PATH)

PORT ?= 8000
ADMIN_PORT ?= 9000
export PORT ADMIN_PORT

# One more than there are cores: the tests of faults mostly wait.
WORKERS ?= $$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)')

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate

# Chart, rendered manifests, dashboard and documents against what they are made from.
CHECKS := tests/docs tests/packaging/test_chart_docs.py tests/packaging/test_kustomize.py tests/packaging/test_release.py tests/observability/test_dashboard.py

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# Not files, but what is in .venv: whether that is so, and is whole, is for make/clone.py to see.
.PHONY: $(VENV)/.local $(VENV)/.dev $(VENV)/.dashboard
$(VENV)/.local $(VENV)/.dev $(VENV)/.dashboard: $(VENV)/.%:
	@exec sh make/clone.sh install $*

.PHONY: run
run: ## everything, then the service on http://127.0.0.1:8000 (PORT=, ADMIN_PORT=, DATABASE_URL= override)
	@exec sh make/clone.sh run local

.PHONY: test
test: $(VENV)/.dev ## the whole suite on a real PostgreSQL; ARGS=path narrows it
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## format, lint, types, migration drift, chart, docs
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy
	@$(BIN)/python -m service migrate drift
	@$(BIN)/python -m pytest -q $(CHECKS)

.PHONY: format
format: $(VENV)/.dev ## rewrite the code as the formatter wants it
	@$(BIN)/python -m ruff format .
	@$(BIN)/python -m ruff check --fix .

.PHONY: lock
lock: $(VENV)/.dev ## renew requirements/*.txt from pyproject.toml and scanners.in
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) -c requirements/runtime.txt --extra local pyproject.toml -o requirements/local.txt
	$(LOCK) -c requirements/runtime.txt --extra tracing pyproject.toml -o requirements/tracing.txt
	$(LOCK) -c requirements/local.txt -c requirements/tracing.txt --extra local --group dev pyproject.toml -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt --group pyproject.toml:dashboard -o requirements/dashboard.txt
	$(LOCK) requirements/scanners.in -o requirements/scanners.txt

include make/*.mk

.PHONY: clean
clean: ## remove the virtual environment, the tools and the local database
	@exec sh make/clone.sh clean
