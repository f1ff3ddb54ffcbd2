#!/usr/bin/env python3
"""Writes k8s/ from the chart: a base, and overlays that hold what their values add to it and change in it.

`make k8s` runs it. Without Helm there are no generated secrets, so that every variant names Secrets that exist.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NAMESPACE = "tasks"
HELM_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
NAMESPACE_MANIFEST = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}
Manifest = dict[str, Any]
Key = tuple[str, str]
ORDER = ["apiVersion", "kind", "metadata", "type", "data", "spec"]


def main(target: Path = HERE) -> None:
    base = manifests("base")
    folder = _emptied(target / "base")
    resources = [_write(folder, manifest) for manifest in (NAMESPACE_MANIFEST, *base.values())]
    _kustomization(folder, {"resources": resources})
    for values in sorted((HERE / "values").glob("*.yaml")):
        if values.stem != "base":
            _overlay(target / "overlays" / values.stem, base, values.stem)


def manifests(variant: str) -> dict[Key, Manifest]:
    """What the chart renders with values/VARIANT.yaml over values/base.yaml, without what only Helm needs."""
    helm = shutil.which("helm", path=f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if helm is None:
        raise SystemExit("helm is missing; get it with: make tools")
    files = [part for name in ("base", variant) for part in ("--values", str(HERE / "values" / f"{name}.yaml"))]
    command = [helm, "template", "tasks", str(ROOT / "helm" / "tasks-service"), "--namespace", NAMESPACE, "--no-hooks"]
    command += ["--kube-version", "1.31", *files]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  our own chart
    # A Secret that the chart would generate is one that the overlay makes out of its .env file.
    return {_key(m): _without_helm(m) for m in yaml.safe_load_all(text) if m and m["kind"] != "Secret"}


def _overlay(folder: Path, base: dict[Key, Manifest], variant: str) -> None:
    wanted = manifests(variant)
    secrets = {path.name: path.read_text() for path in sorted((HERE / "values" / variant).glob("*.env"))}
    _emptied(folder)
    content: Manifest = {
        "resources": ["../../base", *(_write(folder, m) for key, m in wanted.items() if key not in base)],
        "patches": [
            *({"patch": _deletion(m)} for key, m in base.items() if key not in wanted),
            *(_patch(folder, key, m, wanted[key]) for key, m in base.items() if key in wanted and m != wanted[key]),
        ],
        "secretGenerator": [
            {"name": f"tasks-service-{Path(name).stem}", "envs": [name], "options": {"disableNameSuffixHash": True}}
            for name in secrets
        ],
    }
    for name, text in secrets.items():
        (folder / name).write_text(text)
    _kustomization(folder, {name: value for name, value in content.items() if value})


def _patch(folder: Path, key: Key, old: Manifest, new: Manifest) -> Manifest:
    file = f"patch-{key[0].lower()}.yaml"
    (folder / file).write_text(yaml.safe_dump(_changes(old, new), sort_keys=False, width=1000))
    return {"path": file, "target": {"kind": key[0], "name": key[1]}}


def _changes(old: Any, new: Any, path: str = "") -> list[Manifest]:
    """JSON patch operations; lists of different length are replaced whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[Manifest] = []
        for name in sorted(old.keys() | new.keys()):
            place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in new:
                found.append({"op": "remove", "path": place})
            elif name not in old:
                found.append({"op": "add", "path": place, "value": new[name]})
            else:
                found += _changes(old[name], new[name], place)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            change for i, pair in enumerate(zip(old, new, strict=True)) for change in _changes(*pair, f"{path}/{i}")
        ]
    return [] if old == new else [{"op": "replace", "path": path, "value": new}]


def _deletion(manifest: Manifest) -> str:
    head = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"]}
    return str(yaml.safe_dump({**head, "metadata": {"name": manifest["metadata"]["name"]}, "$patch": "delete"}))


def _without_helm(manifest: Manifest) -> Manifest:
    """Helm's own labels and annotations say nothing without Helm, and the namespace is the kustomization's."""
    manifest["metadata"].pop("namespace", None)
    for holder in (manifest, manifest.get("spec", {}).get("template", {})):
        metadata = holder.get("metadata", {}) if isinstance(holder, dict) else {}
        for label in HELM_LABELS:
            metadata.get("labels", {}).pop(label, None)
        metadata.get("annotations", {}).pop("checksum/database", None)
    manifest["metadata"].get("annotations", {}).pop("helm.sh/resource-policy", None)
    if not manifest["metadata"].get("annotations", True):
        del manifest["metadata"]["annotations"]
    return {name: manifest[name] for name in [*ORDER, *manifest] if name in manifest}


def _key(manifest: Manifest) -> Key:
    return manifest["kind"], manifest["metadata"]["name"]


def _write(folder: Path, manifest: Manifest) -> str:
    name = manifest["metadata"]["name"].removeprefix("tasks-service").strip("-")
    file = "-".join(part for part in (manifest["kind"].lower(), name) if part) + ".yaml"
    (folder / file).write_text(yaml.safe_dump(manifest, sort_keys=False, width=1000))
    return file


def _kustomization(folder: Path, content: Manifest) -> None:
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": NAMESPACE}
    text = yaml.safe_dump({**head, **content}, sort_keys=False, width=1000)
    (folder / "kustomization.yaml").write_text(f"# Made from the chart by `make k8s`; edit k8s/values instead.\n{text}")


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
