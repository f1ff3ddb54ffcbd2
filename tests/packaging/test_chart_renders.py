"""Whatever values are set, the manifests are what Kubernetes and the operators accept."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.packaging.chart import (
    CHART,
    HELMS,
    OLDEST_KUBERNETES,
    VALUES_FILES,
    Manifest,
    all_manifests,
    render,
)
from tests.support.tools import run, succeed, tool

KUBERNETES = [f"1.{minor}" for minor in range(31, 38)]
GROUPS_OF_OPERATORS = ("gateway.networking.k8s.io", "monitoring.coreos.com", "postgresql.cnpg.io")


@pytest.mark.parametrize(("helm", "values_file"), [("helm", f) for f in VALUES_FILES] + [("helm3", "default.yaml")])
def test_lint_finds_nothing(values_file: str, helm: str) -> None:
    values = CHART / "ci" / values_file
    succeed(tool(helm), "lint", "--strict", "--kube-version", OLDEST_KUBERNETES, "--values", values, CHART)


@pytest.mark.parametrize("values_file", VALUES_FILES)
def test_both_helms_render_the_same(values_file: str) -> None:
    new, old = (_without_random(render(values_file, helm=helm)) for helm in HELMS)

    assert new == old


def test_one_rendering_stands_for_every_version_of_kubernetes() -> None:
    for template in CHART.glob("templates/**/*"):
        assert template.is_dir() or ".Capabilities" not in template.read_text(), template


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_accepts_every_manifest_strictly(version: str) -> None:
    mistakes = [
        f"{m['kind']} {m['metadata']['name']}: {error.json_path}: {error.message}"
        for m in all_manifests()
        if _group(m) not in GROUPS_OF_OPERATORS
        for error in _validator(version, m).iter_errors(m)
    ]

    assert mistakes == []


def test_a_misspelt_field_would_be_found() -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replica": 1}}

    assert any("replica" in e.message for e in _validator("1.37", deployment).iter_errors(deployment))


def test_operators_accept_their_resources_strictly() -> None:
    custom = [json.dumps(m) for m in all_manifests() if _group(m) in GROUPS_OF_OPERATORS]

    assert {json.loads(m)["kind"] for m in custom} >= {
        "Cluster",
        "HTTPRoute",
        "PodMonitor",
        "Pooler",
        "ServiceMonitor",
    }
    succeed(tool("crdcheck"), stdin="\n".join(custom))


def test_a_misspelt_field_of_an_operator_would_be_found() -> None:
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "spec": {"hostname": ["a"]}}

    done = run(tool("crdcheck"), stdin=json.dumps(route))

    assert done.returncode == 1
    assert 'unknown field "hostname"' in done.stdout


def test_each_template_holds_one_resource() -> None:
    for values_file in VALUES_FILES:
        origins = [(m["kind"], m["metadata"]["name"]) for m in render(values_file) if m["metadata"].get("name")]
        assert len(origins) == len(set(origins)), values_file


def _without_random(manifests: tuple[Manifest, ...]) -> list[Manifest]:
    """Generated secrets, and the checksums of them, are new at each rendering."""
    kept = []
    for manifest in manifests:
        copy = json.loads(json.dumps(manifest))
        if copy["kind"] == "Secret":
            copy["stringData"] = sorted(copy["stringData"])
        annotations = copy.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
        for name in ("checksum/auth", "checksum/database"):
            annotations.pop(name, None)
        kept.append(copy)
    # Helm 3 and 4 order hooks and resources differently.
    return sorted(kept, key=lambda m: (m["kind"], m["metadata"]["name"]))


def _group(manifest: Manifest) -> str:
    return str(manifest["apiVersion"]).rpartition("/")[0]


@cache
def _schemas(version: str) -> tuple[Any, "Registry[Any]"]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text())
    # Crawled here, once: otherwise every reference would go through a megabyte of definitions again.
    return folder, Registry().with_resource(definitions["$id"], Resource.from_contents(definitions)).crawl()


def _validator(version: str, manifest: Manifest) -> Draft202012Validator:
    group, _, api = str(manifest["apiVersion"]).rpartition("/")
    return _validator_of(
        version, "-".join(part for part in (manifest["kind"].lower(), group.split(".")[0], api) if part)
    )


@cache
def _validator_of(version: str, name: str) -> Draft202012Validator:
    folder, registry = _schemas(version)
    schema = json.loads((folder / f"{name}.json").read_text())
    return Draft202012Validator(schema, registry=registry)
