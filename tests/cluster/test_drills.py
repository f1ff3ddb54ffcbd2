"""What happens to clusters, while clients write and follow: what these lost, and for how long they met errors."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.kube import Namespace, insist, on_node
from tests.cluster.running import Ledger
from tests.support.drill import eventually, report

PROCESSES = "ps -eo pid,args | awk '/[p]ython -m service serve/ {print $1}'"
AROUND_SECONDS = 5.0
Fault = Callable[[Namespace], None]


@pytest.fixture(scope="module")
def release(space: Namespace) -> Iterator[Namespace]:
    space.release("install", "default.yaml")
    yield space
    space.helm("uninstall", "tasks", "--wait")


def upgrade(space: Namespace) -> None:
    space.release("upgrade", "log.level=debug")


def roll_back(space: Namespace) -> None:
    space.helm("rollback", "tasks", "--wait", "--timeout", "4m")


def delete_all_pods(space: Namespace) -> None:
    space.kubectl("delete", "pod", *space.ready_pods())


def kill_a_pod(space: Namespace) -> None:
    """SIGKILL, as a node that runs out of memory gives it; nothing is told to anybody before."""
    space.kubectl("delete", "pod", space.ready_pods()[0], "--grace-period=0", "--force")


def kill_a_process(_: Namespace) -> None:
    on_node(f"kill -9 $({PROCESSES} | head -n 1)")


@pytest.mark.parametrize(
    ("fault", "pods", "unserved_seconds_max"),
    [
        pytest.param(upgrade, 2, 0, id="upgrade"),
        pytest.param(roll_back, 2, 0, id="rollback"),
        pytest.param(kill_a_pod, 2, 3, id="pod killed"),
        pytest.param(kill_a_process, 2, 3, id="process killed"),
        pytest.param(delete_all_pods, 2, 30, id="all pods deleted"),
    ],
)
def test_nothing_is_lost(release: Namespace, fault: Fault, pods: int, unserved_seconds_max: float) -> None:
    with Ledger(release) as ledger:
        time.sleep(AROUND_SECONDS)
        fault(release)
        eventually(lambda: insist(release.all_ready) == pods, 180)
        time.sleep(AROUND_SECONDS)
    found = ledger.kept()
    report(fault.__name__, **found)
    if unserved_seconds_max == 0:
        assert found["errors"] == {}
    else:
        assert found["longest_error_seconds"] <= unserved_seconds_max, found
