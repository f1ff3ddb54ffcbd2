"""k8s/ is the chart without Helm: it is what `make k8s` writes, and what it builds is what the chart renders."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.chart import Manifest, of_kind, parse, the
from tests.support.database import ROOT
from tests.support.tools import succeed, tool

K8S = ROOT / "k8s"
OVERLAYS = sorted(path.stem for path in (K8S / "values").glob("*.yaml") if path.stem != "base")


@pytest.fixture(scope="module")
def renderer() -> ModuleType:
    tool("helm")
    spec = importlib.util.spec_from_file_location("render", K8S / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(variant: str) -> tuple[Manifest, ...]:
    folder = K8S / "base" if variant == "base" else K8S / "overlays" / variant
    return parse(succeed(tool("kustomize"), "build", folder))


def test_the_files_are_what_the_chart_renders(renderer: ModuleType, tmp_path: Path) -> None:
    renderer.main(tmp_path)

    for part in ("base", "overlays"):
        assert _files(tmp_path / part) == _files(K8S / part), "run: make k8s"


@pytest.mark.parametrize("variant", ["base", *OVERLAYS])
def test_kustomize_builds_what_the_chart_renders(renderer: ModuleType, variant: str) -> None:
    built = {}
    for manifest in _build(variant):
        if manifest["kind"] not in {"Namespace", "Secret"}:
            assert manifest["metadata"].pop("namespace") == "tasks"
            built[manifest["kind"], manifest["metadata"]["name"]] = _plain(manifest)

    assert built == {key: _plain(m) for key, m in renderer.manifests(variant).items()}


def test_the_namespace_enforces_the_restricted_standard() -> None:
    labels = the(_build("base"), "Namespace")["metadata"]["labels"]

    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_only_the_evaluation_brings_secrets() -> None:
    for variant in ("base", *OVERLAYS):
        names = {secret["metadata"]["name"] for secret in of_kind(_build(variant), "Secret")}
        evaluation = {"tasks-service-auth", "tasks-service-database"}
        assert names == (evaluation if variant == "evaluation" else set())


def test_production_runs_cloudnativepg_behind_its_pooler() -> None:
    built = _build("production")

    assert {"Cluster", "Pooler", "HorizontalPodAutoscaler", "ServiceMonitor"} <= {m["kind"] for m in built}
    assert the(built, "ConfigMap")["data"]["DB_POOLER"] == "transaction"
    assert "replicas" not in the(built, "Deployment")["spec"]


def _plain(manifest: Manifest) -> Manifest:
    """Without what kustomize's YAML may change in form, such as a date or an octal number."""
    plain: Manifest = json.loads(json.dumps(manifest))
    return plain


def _files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
