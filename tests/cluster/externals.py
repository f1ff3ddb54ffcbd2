"""What a release with values of its own expects to be there: a database with TLS, keys, a priority, a sidecar."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.cluster.kube import Namespace
from tests.cluster.running import RESTRICTED
from tests.support.authority import Authority

POSTGRES = "docker.io/library/postgres:18"
PASSWORD = "a password of the tests"
NAME = "external-database"


def secrets(space: Namespace, *, prefix: str = "tasks") -> None:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    data = {"jwt-secret": "a secret of the tests that is long enough", "key.pem": key}
    space.apply(_secret(f"{prefix}-auth", stringData=data))


def database(space: Namespace, folder: Path, *, prefix: str = "tasks", verified: bool = False) -> None:
    """A PostgreSQL with TLS, and the Secrets by which the chart finds it; `direct-url` leads there too."""
    certificate = Authority(folder, "authority").make(NAME)
    tls = {name: _base64(certificate.with_suffix(f".{end}")) for name, end in (("tls.crt", "crt"), ("tls.key", "key"))}
    query = "sslmode=verify-full&sslrootcert=/etc/tasks-service/database-ca/ca.crt" if verified else "sslmode=require"
    url = f"postgresql://tasks:{quote(PASSWORD)}@{NAME}:5432/tasks?{query}"
    space.apply(
        _secret(f"{NAME}-tls", data=tls),
        _secret(f"{prefix}-database-ca", data={"ca.crt": _base64(folder / "authority.crt")}),
        _secret(f"{prefix}-database", stringData={"url": url, "direct-url": url}),
        _service(),
        _pod(),
    )
    space.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=120s")


def gone(space: Namespace) -> None:
    space.kubectl("delete", f"pod/{NAME}", f"service/{NAME}", "--ignore-not-found", "--grace-period=1")


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _secret(name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **content}


def _service() -> dict[str, Any]:
    spec = {"selector": {"app": NAME}, "ports": [{"port": 5432}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}


def _pod() -> dict[str, Any]:
    tls = ("ssl=on", "ssl_cert_file=/tls/tls.crt", "ssl_key_file=/tls/tls.key")
    environment = {
        "POSTGRES_USER": "tasks",
        "POSTGRES_DB": "tasks",
        "POSTGRES_PASSWORD": PASSWORD,
        "PGDATA": "/data/db",
    }
    mounts = {"data": "/data", "run": "/var/run/postgresql", "tls": "/tls", "tmp": "/tmp"}
    container = {
        "name": "postgresql",
        "image": POSTGRES,
        "args": [part for setting in tls for part in ("-c", setting)],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1"]}, "periodSeconds": 1},
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
    }
    volumes: list[dict[str, Any]] = [{"name": name, "emptyDir": {}} for name in ("data", "run", "tmp")]
    volumes.append({"name": "tls", "secret": {"secretName": f"{NAME}-tls", "defaultMode": 0o440}})
    user = {"runAsNonRoot": True, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999}
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": volumes,
    }
    metadata = {"name": NAME, "labels": {"app": NAME}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
