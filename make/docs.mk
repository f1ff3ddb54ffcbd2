SWAGGER_UI_FOLDER := service/description/assets/swagger-ui
SWAGGER_UI_FILES := LICENSE NOTICE swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css
SWAGGER_UI ?= $(shell sed -n 's/^\# npm swagger-ui-dist@//p' $(SWAGGER_UI_FOLDER)/SHA256SUMS)

# `npm pack` runs none of the package's scripts and gets none of its dependencies.
define unpack_swagger_ui
	@assets="$$PWD"/$(SWAGGER_UI_FOLDER) && folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	&& npm pack --silent --pack-destination "$$folder" swagger-ui-dist@$(SWAGGER_UI) >/dev/null \
	&& tar -xzf "$$folder"/*.tgz -C "$$folder" --strip-components 1 $(addprefix package/,$(SWAGGER_UI_FILES)) \
	&& cd "$$folder" &&
endef

.PHONY: swagger-ui
swagger-ui: ## renew the docs page's assets from npm; SWAGGER_UI= is the version wanted
	$(unpack_swagger_ui) { echo '# npm swagger-ui-dist@$(SWAGGER_UI)'; sha256sum $(SWAGGER_UI_FILES); } >SHA256SUMS \
	&& cp SHA256SUMS $(SWAGGER_UI_FILES) "$$assets"/

.PHONY: swagger-ui-check
swagger-ui-check: ## compare the docs page's assets with the npm package that they came from
	$(unpack_swagger_ui) sha256sum --check --quiet "$$assets"/SHA256SUMS \
	&& echo 'the same as npm swagger-ui-dist@$(SWAGGER_UI)'

.PHONY: example-picture
example-picture: $(VENV)/.dev ## draw docs/images/example.png, as a test of the page sees it; with Chromium
	@EXAMPLE_PICTURE=docs/images/example.png $(BIN)/python -m pytest -q tests/browser/test_example_page.py -k two_windows
