"""From nothing: each file of ci/ and each overlay that needs no foreign operator, and a user's way through."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import __version__
from tests.cluster import externals
from tests.cluster.kube import IMAGE, Namespace, command
from tests.cluster.running import config_map, pod, until_it_ends
from tests.packaging.chart import CHART, VALUES_FILES
from tests.support.database import ROOT
from tests.support.drill import eventually
from tests.support.tools import missing, tool

FOREIGN = {
    "cloudnativepg.yaml": "the CloudNativePG operator",
    "cloudnativepg-direct.yaml": "the CloudNativePG operator",
    "monitoring.yaml": "the Prometheus operator",
    "podmonitor.yaml": "the Prometheus operator",
    "migrate-down.yaml": "a release before it: see test_release.py",
}
TESTER = {"app.kubernetes.io/component": "test"}
TESTER |= {"app.kubernetes.io/name": "tasks-service", "app.kubernetes.io/instance": "tasks"}
"""Whom the network policies let in to the administrative port."""
EXTERNAL_DATABASE = {"external.yaml", "hook.yaml", "pgbouncer.yaml"}
OURS = [name for name in VALUES_FILES if name not in FOREIGN]
NOT_HERE = {
    "everything.yaml": (
        # The image of the sidecar is nobody's, its command one that stays; the collector is not there to be asked.
        f"extraContainers[0].image={IMAGE}",
        "extraContainers[0].command={python,-c,import signal; signal.pause()}",
        "extraEnv=null",
        "auth.oidcIssuer=",
        "topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
        "service.type=ClusterIP",
    ),
    # One that behaves in transaction mode is PostgreSQL itself; with PgBouncer: the drills of a failover.
    "pgbouncer.yaml": ("autoscaling.minReplicas=1", "autoscaling.maxReplicas=3"),
    "external.yaml": ("imagePullSecrets=null",),
}


@contextmanager
def needed(space: Namespace, values_file: str, folder: Path) -> Iterator[None]:
    externals.secrets(space)
    if values_file in EXTERNAL_DATABASE:
        externals.database(space, folder, verified=values_file == "external.yaml")
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "important"},
        "value": 1,
    }
    if values_file == "everything.yaml":
        space.apply(priority)
    try:
        yield
    finally:
        externals.gone(space)
        if values_file == "everything.yaml":
            space.kubectl("delete", "priorityclass/important")


@pytest.mark.parametrize("values_file", OURS)
def test_each_example_installs_from_nothing(space: Namespace, values_file: str, tmp_path: Path) -> None:
    if values_file == "gateway.yaml":
        need_the_gateway_api()
    with needed(space, values_file, tmp_path):
        try:
            space.release("install", values_file, *NOT_HERE.get(values_file, ()))
            if values_file == "migrate-up.yaml":
                space.kubectl("wait", "--for=condition=complete", "job", "--all", "--timeout=60s")
            walk_through(space, values_file)
        finally:
            space.helm("uninstall", "tasks", "--wait", "--ignore-not-found")
            eventually(lambda: not space.get("pods", "--selector", "app.kubernetes.io/instance=tasks")["items"], 90)


def need_the_gateway_api() -> None:
    if "httproutes" not in command(tool("kubectl"), "api-resources"):
        missing("the cluster's Gateway API", "kubectl apply --filename standard-install.yaml")


def walk_through(space: Namespace, values_file: str) -> None:
    """What `helm test` runs, also where the values leave it out."""
    values = yaml.safe_load((CHART / "ci" / values_file).read_text()) or {}
    if values.get("helmTest", {}).get("enabled", True):
        assert "leave: ok" in space.helm("test", "tasks", "--logs")
    else:
        accept(space)


def accept(space: Namespace) -> None:
    command = ["python", "/test/acceptance.py", "http://tasks-service", "http://tasks-service-admin:9000"]
    space.apply(
        config_map("acceptance", {"acceptance.py": (CHART / "files" / "acceptance.py").read_text()}),
        pod("acceptance", command, "/test", labels=TESTER),
    )
    assert "leave: ok" in until_it_ends(space, "acceptance", 60)
    space.kubectl("delete", "pod/acceptance", "configmap/acceptance")


@pytest.mark.parametrize("variant", ["evaluation", "base", "gateway"])
def test_kustomize_installs_from_nothing(space: Namespace, variant: str, tmp_path: Path) -> None:
    """The files as they are, in a namespace of the test's own."""
    if variant == "gateway":
        need_the_gateway_api()
    folder = ROOT / "k8s" / ("base" if variant == "base" else f"overlays/{variant}")
    manifests = [
        m for m in yaml.safe_load_all(command(tool("kubectl"), "kustomize", folder)) if m["kind"] != "Namespace"
    ]
    for manifest in manifests:
        manifest["metadata"]["namespace"] = space.name
    if variant != "evaluation":
        externals.secrets(space, prefix="tasks-service")
        externals.database(space, tmp_path, prefix="tasks-service")
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": [with_image(m) for m in manifests]})
    try:
        space.kubectl("apply", "--filename", "-", stdin=given)
        space.kubectl("rollout", "status", "deployment/tasks-service", "--timeout=240s")
        accept(space)
    finally:
        space.kubectl("delete", "--wait", "--filename", "-", stdin=given)
        space.kubectl("delete", "pvc", "--all")
        externals.gone(space)


def with_image(manifest: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(manifest)
    found: dict[str, Any] = json.loads(text.replace(f'"tasks-service:{__version__}"', json.dumps(IMAGE)))
    return found
