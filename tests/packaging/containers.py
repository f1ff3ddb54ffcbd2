"""The rendered pod as podman containers: the chart's own image, arguments, environment, mounts and restrictions."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.database.embedded import EmbeddedPostgres
from tests.packaging.chart import Manifest, render, the
from tests.support.database import ROOT
from tests.support.server import free_port
from tests.support.tools import missing, root_user, succeed, tool

BASE = "localhost/tasks-service-test-base:latest"
IMAGE = "localhost/tasks-service-test:latest"
PODMAN = {"CONTAINERS_CONF": str(ROOT / "tests" / "packaging" / "containers.conf")}
READY_SECONDS = 30.0
STOP_SECONDS = 20


def podman(*arguments: str | Path, timeout_seconds: float = 60) -> str:
    return succeed(tool("podman"), *arguments, timeout_seconds=timeout_seconds, environment=PODMAN).strip()


def build_image() -> str:
    """By `make image`, on a stand-in for the Python base where there is no registry to pull that from."""
    root_user()
    tool("podman")
    tool("debootstrap")
    if shutil.which("runc") is None:
        missing("runc", "make tools")
    succeed(ROOT / "tests" / "packaging" / "python-base", BASE, timeout_seconds=600)
    arguments = f"--isolation chroot --pull=never --build-arg PYTHON_IMAGE={BASE}"
    succeed("make", "image", f"IMAGE={IMAGE}", f"BUILD_ARGS={arguments}", timeout_seconds=600, environment=PODMAN)
    return IMAGE


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A real server that listens on TCP, as one in another pod would; the URL of an empty database."""
    port = str(free_port())
    server = EmbeddedPostgres(
        folder / "data", {"listen_addresses": "127.0.0.1", "port": port, "max_connections": "200"}
    )
    try:
        server.start()
        server.create_database("tasks")
        yield f"postgresql://postgres@127.0.0.1:{port}/tasks"
    finally:
        server.stop()


class Pod:
    """One pod of the chart's Deployment, with its Secrets as files in `folder`.

    Each pod has ports of its own, since all share the machine's network.
    """

    def __init__(self, name: str, folder: Path, database_url: str) -> None:
        manifests = render()
        self._spec: Manifest = the(manifests, "Deployment")["spec"]["template"]["spec"]
        self._settings: dict[str, str] = the(manifests, "ConfigMap", "api")["data"]
        self._folder = folder
        self.name = name
        self.port, self.admin_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        for path, text in (("database/url", database_url), ("auth/jwt-secret", "s" * 48)):
            file = folder / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    def init(self) -> str:
        """Runs the init container; what it printed."""
        [container] = self._spec["initContainers"]
        return podman(
            "run", "--rm", "--name", f"{self.name}-init", *self._options(container), *self._command(container)
        )

    def start(self) -> None:
        """Returns when the readiness probe answers."""
        container = self._spec["containers"][0]
        podman("run", "--detach", "--name", self.name, *self._options(container), *self._command(container))
        deadline = time.monotonic() + READY_SECONDS
        while not self.probe("readinessProbe"):
            assert time.monotonic() < deadline, f"not ready:\n{self.log()}"
            time.sleep(0.1)

    def probe(self, name: str) -> bool:
        """What the kubelet would find."""
        path = self._spec["containers"][0][name]["httpGet"]["path"]
        try:
            return httpx.get(self.admin_url + path, timeout=2, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    def terminate(self) -> None:
        podman("kill", "--signal", "TERM", self.name)

    def wait(self) -> int:
        """The exit status, once it has ended."""
        return int(podman("wait", self.name, timeout_seconds=STOP_SECONDS))

    def log(self) -> str:
        done = subprocess.run(
            [tool("podman"), "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={**os.environ, **PODMAN},
        )
        return done.stdout[-4000:]

    def remove(self) -> None:
        podman("rm", "--force", "--ignore", "--time", "0", self.name, f"{self.name}-init")

    def _options(self, container: dict[str, Any]) -> list[str]:
        """The security context in podman's words."""
        pod, own = self._spec["securityContext"], container["securityContext"]
        options = ["--network", "host", "--user", f"{pod['runAsUser']}:{pod['runAsGroup']}"]
        if own["readOnlyRootFilesystem"]:
            options.append("--read-only")
        if not own["allowPrivilegeEscalation"]:
            options += ["--security-opt", "no-new-privileges"]
        options += [f"--cap-drop={capability}" for capability in own["capabilities"]["drop"]]
        for mount in container["volumeMounts"]:
            options += self._mount(mount)
        variables = {v["name"]: v["value"] for v in container["env"]}
        if "envFrom" in container:
            variables |= self._settings | {"PORT": str(self.port), "ADMIN_PORT": str(self.admin_port)}
        return options + [f"--env={name}={value}" for name, value in variables.items()]

    def _mount(self, mount: dict[str, Any]) -> list[str]:
        if mount["name"] == "tmp":
            return ["--tmpfs", f"{mount['mountPath']}:rw,size=64m,mode=1777"]
        return ["--volume", f"{self._folder / mount['name']}:{mount['mountPath']}:ro"]

    @staticmethod
    def _command(container: dict[str, Any]) -> list[str]:
        return [IMAGE, *container["args"]]
