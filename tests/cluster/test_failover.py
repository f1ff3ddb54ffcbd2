"""The example of k8s/patroni loses its primary, in each way, while clients write and follow."""

import os
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cluster import patroni
from tests.cluster.kube import Namespace, insist
from tests.cluster.running import Ledger
from tests.support.drill import eventually, pick, report

AROUND_SECONDS = 5.0
Fault = Callable[[Namespace], None]


@pytest.fixture(scope="module")
def databases(space: Namespace) -> Namespace:
    patroni.install(space)
    return space


@pytest.fixture(scope="module", params=pick(["direct", "pooled"], ["direct", "pooled", "listed"]))
def release(databases: Namespace, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """As the example's README installs it."""
    settings = ["postgresql.enabled=false", f"database.existingSecret={request.param}"]
    if request.param == "pooled":
        settings += ["database.pooler.mode=transaction", "database.pooler.maxServerConnections=80"]
        settings += ["networkPolicy.databasePorts={5432,6432}"]
    if request.param == "listed":
        settings += ["database.connectTimeoutSeconds=6"]
    databases.release("install", *settings)
    yield databases
    databases.helm("uninstall", "tasks", "--wait")


@pytest.mark.parametrize(
    ("fault", "error_seconds_max"),
    [
        pytest.param(patroni.switch_over, 20, id="switchover"),
        pytest.param(patroni.kill, 40, id="primary killed"),
        pytest.param(patroni.take_away, 60, id="primary gone"),
        pytest.param(patroni.cut_off, 60, id="primary cut off"),
        pytest.param(patroni.isolate, 60, id="primary isolated"),
        pytest.param(patroni.lose_the_api, 5, id="API lost"),
    ],
)
@pytest.mark.parametrize(
    "synchronous", pick([True], [True, False]), ids=lambda on: "synchronous" if on else "asynchronous"
)
def test_writes_survive_the_loss_of_the_primary(
    release: Namespace, fault: Fault, error_seconds_max: float, request: pytest.FixtureRequest, *, synchronous: bool
) -> None:
    """Without a synchronous standby the last writes can be lost: that is counted, and nothing may come twice."""
    with patroni.synchronous(release, on=synchronous):
        with Ledger(release) as ledger:
            time.sleep(AROUND_SECONDS)
            fault(release)
            eventually(lambda: insist(lambda: patroni.healthy(release)), 180)
            time.sleep(AROUND_SECONDS)
        report(request.node.callspec.id, load=os.getloadavg()[0], **ledger.found)
    if synchronous:
        ledger.kept()
    assert ledger.found["twice"] == []
    assert ledger.found["error_seconds"] <= error_seconds_max, ledger.found
