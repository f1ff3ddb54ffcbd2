"""How many pods a release asks for, given what runs already."""

from pathlib import Path
from typing import Any

import pytest

from service import __version__
from tests.packaging.chart import CHART, HELMS, OLDEST_KUBERNETES, Manifest, of_kind, parse, render, the
from tests.packaging.cluster import cluster
from tests.support.tools import run, succeed, tool

IMAGE = f"tasks-service:{__version__}"
AUTOSCALED = ("autoscaling.enabled=true",)
DOWNGRADE = ("migrations.job.enabled=true", "migrations.job.action=downgrade", "migrations.job.to=3")
TEMPLATE: dict[str, Any] = {"f:template": {"f:spec": {}}}
BY_HELM = [{"manager": "helm", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}, **TEMPLATE}}}]
BY_THE_AUTOSCALER = [
    {"manager": "helm", "operation": "Apply", "fieldsV1": {"f:spec": TEMPLATE}},
    {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "subresource": "scale",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    },
]
MERGED_BY_HELM_3 = [{"manager": "helm", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}, **TEMPLATE}}}]


def running(replicas: int, managed: list[dict[str, Any]], image: str = IMAGE) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "tasks-service", "image": image}]}}
    return {
        "metadata": {"managedFields": managed},
        "spec": {"replicas": replicas, "template": pod},
        "status": {"replicas": replicas},
    }


def _command(helm: str, *settings: str) -> list[str | Path]:
    sets = [part for setting in settings for part in ("--set", setting)]
    options = ["--dry-run=server", "--disable-openapi-validation", "--kube-version", OLDEST_KUBERNETES, *sets]
    return [tool(helm), "template", "tasks", CHART, *options]


def _upgrade(folder: Path, helm: str, deployment: dict[str, Any] | None, *settings: str) -> Manifest:
    with cluster(folder, {}, deployment) as environment:
        return the(parse(succeed(*_command(helm, *settings), environment=environment)), "Deployment")


@pytest.mark.parametrize("helm", HELMS)
def test_turning_the_autoscaler_on_keeps_the_pods(tmp_path: Path, helm: str) -> None:
    for managed in (BY_HELM, MERGED_BY_HELM_3):
        assert _upgrade(tmp_path, helm, running(3, managed), *AUTOSCALED)["spec"]["replicas"] == 3


def test_the_number_that_the_autoscaler_has_set_is_left_to_it(tmp_path: Path) -> None:
    assert "replicas" not in _upgrade(tmp_path, "helm", running(3, BY_THE_AUTOSCALER), *AUTOSCALED)["spec"]


def test_a_release_that_was_taken_down_comes_back_with_the_least(tmp_path: Path) -> None:
    """An autoscaler leaves a Deployment of no pods alone for good."""
    assert _upgrade(tmp_path, "helm", running(0, BY_HELM), *AUTOSCALED)["spec"]["replicas"] == 2


def test_an_installation_leaves_the_number_to_the_autoscaler(tmp_path: Path) -> None:
    assert "replicas" not in _upgrade(tmp_path, "helm", None, *AUTOSCALED)["spec"]
    assert "replicas" not in the(render("pgbouncer.yaml"), "Deployment")["spec"]


def test_without_an_autoscaler_the_values_decide(tmp_path: Path) -> None:
    assert _upgrade(tmp_path, "helm", running(5, BY_THE_AUTOSCALER), "replicaCount=3")["spec"]["replicas"] == 3
    assert the(render("default.yaml", "replicaCount=0"), "Deployment")["spec"]["replicas"] == 0
    assert of_kind(render("default.yaml", "replicaCount=0"), "PodDisruptionBudget") == []


def test_a_single_pod_stays_until_its_successor_is_ready() -> None:
    def lifecycle(*settings: str) -> Any:
        pod = the(render("default.yaml", *settings), "Deployment")["spec"]["template"]["spec"]
        return pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

    assert lifecycle() == 0
    assert lifecycle("replicaCount=1") == lifecycle(*AUTOSCALED, "autoscaling.minReplicas=1") == 30
    assert lifecycle("replicaCount=1", "preStopSleepSeconds=0") == 0
    assert lifecycle("preStopSleepSeconds=7") == 7
    assert lifecycle("replicaCount=1", "strategy.type=Recreate") == 0, "there is no successor to wait for"


@pytest.mark.parametrize("helm", HELMS)
def test_a_downgrade_beside_pods_that_need_the_schema_is_refused(tmp_path: Path, helm: str) -> None:
    with cluster(tmp_path, {}, running(2, BY_HELM)) as environment:
        done = run(*_command(helm, *DOWNGRADE), environment=environment)
    assert done.returncode != 0
    assert f"a downgrade beside pods of the same image ({IMAGE})" in done.stderr


@pytest.mark.parametrize("deployment", [None, running(2, BY_HELM, "tasks-service:before"), running(0, BY_HELM)])
def test_a_downgrade_is_rendered_where_no_pod_needs_the_schema(
    tmp_path: Path, deployment: dict[str, Any] | None
) -> None:
    with cluster(tmp_path, {}, deployment) as environment:
        manifests = parse(succeed(*_command("helm", *DOWNGRADE), environment=environment))
    assert the(manifests, "Job")["metadata"]["name"] == "tasks-service-migrate-downgrade-to-3-1"


def test_no_upgrade_runs_a_downgrade_beside_its_own_pods() -> None:
    command: list[str | Path] = [
        tool("helm"),
        "template",
        "tasks",
        CHART,
        "--is-upgrade",
        "--kube-version",
        OLDEST_KUBERNETES,
    ]
    sets = [part for setting in DOWNGRADE for part in ("--set", setting)]
    refused = run(*command, *sets)
    assert refused.returncode != 0
    assert "replicaCount=0" in refused.stderr
    succeed(*command, *sets, "--set", "replicaCount=0")
