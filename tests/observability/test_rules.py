"""The alert rules are valid, each is tested to fire and not to fire, and each leads to a runbook."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.chart import Rendered, render
from tests.observability.promql import selectors
from tests.support.database import ROOT
from tests.support.tools import tool

CASES = Path(__file__).parent / "alerts"
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK_HEADINGS = ["## What it means", "## How to look", "## What to do"]


@pytest.fixture(scope="module")
def rule_folder(rendered: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yaml").write_text(yaml.safe_dump(rendered.rules))
    return folder


def promtool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [tool("promtool"), *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=60)


def case(alert: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CASES / f"{alert}.yaml").read_text())
    return loaded


def test_promtool_finds_no_fault_in_the_rules(rule_folder: Path) -> None:
    checked = promtool(rule_folder, "check", "rules", "--lint-fatal", "rules.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("alert", sorted(path.stem for path in CASES.glob("*.yaml")))
def test_alert_fires_when_it_should_and_only_then(alert: str, rule_folder: Path) -> None:
    (rule_folder / f"{alert}.yaml").write_text((CASES / f"{alert}.yaml").read_text())
    tested = promtool(rule_folder, "test", "rules", f"{alert}.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not(rendered: Rendered) -> None:
    assert sorted(rendered.alerts) == sorted(path.stem for path in CASES.glob("*.yaml"))
    for alert in rendered.alerts:
        outcomes = set()
        for test in case(alert)["tests"]:
            for check in test["promql_expr_test"]:
                assert f'alertname="{alert}"' in check["expr"]
                outcomes.add(bool(check["exp_samples"]))
        assert outcomes == {True, False}, alert


def test_every_alert_says_how_bad_it_is_and_what_to_do(rendered: Rendered) -> None:
    for name, alert in rendered.alerts.items():
        assert alert["labels"]["severity"] in {"critical", "warning"}, name
        assert alert["annotations"]["summary"], name
        assert alert["annotations"]["description"], name
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"


def test_every_alert_has_a_runbook_and_every_runbook_an_alert(rendered: Rendered) -> None:
    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("TasksService*.md")}
    assert sorted(pages) == sorted(rendered.alerts)
    for name, page in pages.items():
        assert [line for line in page.splitlines() if line.startswith("## ")] == RUNBOOK_HEADINGS, name
        assert page.startswith(f"# {name}\n")
        assert f"Severity: {rendered.alerts[name]['labels']['severity']}" in page
        assert "```promql" in page, f"{name} shows no query"


def test_runbook_url_follows_the_base_url() -> None:
    elsewhere = render("metrics.prometheusRule.runbookBaseUrl=https://git.example.com/runbooks/")
    for name, alert in elsewhere.alerts.items():
        assert alert["annotations"]["runbook_url"] == f"https://git.example.com/runbooks/{name}.md"


def test_rules_watch_this_release_alone(rendered: Rendered) -> None:
    """Names like http_request_duration_seconds are everybody's: without matchers strangers are paged."""
    for rule in [*rendered.alerts.values(), *rendered.recorded]:
        chosen = selectors(rule["expr"])
        assert chosen
        for selector in chosen:
            assert 'namespace="prod"' in selector, rule
            assert "tasks-service" in selector, rule


def test_pod_selector_matches_the_longest_name_a_release_can_have() -> None:
    long = render("fullnameOverride=" + "n" * 40)
    spec = next(o["spec"] for o in long.objects if o["kind"] == "PrometheusRule")
    name = next(o["metadata"]["name"] for o in long.objects if o["kind"] == "Deployment")
    assert f'pod=~"{name}-[a-z0-9]+-[a-z0-9]{{5}}"' in yaml.safe_dump(spec, width=10_000)
    assert len(f"{name}-7c9f8d6b5d-") <= 58, "Kubernetes would cut the pod's name"
