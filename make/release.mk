# What the workflow of a release runs, step by step; all but the last works with any OCI registry, such as one that
# `crane registry serve` runs here. REGISTRY is its address and the folder in it.
CRANE := github.com/google/go-containerregistry/cmd/crane@v0.20.7
RELEASE := build/release
ARCHITECTURE ?= amd64
ARCHITECTURES ?= amd64 arm64
PUBLISHED = $(REGISTRY)/tasks-service
# Where a step's outputs go: the workflow reads them from there.
OUTPUT := $(or $(GITHUB_OUTPUT),/dev/stdout)
# For a registry without TLS.
HELM_PUSH ?=

.PHONY: ci
ci: ## what CI runs: the tools, then check and test
	@bash .ci/run

.PHONY: released
released: $(VENV)/.dev ## keep this build's OpenAPI document as the last release's, which `make check` compares with
	@$(BIN)/python -m service openapi >docs/released/openapi.making && mv docs/released/openapi.making docs/released/openapi.json

$(TOOLS)/bin/crane:
	$(call go_install,$(CRANE),crane)

.PHONY: release-check
release-check: $(RELEASE)/notes.md ## whether TAG is the version of service, chart and changelog
	@[ "$(TAG)" = "v$(VERSION)" ] || { echo "the tag is $(TAG), and the service $(VERSION)" >&2; exit 1; }
	@grep -qx 'version: $(VERSION)' helm/tasks-service/Chart.yaml || { echo "the chart is not at $(VERSION)" >&2; exit 1; }

.PHONY: $(RELEASE)/notes.md
$(RELEASE)/notes.md:
	@mkdir -p $(@D)
	@awk '/^## /{found = index($$0, "## [$(VERSION)]") == 1; next} found' CHANGELOG.md >$@
	@grep -q . $@ || { echo "CHANGELOG.md has nothing about $(VERSION)" >&2; exit 1; }

.PHONY: release-login
release-login: $(TOOLS)/bin/crane ## log in to REGISTRY, with REGISTRY_USER and REGISTRY_PASSWORD from the environment
	@printf %s "$$REGISTRY_PASSWORD" | crane auth login "$(firstword $(subst /, ,$(REGISTRY)))" --username "$$REGISTRY_USER" --password-stdin

.PHONY: release-image
release-image: $(TOOLS)/bin/crane ## build and push the image of this machine's ARCHITECTURE
	@$(MAKE) image IMAGE="$(PUBLISHED):$(VERSION)-$(ARCHITECTURE)"
	@mkdir -p $(RELEASE)
	@rm -f $(RELEASE)/image.tar
	@if docker info >/dev/null 2>&1; then engine=docker; else engine=podman; fi; \
	$$engine save --output $(RELEASE)/image.tar "$(PUBLISHED):$(VERSION)-$(ARCHITECTURE)"
	crane push $(RELEASE)/image.tar "$(PUBLISHED):$(VERSION)-$(ARCHITECTURE)"

.PHONY: release-index
release-index: $(TOOLS)/bin/crane ## one image of all ARCHITECTURES, under the version alone
	crane index append $(foreach each,$(ARCHITECTURES),--manifest "$(PUBLISHED):$(VERSION)-$(each)") --tag "$(PUBLISHED):$(VERSION)"
	@echo "digest=$$(crane digest "$(PUBLISHED):$(VERSION)")" >>$(OUTPUT)

.PHONY: release-chart
release-chart: $(TOOLS)/bin/helm $(TOOLS)/bin/crane ## package and push the chart
	helm package helm/tasks-service --destination $(RELEASE)
	helm push $(RELEASE)/tasks-service-$(VERSION).tgz "oci://$(REGISTRY)/charts" $(HELM_PUSH)
	@echo "digest=$$(crane digest "$(REGISTRY)/charts/tasks-service:$(VERSION)")" >>$(OUTPUT)

.PHONY: release-sbom
release-sbom: $(TOOLS)/bin/trivy $(TOOLS)/bin/crane ## what the image holds, as CycloneDX
	@mkdir -p $(RELEASE)
	crane pull --platform linux/amd64 "$(PUBLISHED):$(VERSION)" $(RELEASE)/image.tar
	trivy image --quiet --skip-version-check --disable-telemetry --input $(RELEASE)/image.tar --format cyclonedx --output $(RELEASE)/sbom.cdx.json

.PHONY: release-publish
release-publish: $(RELEASE)/notes.md ## the release on the forge, with its notes from the changelog; with gh
	gh release create "v$(VERSION)" --verify-tag --title "$(VERSION)" --notes-file $< $(RELEASE)/sbom.cdx.json
