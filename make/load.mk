K6 := go.k6.io/k6@v1.8.1
SCRIPT ?= load

# The runner needs the project's root on its path; k6 gets BASE_URL, ADMIN_URL, REPORT and each script's own settings
# from the environment, and so do variables given to make.
.PHONY: load
load: $(VENV)/.local ## k6: SCRIPT=load (see docs/load-testing.md); BASE_URL= and ADMIN_URL= for a service that runs
	@PYTHONPATH=. $(BIN)/python loadtests/run.py $(SCRIPT)

tools: tools-k6

.PHONY: tools-k6
tools-k6: $(shell command -v k6 >/dev/null || echo $(TOOLS)/bin/k6)

.PHONY: growth
growth: $(VENV)/.local ## what a page of the list costs as tasks grow to millions, half an hour or so (SIZES=, OTHERS=)
	@PYTHONPATH=. $(BIN)/python -m loadtests.growth

.PHONY: migration
migration: $(VENV)/.local ## how long a million tasks take to migrate, and what clients notice (TASKS=, FROM= a revision)
	@PYTHONPATH=. $(BIN)/python -m loadtests.migration

.PHONY: index-cost
index-cost: $(VENV)/.local ## what the indexes by due time and priority cost a write (TASKS=, ROUNDS=)
	@PYTHONPATH=. $(BIN)/python -m loadtests.index_cost
