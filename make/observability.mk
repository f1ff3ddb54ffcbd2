# The dashboard's library and the drill's plotting library come beside the development tools: the drift test needs the
# first.
test check: $(VENV)/.dashboard

.PHONY: dashboard
dashboard: $(VENV)/.dashboard ## write the chart's Grafana dashboard anew from its source
	@$(BIN)/python -m helm.dashboard

.PHONY: drill-dashboards
drill-dashboards: $(VENV)/.dashboard ## break the service fault by fault, see the panels move, draw docs/images
	@$(BIN)/python -m tests.observability.drill

.PHONY: compose-rules
compose-rules: $(VENV)/.dev $(TOOLS)/bin/helm ## the chart's rules for compose.yaml's Prometheus
	@$(BIN)/python compose/rules.py
