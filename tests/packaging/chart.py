"""Renders the chart, once for each set of values."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.database import ROOT
from tests.support.tools import run, succeed, tool

CHART = ROOT / "helm" / "tasks-service"
VALUES_FILES = sorted(path.name for path in (CHART / "ci").glob("*.yaml"))
HELMS = ["helm", "helm3"]
OLDEST_KUBERNETES = "1.31"

Manifest = dict[str, Any]


@cache
def render(values_file: str = "default.yaml", *settings: str, helm: str = "helm") -> tuple[Manifest, ...]:
    """The manifests that a file of ci/ and `--set` settings give."""
    return parse(succeed(*_template(values_file, settings, helm)))


def refuse(*settings: str, values_file: str = "default.yaml", helm: str = "helm") -> str:
    """The error that the values give."""
    done = run(*_template(values_file, settings, helm))
    assert done.returncode != 0, f"rendered with {settings}"
    return done.stderr


def parse(text: str) -> tuple[Manifest, ...]:
    """The documents of a stream. Parsed by libyaml if it is there, since the tests read some hundred of them."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(document for document in yaml.load_all(text, Loader=loader) if document)


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests: tuple[Manifest, ...], kind: str, component: str | None = None) -> Manifest:
    """The only manifest of this kind (and component)."""
    found = [m for m in of_kind(manifests, kind) if component in (None, component_of(m))]
    assert len(found) == 1, f"{len(found)} of kind {kind}"
    return found[0]


def component_of(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))


def pod_specs(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Every pod, with a name for the message."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif manifest["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield name, manifest["spec"]["template"]["spec"]


def all_manifests() -> list[Manifest]:
    """Every manifest of every values file, each only once."""
    found = {json.dumps(m, sort_keys=True): m for file in VALUES_FILES for m in render(file)}
    return list(found.values())


def _template(values_file: str, settings: tuple[str, ...], helm: str) -> list[str | Path]:
    sets = [part for setting in settings for part in ("--set", setting)]
    version = ["--kube-version", OLDEST_KUBERNETES]
    return [tool(helm), "template", "tasks", CHART, "--values", CHART / "ci" / values_file, *version, *sets]
