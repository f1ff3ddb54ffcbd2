"""From the release before this one to this one and back, while clients write and follow."""

from pathlib import Path

from tests.cluster.kube import PREVIOUS_IMAGE, Namespace
from tests.cluster.running import Ledger
from tests.support.drill import report

DATABASE = ("pod", "tasks-service-postgresql-0")


def test_up_and_back_under_load(space: Namespace, previous_chart: Path) -> None:
    space.release("install", "default.yaml", chart=previous_chart, image=PREVIOUS_IMAGE)
    database = space.get(*DATABASE)["metadata"]["uid"]
    with Ledger(space) as ledger:  # streams open as soon as there are pods that have them
        space.release("upgrade", "default.yaml")
        space.until_ready(2)
    orderly(ledger, "upgrade from the previous release")
    with Ledger(space, streams="off") as ledger:
        space.helm("rollback", "tasks", "--wait", "--timeout", "4m")
        space.until_ready(2)
    orderly(ledger, "rollback to the previous release")
    assert {pod["spec"]["containers"][0]["image"] for pod in space.pods()} == {PREVIOUS_IMAGE}
    with Ledger(space) as ledger:
        space.release("upgrade", "default.yaml")
        space.until_ready(2)
    orderly(ledger, "upgrade after the rollback")
    assert space.get(*DATABASE)["metadata"]["uid"] == database


def orderly(ledger: Ledger, what: str) -> None:
    report(what, **ledger.found)
    assert ledger.orderly()["streams"] > 0
