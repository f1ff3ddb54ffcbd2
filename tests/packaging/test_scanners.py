"""Scanners find nothing but what is argued here, one line each; an argument that nothing needs any more fails too."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.chart import CHART, OLDEST_KUBERNETES
from tests.support.database import ROOT
from tests.support.tools import succeed, tool

SCANNED = ["default.yaml", "external.yaml", "cloudnativepg.yaml", "ingress.yaml", "gateway.yaml", "migrate-down.yaml"]

CHECKOV = {
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
    ("CKV_DOCKER_2", "/Dockerfile"): "Kubernetes ignores HEALTHCHECK; the chart has probes",
    ("CKV_DOCKER_7", "/Dockerfile"): "the base is a build argument with a tag, which checkov does not resolve",
}
TRIVY = {
    ("DS-0026", "*"): "see CKV_DOCKER_2",
    ("KSV-0011", "*"): "see CKV_K8S_11",
    ("KSV-0020", "*"): "see CKV_K8S_40",
    ("KSV-0021", "*"): "see CKV_K8S_40",
    (
        "KSV-0125",
        "*",
    ): "which registries are trusted is for each cluster to say; ours are the official one and examples",
    (
        "KSV-01010",
        "*",
    ): "it takes JWT_ACCESS_TTL_SECONDS and the helm test's throw-away user for secrets; tests look for real ones",
}
# It looks for nothing on the network: its checks are built in.
TRIVY_OFFLINE = {
    "TRIVY_SKIP_CHECK_UPDATE": "true",
    "TRIVY_SKIP_VERSION_CHECK": "true",
    "TRIVY_DISABLE_TELEMETRY": "true",
}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests")
    for name in SCANNED:
        values = str(CHART / "ci" / name)
        options = ["--namespace", "tasks", "--kube-version", OLDEST_KUBERNETES, "--values", values]
        (folder / name).write_text(succeed(tool("helm"), "template", "tasks", CHART, *options))
    shutil.copy(ROOT / "Dockerfile", folder)
    return folder


def test_hadolint_finds_nothing() -> None:
    assert succeed(tool("hadolint"), "Dockerfile") == ""


def test_checkov_finds_nothing(manifests: Path) -> None:
    options = ["--output", "json", "--soft-fail", "--skip-download", "--quiet", "--compact"]
    command = [tool("checkov"), "--framework", "kubernetes", "dockerfile", "--directory", str(manifests), *options]
    reports: list[dict[str, Any]] = json.loads(succeed(*command, timeout_seconds=110))

    assert {report["check_type"] for report in reports} == {"kubernetes", "dockerfile"}
    for report in reports:
        assert report["summary"]["parsing_errors"] == 0
        assert report["summary"]["passed"] > 0
    failed = [check for report in reports for check in report["results"]["failed_checks"]]
    _assert_argued({(check["check_id"], check["resource"].partition(".")[0]) for check in failed}, CHECKOV)


def test_trivy_finds_nothing(manifests: Path, tmp_path: Path) -> None:
    options = ["--format", "json", "--quiet", "--cache-dir", str(tmp_path)]
    printed = succeed(tool("trivy"), "config", *options, manifests, timeout_seconds=110, environment=TRIVY_OFFLINE)

    results = json.loads(printed)["Results"]
    assert {Path(result["Target"]).name for result in results} == {*SCANNED, "Dockerfile"}
    assert all(result["MisconfSummary"]["Successes"] for result in results)
    _assert_argued({(m["ID"], "*") for result in results for m in result.get("Misconfigurations", [])}, TRIVY)


def _assert_argued(found: set[tuple[str, str]], argued: dict[tuple[str, str], str]) -> None:
    unargued = [(check, kind) for check, kind in found if not {(check, kind), (check, "*")} & argued.keys()]
    assert sorted(unargued) == []
    stale = [
        (check, kind)
        for check, kind in argued
        if not any(check == seen and kind in {"*", seen_kind} for seen, seen_kind in found)
    ]
    assert stale == [], "nothing needs these arguments any more"
