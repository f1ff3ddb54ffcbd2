"""A namespace of a real cluster: kubectl and Helm in it, and what is read of it."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from service import __version__
from tests.packaging.chart import CHART
from tests.support.drill import eventually
from tests.support.tools import missing, tool

GET_ONE = (
    "export KUBECONFIG=$HOME/.kube/config; kind create cluster && make cluster-images LOAD='kind load docker-image'"
    " && make test-cluster NODE_SHELL='docker exec kind-control-plane'"
)
IMAGE = os.environ.get("IMAGE") or f"tasks-service:{__version__}"
PREVIOUS_IMAGE = "tasks-service:previous"
SMALL = ("resources.requests.cpu=50m", "postgresql.resources.requests.cpu=50m")
"""For a laptop's cluster, where the pods of a test stand beside those that it replaces."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
WAIT_SECONDS = 300.0
NODE_SHELL = os.environ.get("NODE_SHELL", "")
"""What runs a command on the node, such as `docker exec kind-control-plane`."""

T = TypeVar("T")
Json = dict[str, Any]


class Refused(Exception):
    """A command of kubectl or Helm that failed; the text is what it said."""


def command(*arguments: str | Path, stdin: str | None = None, timeout_seconds: float = WAIT_SECONDS) -> str:
    """What it printed. Raises Refused."""
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True, check=False, timeout=timeout_seconds)
    if done.returncode:
        raise Refused(f"{' '.join(map(str, arguments))}\n{done.stderr}{done.stdout}")
    return done.stdout


def on_node(script: str, timeout_seconds: float = 60) -> str:
    """What a shell on the node printed; without one the test ends as with a missing tool."""
    if not NODE_SHELL:
        missing("a shell on the node", "NODE_SHELL='docker exec kind-control-plane' make test-cluster")
    return command(*NODE_SHELL.split(), "sh", "-c", script, timeout_seconds=timeout_seconds)


def values(*settings: str, image: str = IMAGE) -> list[str | Path]:
    """Helm's options: `settings` are assignments, and files of ci/."""
    repository, _, tag = image.rpartition(":")
    named = ("image.digest=", f"image.repository={repository}", f"image.tag={tag}", *SMALL, *settings)
    files = [part for name in settings if name.endswith(".yaml") for part in ("--values", CHART / "ci" / name)]
    return files + [part for setting in named if not setting.endswith(".yaml") for part in ("--set", setting)]


class Namespace:
    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str | Path, stdin: str | None = None, timeout_seconds: float = WAIT_SECONDS) -> str:
        return command(
            tool("kubectl"), "--namespace", self.name, *arguments, stdin=stdin, timeout_seconds=timeout_seconds
        )

    def helm(self, *arguments: str | Path, helm: str = "helm", timeout_seconds: float = WAIT_SECONDS) -> str:
        return command(tool(helm), "--namespace", self.name, *arguments, timeout_seconds=timeout_seconds)

    def release(self, verb: str, *settings: str, chart: Path = CHART, image: str = IMAGE, helm: str = "helm") -> str:
        """`install` or `upgrade` of the release `tasks`, and wait until it is ready."""
        return self.helm(verb, "tasks", chart, *values(*settings, image=image), "--wait", "--timeout", "4m", helm=helm)

    def apply(self, *manifests: Json) -> None:
        self.kubectl(
            "apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        )

    def secret(self, name: str, **values: str) -> None:
        """A key's `_` is a `-` there."""
        data = {key.replace("_", "-"): value for key, value in values.items()}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})

    def get(self, *what: str) -> Json:
        found: Json = json.loads(self.kubectl("get", *what, "--output", "json"))
        return found

    def pods(self, component: str = "api") -> list[Json]:
        """Those that are not on their way out."""
        found: list[Json] = self.get("pods", "--selector", f"app.kubernetes.io/component={component}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods() if is_ready(pod)]

    def all_ready(self) -> int:
        """How many pods the API has, if all of them are ready; else 0."""
        found = self.pods()
        return len(found) if all(is_ready(pod) for pod in found) else 0

    def until_ready(self, count: int, within_seconds: float = 120.0) -> None:
        """Exactly so many pods of the API, all of them ready."""
        eventually(lambda: self.all_ready() == count, within_seconds)

    def python(self, pod: str, script: str, *arguments: str) -> str:
        in_it = ("exec", pod, "--container", "tasks-service", "--")
        return self.kubectl(*in_it, "python", "-c", script, *arguments).strip()

    def sql(self, *statements: str, database: str = "tasks") -> str:
        """On the evaluation database, as its owner."""
        commands = [f"--command={statement}" for statement in statements]
        psql = ("psql", "--username=tasks", f"--dbname={database}", "--no-align", "--tuples-only", *commands)
        return self.kubectl("exec", "tasks-service-postgresql-0", "--", *psql).strip()


def is_ready(pod: Json) -> bool:
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


@contextmanager
def namespace(suffix: str) -> Iterator[Namespace]:
    """Gone at the end, with everything in it."""
    name = f"tasks-test-{suffix}-{os.getpid()}"
    made = Namespace(name)
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    command(tool("kubectl"), "apply", "--filename", "-", stdin=json.dumps(manifest))
    try:
        yield made
    finally:
        command(tool("kubectl"), "delete", "namespace", name, "--wait", timeout_seconds=WAIT_SECONDS)


def insist(work: Callable[[], T], within_seconds: float = 60.0) -> T:
    """For what may meet an API server that is away. Raises Refused when it stays so."""
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            return work()
        except (Refused, subprocess.TimeoutExpired):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
