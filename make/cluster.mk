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
	$(LOAD) $(IMAGE)
	$(LOAD) tasks-service:previous
