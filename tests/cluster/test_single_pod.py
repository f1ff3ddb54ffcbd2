"""With one replica there is no other pod to take over: the one that goes has to serve until its successor does."""

import time

from tests.cluster.kube import Namespace
from tests.cluster.running import Ledger
from tests.support.drill import eventually, report

AROUND_SECONDS = 5.0


def test_a_pod_that_goes_serves_until_its_successor_is_ready(space: Namespace) -> None:
    space.release("install", "replicaCount=1")
    with Ledger(space) as ledger:
        space.kubectl("delete", "pod", *space.ready_pods(), "--wait=false")
        space.until_ready(1)
        time.sleep(AROUND_SECONDS)
    report("the only pod deleted", **ledger.found)
    ledger.orderly()


def test_without_the_wait_there_is_a_gap(space: Namespace) -> None:
    """What the wait is for: else the test above would show nothing."""
    space.release("upgrade", "replicaCount=1", "preStopSleepSeconds=0")
    every_pod = ("pods", "--selector", "app.kubernetes.io/component=api")
    eventually(lambda: len(space.get(*every_pod)["items"]) == 1, 120)  # those that wait would fill the gap
    with Ledger(space) as ledger:
        space.kubectl("delete", "pod", *space.ready_pods(), "--wait=false")
        space.until_ready(1)
        time.sleep(AROUND_SECONDS)
    report("the only pod deleted, without the wait", **ledger.kept())
    assert "ConnectionRefusedError" in ledger.found["errors"]
    space.helm("uninstall", "tasks", "--wait")
