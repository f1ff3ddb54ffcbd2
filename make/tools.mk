# Tools that are no Python packages of the project. Each is locked by version, and by hash where it is built: the Go
# proxy's checksum database vouches for `go install`, go.sum for crdcheck, and the requirements file for the scanners.
HELM4 := helm.sh/helm/v4/cmd/helm@v4.3.1
HELM3 := helm.sh/helm/v3/cmd/helm@v3.22.0
HELM_DOCS := github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
KUSTOMIZE := sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
OASDIFF := github.com/oasdiff/oasdiff@v1.37.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
# command:package, of Debian and its children
SYSTEM_TOOLS := nginx:nginx pgbouncer:pgbouncer prometheus:prometheus chromium:chromium podman:podman \
	buildah:buildah runc:runc debootstrap:debootstrap

.PHONY: tools
tools: go-tools tools-k6 trivy scanners system-tools ## helm, kustomize, scanners and what the drills need

.PHONY: go-tools
go-tools: $(addprefix $(TOOLS)/bin/,helm helm3 helm-docs kustomize crdcheck oasdiff actionlint crane)

# Under its final name only when it is whole: $(call go_install,package@version,command).
define go_install
	@mkdir -p $(TOOLS)/bin && rm -rf $(TOOLS)/making/$(@F)
	GOBIN="$$PWD"/$(TOOLS)/making/$(@F) go install $(1)
	@mv $(TOOLS)/making/$(@F)/$(2) $@
endef

$(TOOLS)/bin/helm:
	$(call go_install,$(HELM4),helm)

$(TOOLS)/bin/helm3:
	$(call go_install,$(HELM3),helm)

$(TOOLS)/bin/helm-docs:
	$(call go_install,$(HELM_DOCS),helm-docs)

$(TOOLS)/bin/kustomize:
	$(call go_install,$(KUSTOMIZE),kustomize)

$(TOOLS)/bin/oasdiff:
	$(call go_install,$(OASDIFF),oasdiff)

$(TOOLS)/bin/actionlint:
	$(call go_install,$(ACTIONLINT),actionlint)

$(TOOLS)/bin/k6:
	$(call go_install,$(K6),k6)

# $(call go_build,folder,package)
define go_build
	@mkdir -p $(TOOLS)/bin $(TOOLS)/making
	making="$$PWD"/$(TOOLS)/making/$(@F).built && cd ./$(1) && $(GO_SETTINGS) go build -o "$$making" $(2)
	@mv $(TOOLS)/making/$(@F).built $@
endef

$(TOOLS)/bin/crdcheck: $(wildcard tests/packaging/crdcheck/*)
	$(call go_build,tests/packaging/crdcheck,.)

# Some ten minutes on two cores, the first time.
.PHONY: trivy
trivy: $(TOOLS)/bin/trivy

$(TOOLS)/bin/trivy: GO_SETTINGS := GOEXPERIMENT=jsonv2
$(TOOLS)/bin/trivy: tests/packaging/trivy/go.mod tests/packaging/trivy/go.sum
	$(call go_build,tests/packaging/trivy,github.com/aquasecurity/trivy/cmd/trivy)

.PHONY: scanners
scanners: $(TOOLS)/scanners/.installed

$(TOOLS)/scanners/.installed: requirements/scanners.txt
	rm -rf $(TOOLS)/scanners
	"$$PYTHON" -m venv $(TOOLS)/scanners
	$(TOOLS)/scanners/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r $<
	@mkdir -p $(TOOLS)/bin
	ln -sf ../scanners/bin/checkov ../scanners/bin/hadolint $(TOOLS)/bin/
	@touch $@

# Only what is missing, and only where it can be had; elsewhere the tests that need it say so.
.PHONY: system-tools
system-tools:
	@missing=; for tool in $(SYSTEM_TOOLS); do command -v "$${tool%%:*}" >/dev/null || missing="$$missing $${tool##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then echo "not installed (needs root and apt-get):$$missing"; exit 0; fi; \
	apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing >/dev/null
