DRILLED := $(CURDIR)/.data/drills.txt

# One at a time: they compare times. DRILL=1 picks the long variant of each test that has one.
.PHONY: drills
drills: $(VENV)/.dev ## the long variants of the fault tests, 15 minutes or so, and their figures; ARGS=path narrows it
	@mkdir -p $(dir $(DRILLED)) && rm -f $(DRILLED)
	@DRILL=1 DRILL_REPORT=$(DRILLED) $(BIN)/python -m pytest -m drill --timeout 1800 $(ARGS); \
	status=$$?; echo; cat $(DRILLED) 2>/dev/null; exit $$status
