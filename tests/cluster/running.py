"""Programs as pods beside the service: the ledger, above all, while something is done to that."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.kube import IMAGE, Json, Namespace, insist
from tests.support.drill import eventually

SOURCES = Path(__file__).parent / "ledger"
SECONDS_MAX = 900
BUSY_SECONDS = 3.0
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_RESTRICTED = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}


def config_map(name: str, data: dict[str, str]) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(
    name: str,
    command: list[str],
    folder: str,
    *,
    image: str = IMAGE,
    labels: Mapping[str, str] | None = None,
    **environment: str,
) -> Json:
    """With the files of the ConfigMap `name` in `folder`."""
    container = {
        "name": name,
        "image": image,
        "command": command,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "securityContext": RESTRICTED,
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [{"name": "files", "mountPath": folder}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": POD_RESTRICTED,
        "containers": [container],
        "volumes": [{"name": "files", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels or {})}, "spec": spec}


def until_it_ends(space: Namespace, name: str, within_seconds: float) -> str:
    """What the pod has logged, whether it succeeded or not."""
    eventually(lambda: space.get("pod", name)["status"]["phase"] in {"Succeeded", "Failed"}, within_seconds)
    return space.kubectl("logs", name)


class Ledger:
    """Writes from the start of the block; `found` is its verdict at the end, and `kept` checks it."""

    def __init__(self, namespace: Namespace, base: str = "http://tasks-service", **options: object) -> None:
        self._namespace = namespace
        self._arguments = [base, "--seconds", str(SECONDS_MAX)]
        self._arguments += [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.found: dict[str, Any] = {}

    def __enter__(self) -> Self:
        data = {path.name: path.read_text() for path in SOURCES.glob("*.py")}
        self._namespace.apply(
            config_map("ledger", data),
            pod("ledger", ["python", "-m", "ledger", *self._arguments], "/opt/ledger", PYTHONPATH="/opt"),
        )
        eventually(lambda: "writing" in self._log() or self._phase() == "Failed", 90)
        assert self._phase() == "Running", self._log()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            insist(lambda: self._namespace.kubectl("exec", "ledger", "--", "touch", "/tmp/ledger-stop"))
            eventually(lambda: insist(self._phase) in {"Succeeded", "Failed"}, 240)
            log = self._log()
            assert log.rstrip().endswith("}"), log
            self.found = json.loads(log.splitlines()[-1])
        finally:
            insist(lambda: self._namespace.kubectl("delete", "pod/ledger", "configmap/ledger", "--ignore-not-found"))

    def kept(self) -> dict[str, Any]:
        """The verdict: nothing lost, nothing twice, no answer that the service owes nobody."""
        wrong = ("lost", "twice", "stream_differs", "stream_twice", "stale_reads", "refused")
        assert {name: self.found[name] for name in wrong} == {name: [] for name in wrong}
        assert self.found["acknowledged"] > 50, self.found
        return self.found

    def orderly(self) -> dict[str, Any]:
        """`kept`, no connection refused or broken, and hardly a moment of 503: that is what other work costs."""
        found = self.kept()
        assert [name for name in found["errors"] if not name.startswith("503 ")] == [], found
        assert found["error_seconds"] <= BUSY_SECONDS, found
        return found

    def _phase(self) -> str:
        return self._namespace.kubectl("get", "pod", "ledger", "--output", "jsonpath={.status.phase}")

    def _log(self) -> str:
        try:
            return self._namespace.kubectl("logs", "ledger")
        except Exception as error:  # noqa: BLE001  it is still being made
            return str(error)
