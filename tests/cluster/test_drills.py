"""What happens to clusters, while clients write and follow: what these lost, and for how long they met errors."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster import faults
from tests.cluster.kube import Namespace, insist
from tests.cluster.running import Ledger
from tests.support.drill import eventually, report

AROUND_SECONDS = 5.0


@pytest.fixture(scope="module")
def release(space: Namespace) -> Iterator[Namespace]:
    space.release("install", "default.yaml")
    yield space
    space.helm("uninstall", "tasks", "--wait")


@pytest.mark.parametrize(
    ("fault", "pods", "error_seconds_max"),
    [
        pytest.param(faults.upgrade, 2, 0, id="upgrade"),
        pytest.param(faults.roll_back, 2, 0, id="rollback"),
        pytest.param(faults.scale_up, 3, 0, id="scaled up"),
        pytest.param(faults.scale_down, 2, 0, id="scaled down"),
        pytest.param(faults.delete_a_pod, 2, 0, id="pod deleted"),
        pytest.param(faults.kill_a_pod, 2, 3, id="pod killed"),
        pytest.param(faults.kill_a_process, 2, 3, id="process killed"),
        pytest.param(faults.exhaust_memory, 2, 10, id="out of memory"),
        pytest.param(faults.delete_all_pods, 2, 60, id="all pods deleted"),
        pytest.param(faults.throttle, 2, 60, id="CPU throttled"),
        pytest.param(faults.kill_the_database, 2, 60, id="database pod killed"),
        pytest.param(faults.restart_containerd, 2, 0, id="containerd killed"),
        pytest.param(faults.take_the_api_server_away, 2, 0, id="API server away for a minute"),
    ],
)
def test_nothing_is_lost(release: Namespace, fault: faults.Fault, pods: int, error_seconds_max: float) -> None:
    with Ledger(release) as ledger:
        time.sleep(AROUND_SECONDS)
        fault(release)
        eventually(lambda: insist(release.all_ready) == pods, 180)
        time.sleep(AROUND_SECONDS)
    report(fault.__name__, **ledger.found)
    if error_seconds_max:
        assert ledger.kept()["error_seconds"] <= error_seconds_max, ledger.found
    else:
        ledger.orderly()
