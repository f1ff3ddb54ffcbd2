.PHONY: released
released: $(VENV)/.dev ## keep this build's OpenAPI document as the last release's, which `make check` compares with
	@$(BIN)/python -m service openapi >docs/released/openapi.making && mv docs/released/openapi.making docs/released/openapi.json
