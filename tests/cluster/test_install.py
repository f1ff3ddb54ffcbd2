"""From nothing: examples of the chart's ci/ that need nothing but the cluster, and a user's way through."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.cluster.kube import IMAGE, Namespace, command
from tests.support.drill import eventually
from tests.support.tools import missing, tool

NOT_HERE = {
    "everything.yaml": (
        # The image of the sidecar is nobody's, its command one that stays; the collector is not there to be asked.
        f"extraContainers[0].image={IMAGE}",
        "extraContainers[0].command={python,-c,import signal; signal.pause()}",
        "extraEnv=null",
        "auth.oidcIssuer=",
        "topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
        "service.type=ClusterIP",
        "resources.requests.cpu=50m",
    ),
}
PRIORITY = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "important"},
    "value": 1,
}


@contextmanager
def needed(space: Namespace) -> Iterator[None]:
    """Keys, and the priority that everything.yaml names: the one thing outside of the namespace."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    keys = {"jwt-secret": "a secret of the tests that is long enough", "key.pem": key}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tasks-auth"}, "stringData": keys}
    space.apply(secret, PRIORITY)
    try:
        yield
    finally:
        space.kubectl("delete", "priorityclass/important", "secret/tasks-auth")


@pytest.mark.parametrize("values_file", ["default.yaml", "everything.yaml", "gateway.yaml"])
def test_an_example_installs_from_nothing(space: Namespace, values_file: str) -> None:
    if values_file == "gateway.yaml" and "httproutes" not in command(tool("kubectl"), "api-resources"):
        missing("the cluster's Gateway API", "kubectl apply --filename standard-install.yaml")
    with needed(space):
        try:
            space.release("install", values_file, *NOT_HERE.get(values_file, ()))
            assert "leave: ok" in space.helm("test", "tasks", "--logs")
        finally:
            space.helm("uninstall", "tasks", "--wait", "--ignore-not-found")
            eventually(lambda: not space.get("pods")["items"], 90)
