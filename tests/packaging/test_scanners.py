"""Scanners find nothing but what is argued here, one line each; an argument that nothing needs any more fails too."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.chart import CHART, OLDEST_KUBERNETES
from tests.support.tools import ROOT, succeed, tool

SCANNED = ["default.yaml", "external.yaml", "cloudnativepg.yaml", "ingress.yaml", "gateway.yaml", "migrate-down.yaml"]

CHECKOV_KUBERNETES = {
    ("CKV_K8S_8", "Pod"): "the pod of `helm test` runs once and ends; there is nothing to keep alive",
    ("CKV_K8S_9", "Pod"): "see CKV_K8S_8",
    ("CKV_K8S_11", "*"): "a CPU limit throttles, and throttling is latency; requests divide the node fairly without it",
    (
        "CKV_K8S_15",
        "*",
    ): "tags are never moved, and production pins a digest: pulling again would only add a dependency",
    ("CKV_K8S_35", "Deployment"): "only with CloudNativePG: its operator makes user and password, not our URL",
    ("CKV_K8S_40", "StatefulSet"): "999 is the user that the official PostgreSQL image is made for",
    ("CKV_K8S_43", "*"): "a default digest would name a build of somebody else's; image.digest is there to be set",
}
CHECKOV_DOCKERFILE = {
    ("CKV_DOCKER_2", "*"): "Kubernetes ignores HEALTHCHECK; the chart has probes",
    ("CKV_DOCKER_7", "*"): "the base is a build argument with a tag, which checkov does not resolve",
}
TRIVY = {
    "AVD-KSV-0011": "see CKV_K8S_11",
    "AVD-KSV-0020": "999 is the user that the official PostgreSQL image is made for",
    "AVD-KSV-0021": "see AVD-KSV-0020",
    "AVD-DS-0026": "see CKV_DOCKER_2",
}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests")
    for name in SCANNED:
        values = str(CHART / "ci" / name)
        options = ["--namespace", "tasks", "--kube-version", OLDEST_KUBERNETES, "--values", values]
        (folder / name).write_text(succeed(tool("helm"), "template", "tasks", CHART, *options))
    return folder


def test_hadolint_finds_nothing() -> None:
    assert succeed(tool("hadolint"), "Dockerfile") == ""


def test_checkov_finds_nothing_in_the_manifests(manifests: Path) -> None:
    _assert_argued(_checkov("--framework", "kubernetes", "--directory", str(manifests)), CHECKOV_KUBERNETES)


def test_checkov_finds_nothing_in_the_dockerfile() -> None:
    found = _checkov("--framework", "dockerfile", "--file", str(ROOT / "Dockerfile"))

    _assert_argued(found, CHECKOV_DOCKERFILE)


def _checkov(*arguments: str) -> set[tuple[str, str]]:
    """(check, kind of resource) of everything that failed."""
    options = ["--output", "json", "--soft-fail", "--skip-download", "--quiet", "--compact"]
    report: dict[str, Any] = json.loads(succeed(tool("checkov"), *arguments, *options, timeout_seconds=110))
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    return {(c["check_id"], c["resource"].partition(".")[0]) for c in report["results"]["failed_checks"]}


def _assert_argued(found: set[tuple[str, str]], argued: dict[tuple[str, str], str]) -> None:
    unargued = [(check, kind) for check, kind in found if not {(check, kind), (check, "*")} & argued.keys()]
    assert sorted(unargued) == []
    stale = [
        (check, kind)
        for check, kind in argued
        if not any(check == seen and kind in {"*", seen_kind} for seen, seen_kind in found)
    ]
    assert stale == [], "nothing needs these arguments any more"
