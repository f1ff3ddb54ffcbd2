"""Break the service fault by fault and see which panels move: `make drill-dashboards`."""
