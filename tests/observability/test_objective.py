"""One value, slo.latencyMs, is the histogram's bucket, the alerts', the dashboard's line and the load tests'."""

import re
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from helm.dashboard.assembly import CONSTANTS
from loadtests.run import objective
from tests.observability.chart import CHART, Rendered, queries, render
from tests.support.database import ROOT

LOADTESTS = ROOT / "loadtests"


def values() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return loaded


def bucket_label(milliseconds: int) -> str:
    """How the service's client library writes the bucket that lies at the objective."""
    registry = CollectorRegistry()
    Histogram("h", "h", buckets=[milliseconds / 1000], registry=registry)
    label = re.search(r'le="([^+"]+)"', generate_latest(registry).decode())
    assert label is not None
    return label[1]


def alert_buckets(rendered: Rendered) -> set[str]:
    return {le for rule in rendered.recorded for le in re.findall(r'le="([^"]+)"', rule["expr"])}


@pytest.mark.parametrize("milliseconds", [5, 50, 200, 250, 1000, 1500, 60_000])
def test_bucket_rules_and_dashboard_agree_on_every_objective(milliseconds: int) -> None:
    rendered = render(f"slo.latencyMs={milliseconds}")
    label = bucket_label(milliseconds)
    assert rendered.one("ConfigMap")["data"]["SLO_LATENCY_MS"] == str(milliseconds)
    assert alert_buckets(rendered) == {label}
    assert rendered.constants["slo_latency_seconds"] == label
    summary = rendered.alerts["TasksServiceLatencyBurningFast"]["annotations"]["summary"]
    assert f"{milliseconds} ms" in summary


def test_dashboard_knows_the_objective_only_by_its_constants(rendered: Rendered) -> None:
    texts = [query for _, query in queries(rendered.dashboard)]
    assert not any(re.search(r'le="[0-9]', text) for text in texts)
    assert sum("$slo_latency_seconds" in text for text in texts) >= 3


def test_file_imported_by_hand_has_the_defaults_of_the_chart() -> None:
    slo = values()["slo"]
    assert CONSTANTS["slo_latency_seconds"] == bucket_label(slo["latencyMs"])
    assert CONSTANTS["slo_latency_target"] == str(slo["latencyTarget"])
    assert CONSTANTS["slo_availability"] == str(slo["availability"])
    budget = values()["postgresql"]["maxConnections"] - values()["database"]["reservedConnections"]
    assert CONSTANTS["connection_budget"] == str(budget)


def test_shares_reach_rules_and_dashboard() -> None:
    rendered = render("slo.latencyTarget=0.95", "slo.availability=0.9995", "slo.minRequestsPerHour=7")
    assert rendered.constants["slo_latency_target"] == "0.95"
    assert rendered.constants["slo_availability"] == "0.9995"
    spent = {rule.get("labels", {}).get("sli"): rule["expr"].strip() for rule in rendered.recorded}
    assert spent["availability"].endswith("/ (1 - 0.9995)")
    assert spent["latency"].endswith("/ (1 - 0.95)")
    burning = [alert for name, alert in rendered.alerts.items() if "Burning" in name]
    assert len(burning) == 4
    assert all(alert["expr"].strip().endswith(">= 7") for alert in burning)


@pytest.mark.parametrize(
    ("settings", "budget"),
    [
        (("postgresql.maxConnections=150",), "134"),
        (
            (
                "postgresql.enabled=false",
                "database.existingSecret=db",
                "database.maxConnections=300",
                "database.reservedConnections=50",
            ),
            "250",
        ),
        (
            (
                "postgresql.enabled=false",
                "database.existingSecret=db",
                "database.pooler.mode=transaction",
                "database.pooler.maxClientConnections=640",
            ),
            "640",
        ),
    ],
)
def test_connection_budget_is_what_the_chart_counts_with(settings: tuple[str, ...], budget: str) -> None:
    rendered = render(*settings)
    assert rendered.constants["connection_budget"] == budget
    assert f"/ {budget} > 0.85" in rendered.alerts["TasksServiceConnectionBudgetNearEnd"]["expr"]


def test_load_tests_judge_by_the_objective_of_the_chart() -> None:
    latency = str(values()["slo"]["latencyMs"])
    assert objective({}) == {"SLO_LATENCY_MS": latency}
    # What k6 alone falls back to, without `make load`.
    assert f"__ENV.SLO_LATENCY_MS || {latency})" in (LOADTESTS / "lib" / "slo.js").read_text()


def test_load_tests_write_no_latency_of_their_own() -> None:
    """A figure in a threshold is the objective, or says on its line why it is another."""
    own = []
    for script in sorted(LOADTESTS.rglob("*.js")):
        for number, line in enumerate(script.read_text().splitlines(), start=1):
            if re.search(r"p\(\d+(\.\d+)?\)\s*<=?\s*\d", line) and "//" not in line:
                own.append(f"{script.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not own
