# One at a time: they compare times. DRILL=1 picks the long variant of each test that has one.
.PHONY: drills
drills: $(VENV)/.dev ## the long variants of the fault tests, 15 minutes or so, and their figures; ARGS=path narrows it
	@mkdir -p .data && rm -f .data/drills.txt
	@DRILL=1 DRILL_REPORT="$$PWD"/.data/drills.txt $(BIN)/python -m pytest -m drill --timeout 1800 $(ARGS); \
	status=$$?; echo; cat .data/drills.txt 2>/dev/null; exit $$status
