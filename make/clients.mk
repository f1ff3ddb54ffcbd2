# Clients that generators make from the API's description: what comes out is in build/clients, and nothing of it is kept.
NPM_INSTALLED := $(TOOLS)/typescript/node_modules/.package-lock.json
OPENAPI := build/clients/openapi.json

.PHONY: clients
clients: clients-python clients-typescript ## a Python and a TypeScript client from the API's description, in build/clients

.PHONY: $(OPENAPI)
$(OPENAPI): $(VENV)/.dev
	@mkdir -p $(@D)
	@$(BIN)/python -m service openapi >$@

.PHONY: clients-python
clients-python: $(OPENAPI)
	@PATH="$$PWD"/$(BIN):"$$PATH" $(BIN)/openapi-python-client generate --path $(OPENAPI) --config clients/python.yaml \
		--meta none --overwrite --output-path build/clients/python/tasks_client

.PHONY: clients-typescript
clients-typescript: $(OPENAPI) $(NPM_INSTALLED)
	@mkdir -p build/clients/typescript
	@$(TOOLS)/typescript/node_modules/.bin/openapi-typescript $(OPENAPI) --output build/clients/typescript/tasks.d.ts

.PHONY: typescript
typescript: $(NPM_INSTALLED)

$(NPM_INSTALLED): clients/package.json clients/package-lock.json clients/.npmrc
	@mkdir -p $(TOOLS)/typescript
	@cp $^ $(TOOLS)/typescript/
	cd $(TOOLS)/typescript && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: test-clients
test-clients: $(VENV)/.dev $(NPM_INSTALLED) ## both generated clients, type-checked and run through all of the API; with node
	@$(BIN)/python -m pytest -m clients tests/clients $(ARGS)
