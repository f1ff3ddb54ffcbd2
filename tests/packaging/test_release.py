"""The workflows do nothing that a make target does not, with actions that cannot change; and a release can be made."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import __version__
from tests.packaging.containers import BASE, PODMAN, build_image
from tests.support.database import ROOT
from tests.support.drill import eventually
from tests.support.server import free_port
from tests.support.tools import run, succeed, tool

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
AS_ROOT = 'sudo --preserve-env=CI env "PATH=$PATH" '
COMMAND = re.compile(r"make ([a-z-]+)(?: [A-Z]+=(?:\$\{\{ [\w.]+ \}\}|\S+))*")


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_actionlint_finds_nothing() -> None:
    assert succeed(tool("actionlint"), *WORKFLOWS) == ""


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_make_and_pinned_actions_with_few_rights(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    makefiles = "".join(each.read_text() for each in ROOT.glob("make/*.mk"))
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)$", makefiles, re.MULTILINE))
    runs = [COMMAND.fullmatch(step["run"].removeprefix(AS_ROOT)) for step in steps(workflow) if "run" in step]
    assert runs
    assert {found[1] if found else None for found in runs} <= targets
    uses = [line.strip(" -") for line in path.read_text().splitlines() if "uses:" in line]
    assert [line for line in uses if not PINNED.match(line)] == []
    assert workflow["permissions"] == {"contents": "read"}


def test_only_what_is_named_alike_everywhere_is_released() -> None:
    assert run("make", "release-check", f"TAG=v{__version__}").returncode == 0
    assert (ROOT / "build" / "release" / "notes.md").read_text().strip()
    assert "the tag is v9.9.9" in run("make", "release-check", "TAG=v9.9.9").stderr


@pytest.fixture
def registry() -> Iterator[str]:
    """A real one, on this machine."""
    port = free_port()
    with subprocess.Popen(
        [tool("crane"), "registry", "serve", "--address", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        eventually(lambda: _listens(port))
        yield f"127.0.0.1:{port}/somebody"
        server.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.container
@pytest.mark.timeout(900)
def test_the_steps_of_a_release_put_image_chart_and_contents_where_they_belong(registry: str, tmp_path: Path) -> None:
    build_image()
    outputs = tmp_path / "outputs"
    architecture = succeed("go", "env", "GOARCH").strip()
    build = f"--isolation chroot --pull=never --build-arg PYTHON_IMAGE={BASE}"
    settings = [f"REGISTRY={registry}", f"ARCHITECTURE={architecture}", f"ARCHITECTURES={architecture}"]
    for step in ("release-image", "release-index", "release-chart", "release-sbom"):
        command = ["make", step, *settings, "HELM_PUSH=--plain-http", f"BUILD_ARGS={build}"]
        succeed(*command, timeout_seconds=600, environment={**PODMAN, "GITHUB_OUTPUT": str(outputs)})

    image, chart = f"{registry}/tasks-service:{__version__}", f"{registry}/charts/tasks-service:{__version__}"
    index = json.loads(succeed(tool("crane"), "manifest", image))
    assert [each["platform"]["architecture"] for each in index["manifests"]] == [architecture]
    assert outputs.read_text().splitlines() == [
        f"digest={succeed(tool('crane'), 'digest', name).strip()}" for name in (image, chart)
    ]
    shown = succeed(tool("helm"), "show", "chart", f"oci://{registry}/charts/tasks-service", "--plain-http")
    assert f"version: {__version__}\n" in shown
    contents = json.loads((ROOT / "build" / "release" / "sbom.cdx.json").read_text())
    assert {"sanic", "tortoise-orm", "libssl3"} <= {part["name"] for part in contents["components"]}
