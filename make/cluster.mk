PREVIOUS = $(shell cat tests/cluster/previous)
# What brings an image into the cluster, such as `kind load docker-image`; nothing where it takes this machine's.
LOAD ?= :

.PHONY: test-cluster
test-cluster: $(VENV)/.dev ## chart, upgrades and faults on the cluster that KUBECONFIG names (NODE_SHELL=, ARGS=path)
	@$(BIN)/python -m pytest -m cluster tests/cluster $(ARGS)

.PHONY: cluster-images
cluster-images: ## the images that test-cluster runs, of this release and the one before (LOAD='kind load docker-image')
	$(MAKE) image
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && git archive $(PREVIOUS) | tar -x -C "$$folder" \
		&& $(MAKE) -C "$$folder" image IMAGE=tasks-service:previous BUILD_ARGS="$(BUILD_ARGS)"
	$(BUILDER) --tag tasks-patroni:1 $(BUILD_ARGS) k8s/patroni
	$(LOAD) $(IMAGE)
	$(LOAD) tasks-service:previous
	$(LOAD) tasks-patroni:1

KIND := sigs.k8s.io/kind@v0.33.0

$(TOOLS)/bin/kind:
	$(call go_install,$(KIND),kind)

.PHONY: kind
kind: $(TOOLS)/bin/kind $(TOOLS)/bin/helm ## test-cluster on a new cluster in containers, which is deleted after it; with docker and kubectl
	@docker info >/dev/null 2>&1 || { echo 'make kind needs docker, with an engine that answers' >&2; exit 1; }
	@export KUBECONFIG="$$PWD/$(TOOLS)/kind.yaml"; trap 'kind delete cluster --name tasks-tests' EXIT; \
	kind create cluster --name tasks-tests \
		&& $(MAKE) cluster-images LOAD='kind load docker-image --name tasks-tests' \
		&& $(MAKE) test-cluster NODE_SHELL='docker exec tasks-tests-control-plane'
