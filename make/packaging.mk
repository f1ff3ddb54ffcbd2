VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)
IMAGE ?= tasks-service:$(VERSION)
# More arguments for the builder, such as --build-arg PYTHON_IMAGE=... or --isolation chroot.
BUILD_ARGS ?=

# The docker command without an engine behind it is common, so that it has to answer, not just to be there.
BUILDER = $$(if docker info >/dev/null 2>&1; then echo docker build; \
	elif command -v podman >/dev/null; then echo podman build --format docker; \
	elif command -v buildah >/dev/null; then echo buildah build --format docker; \
	else echo 'make image needs docker, podman or buildah' >&2; echo false; fi)

.PHONY: image
image: ## the container image, with docker, podman or buildah (IMAGE=name:tag, BUILD_ARGS=...)
	$(BUILDER) --tag "$(IMAGE)" --build-arg VERSION=$(VERSION) \
		--build-arg COMMIT=$$(git rev-parse HEAD 2>/dev/null || echo unknown) $(BUILD_ARGS) .

.PHONY: chart-docs
chart-docs: $(TOOLS)/bin/helm-docs ## the chart's README from the comments in its values
	helm-docs --chart-search-root helm --sort-values-order file --log-level error

.PHONY: k8s
k8s: $(VENV)/.dev $(TOOLS)/bin/helm ## k8s/ from the chart
	$(BIN)/python k8s/render.py

.PHONY: test-image
test-image: $(VENV)/.dev ## the image, built, run and rolled for real; as root, with podman, nginx and debootstrap
	$(BIN)/python -m pytest -m container tests/packaging $(ARGS)
