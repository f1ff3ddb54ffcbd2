"""Every query of dashboard, rules and runbooks, asked of a real Prometheus that scrapes the running service.

What needs a cluster cannot come from a cluster here: the series of kube-state-metrics are a file
(kube_state_metrics.prom) that a local server exposes, with the labels that kube-state-metrics gives them.
"""

import asyncio
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.observability import clients
from tests.observability.chart import NAMESPACE, POD, Rendered, queries
from tests.observability.live import Prometheus, Sample, Stack, watched
from tests.observability.promql import filled, selectors
from tests.support.database import ROOT, Database
from tests.support.tools import run, tool
from tests.support.users import sign_up

LOAD_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0
SETTINGS = {"DB_STATEMENT_TIMEOUT_SECONDS": "0.3", "DB_POOL_MIN": "2"}
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


@pytest.fixture(scope="module")
def stack(database: Database, rendered: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that has had a few seconds of traffic, one of its answers a 503."""
    folder = tmp_path_factory.mktemp("stack")
    with watched(database.url, folder, rendered.rules, SETTINGS) as stack, sign_up(stack.service.url) as user:
        assert asyncio.run(clients.fail_once(user, database.url)) == 503
        assert clients.use(user, LOAD_SECONDS) > 50
        yield stack


def has_data(samples: list[Sample]) -> bool:
    return any(not math.isnan(sample.last) for sample in samples)


def silent(prometheus: Prometheus, asked: dict[str, str]) -> list[str]:
    """Ask until all have answered, as a scrape or two may have come late on a busy machine. Returns the rest."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        rest = [f"{where}: {query}" for where, query in asked.items() if not has_data(prometheus.query(query))]
        if not rest or time.monotonic() > deadline:
            return rest
        time.sleep(0.5)


def test_every_query_of_every_panel_returns_data(stack: Stack, rendered: Rendered) -> None:
    variables = {
        **rendered.constants,
        "namespace": NAMESPACE,
        "pod": f"({POD})",
        "__rate_interval": "30s",
        "__range": "30s",
    }
    asked = {where: filled(query, variables) for where, query in queries(rendered.dashboard)}
    assert len(asked) > 60
    assert not silent(stack.prometheus, asked)


def test_every_choice_of_the_variables_is_offered(stack: Stack) -> None:
    """What the variables list is `label_values` of this series."""
    (build,) = stack.prometheus.query("tasks_service_build_info")
    assert (build.labels["namespace"], build.labels["pod"]) == (NAMESPACE, POD)


def test_every_rule_is_evaluated_without_error(stack: Stack) -> None:
    rules = stack.prometheus.rules()
    assert len(rules) > 20
    assert not [rule["name"] for rule in rules if rule["health"] != "ok"]


def test_every_recording_rule_returns_data(stack: Stack, rendered: Rendered) -> None:
    asked = {f"{rule['record']} {rule.get('labels')}": rule["expr"] for rule in rendered.recorded}
    assert not silent(stack.prometheus, asked)


def test_everything_that_an_alert_looks_at_is_there(stack: Stack, rendered: Rendered) -> None:
    """An alert that is quiet returns nothing, so each of its selectors is asked alone."""
    asked = {
        f"{name}: {selector}": selector
        for name, alert in rendered.alerts.items()
        for selector in selectors(alert["expr"])
    }
    assert not silent(stack.prometheus, asked)


def test_quiet_service_fires_no_alert_but_the_roll_out_of_the_made_up_cluster(stack: Stack) -> None:
    active = stack.prometheus.query('ALERTS{alertstate="firing", alertname!="TasksServiceMigrationFailing"}')
    burning = {sample.labels["alertname"] for sample in active}
    # One 503 among a few hundred requests is above every burn rate; the guard cannot know that it was a test.
    assert burning <= {"TasksServiceAvailabilityBurningFast", "TasksServiceAvailabilityBurningSlowly"}


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_every_query_of_a_runbook_returns_data(page: Path, stack: Stack) -> None:
    shown = re.findall(r"```promql\n(.*?)```", page.read_text(), flags=re.DOTALL)
    # Windows of days hold no more here than one of seconds, and a rate over 30 s has its samples at once.
    asked = {query: re.sub(r"\[\d+[mhd]\]", "[30s]", query) for query in shown}
    assert not silent(stack.prometheus, asked)


def test_docs_describe_every_metric(stack: Stack, rendered: Rendered) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    emitted = set(re.findall(r"^# TYPE (\w+) ", stack.service.metrics(), flags=re.MULTILINE))
    own = {name for name in emitted if not name.startswith(("process_", "python_"))}
    recorded = {rule["record"] for rule in rendered.recorded if "burn_rate" not in rule["record"]}
    assert len(own) > 10
    assert not {name for name in own | recorded if f"`{name}`" not in page}


def test_promtool_finds_no_fault_in_the_metrics(stack: Stack) -> None:
    checked = run(tool("promtool"), "check", "metrics", stdin=stack.service.metrics())
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
