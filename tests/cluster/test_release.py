"""What Helm, kubectl and the autoscaler do to one release, and what is left of it at the end."""

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kube import PREVIOUS_IMAGE, Namespace, Refused, command
from tests.packaging.chart import CHART
from tests.support.database import ROOT
from tests.support.drill import eventually
from tests.support.tools import tool

DEPLOYMENT = "deployment/tasks-service"
CONFLICT = r"conflicts? with .*kubectl"
AUTOSCALED = ("autoscaling.enabled=true", "autoscaling.minReplicas=2", "autoscaling.maxReplicas=3")


@pytest.fixture
def release(space: Namespace) -> Iterator[Namespace]:
    """Three pods, on a database of their own."""
    space.release("install", "replicaCount=3")
    yield space
    space.kubectl("delete", "job", "--all")
    space.helm("uninstall", "tasks", "--wait")


def replicas(space: Namespace) -> int:
    return int(space.get(DEPLOYMENT)["spec"]["replicas"])


def image(space: Namespace) -> str:
    return str(space.get(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_turning_the_autoscaler_on_keeps_the_pods(space: Namespace, helm: str) -> None:
    space.release("install", "replicaCount=3", helm=helm)
    pods = set(space.ready_pods())
    for level in ("info", "debug"):  # the second upgrade finds the autoscaler there
        space.release("upgrade", *AUTOSCALED, f"log.level={level}", helm=helm)
        assert replicas(space) == 3
        if level == "info":
            assert set(space.ready_pods()) == pods
    space.helm("uninstall", "tasks", "--wait", helm=helm)


def test_what_kubectl_changes_is_a_conflict_that_force_takes_back(release: Namespace) -> None:
    """The sentences of docs/operations.md about those who used kubectl all the same."""
    release.release("upgrade", "replicaCount=3", "log.level=debug")
    release.kubectl("rollout", "undo", DEPLOYMENT)
    taken_back_by_force(release)
    release.kubectl("scale", DEPLOYMENT, "--replicas=2")
    with pytest.raises(Refused, match=CONFLICT):
        release.helm("rollback", "tasks", "--wait")
    taken_back_by_force(release)
    assert replicas(release) == 3


def taken_back_by_force(release: Namespace) -> None:
    """Once is enough: the upgrade after it needs no force."""
    with pytest.raises(Refused, match=CONFLICT):
        release.release("upgrade", "replicaCount=3", "log.level=warning")
    release.helm("upgrade", "tasks", CHART, "--reuse-values", "--force-conflicts", "--wait", "--timeout", "4m")
    release.release("upgrade", "replicaCount=3", "log.level=error")
    release.release("upgrade", "replicaCount=3", "log.level=debug")


def test_what_the_documents_say_instead_leaves_the_release_upgradable(release: Namespace) -> None:
    release.release("upgrade", "replicaCount=3", "log.level=debug")
    release.helm("rollback", "tasks", "--wait", "--timeout", "4m")
    release.kubectl("rollout", "restart", DEPLOYMENT)
    release.kubectl("rollout", "status", DEPLOYMENT)
    release.helm("upgrade", "tasks", CHART, "--reuse-values", "--set", "replicaCount=0", "--wait")
    eventually(lambda: not release.pods(), 60)
    release.helm("rollback", "tasks", "--wait", "--timeout", "4m")
    assert replicas(release) == 3
    release.release("upgrade", "replicaCount=3", "log.level=debug")


def test_a_downgrade_waits_for_the_pods_that_need_the_schema(release: Namespace, previous_chart: Path) -> None:
    """The procedure of docs/operations.md, and what meets whoever leaves out its first step."""
    old, new = f"image.tag={PREVIOUS_IMAGE.partition(':')[2]}", image(release)
    downgrade = ("migrations.job.enabled=true", "migrations.job.action=downgrade", "migrations.job.to=10")
    with pytest.raises(Refused, match="a downgrade beside pods of the same image"):
        job(release, *downgrade)
    release.release("upgrade", "replicaCount=3", old, chart=previous_chart)
    manifest = job(release, *downgrade, f"image.tag={new.partition(':')[2]}")
    release.kubectl("create", "--filename", "-", stdin=manifest)
    assert "undone 11_" in waited(release, "tasks-service-migrate-downgrade-to-10-1")
    # What goes wrong is told at once, not at the end of the wait.
    release.kubectl(
        "create", "--filename", "-", stdin=manifest.replace("downgrade-to-10", "downgrade-to-9").replace('"10"', '"9"')
    )
    began_at = time.monotonic()
    with pytest.raises(Refused, match="timed out"):
        waited(release, "tasks-service-migrate-downgrade-to-9-1")
    assert time.monotonic() - began_at < 90


def job(space: Namespace, *settings: str) -> str:
    sets = [part for setting in settings for part in ("--set-string" if ".to=" in setting else "--set", setting)]
    rendered = space.helm(
        "template", "tasks", CHART, "--dry-run=server", *sets, "--show-only", "templates/migration-job.yaml"
    )
    return rendered.replace("namespace: default", f"namespace: {space.name}")


def waited(space: Namespace, name: str) -> str:
    """The three commands of docs/operations.md, as they stand there; the Job's log."""
    text = (ROOT / "docs" / "operations.md").read_text()
    commands = re.findall(r"^kubectl --namespace tasks ((?:wait|logs) .*\$JOB)", text, re.MULTILINE)
    assert len(commands) == 3
    log = ""
    for line in commands:
        words = shlex.split(line.replace("$JOB", f"job/{name}"))
        printed = space.kubectl(*words)
        log = printed if words[0] == "logs" else log
    return log


def test_a_schema_taken_away_is_out_of_service_and_back(release: Namespace) -> None:
    pod = release.ready_pods()[0]
    migrate = ("exec", pod, "--container", "tasks-service", "--", "python", "-m", "service", "migrate")
    release.kubectl(*migrate, "downgrade", "--to", "10")
    eventually(lambda: not release.ready_pods(), 40)
    release.kubectl(*migrate, "upgrade")
    release.until_ready(3, 40)
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in release.pods()]
    assert restarts == [0, 0, 0]


def test_nothing_is_left_after_a_test_and_an_uninstall(space: Namespace) -> None:
    space.release("install", "default.yaml")
    assert "leave: ok" in space.helm("test", "tasks", "--logs")
    space.helm("uninstall", "tasks", "--wait")
    kinds = "all,configmap,secret,pvc,serviceaccount,networkpolicy,poddisruptionbudget"
    eventually(lambda: set(left(space, kinds)) <= {"configmap/kube-root-ca.crt", "serviceaccount/default"}, 60)


def left(space: Namespace, kinds: str) -> list[str]:
    return space.kubectl("get", kinds, "--output", "name").split()


def test_the_namespace_takes_nothing_that_is_not_restricted(space: Namespace) -> None:
    """Else the tests above would show nothing."""
    pod = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containers":[{"name":"x","image":"x"}]}}'
    with pytest.raises(Refused, match="violates PodSecurity"):
        command(tool("kubectl"), "--namespace", space.name, "apply", "--filename", "-", stdin=pod)
