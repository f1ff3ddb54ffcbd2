"""As much of a Kubernetes API as Helm's `lookup` asks for: discovery, Secrets and a Deployment to read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

SECRETS = "/api/v1/namespaces/default/secrets/"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/tasks-service"
# Without these, Helm refuses to touch an object that is there already.
OWNED = {
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {"meta.helm.sh/release-name": "tasks", "meta.helm.sh/release-namespace": "default"},
}
KINDS = {
    "v1": ["ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"],
    "apps/v1": ["Deployment", "StatefulSet"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "batch/v1": ["Job"],
    "policy/v1": ["PodDisruptionBudget"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
}


def _resources(version: str) -> dict[str, Any]:
    resources = [
        {
            "name": f"{kind.lower()}s",
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": True,
            "verbs": ["get", "create"],
        }
        for kind in KINDS[version]
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def _groups() -> dict[str, Any]:
    versions = [{"groupVersion": name, "version": name.rpartition("/")[2]} for name in KINDS if "/" in name]
    groups = [{"name": v["groupVersion"].partition("/")[0], "versions": [v], "preferredVersion": v} for v in versions]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


DISCOVERY: dict[str, Any] = {
    "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": _groups(),
    **{f"/{'apis' if '/' in version else 'api'}/{version}": _resources(version) for version in KINDS},
}


@contextmanager
def cluster(
    folder: Path, secrets: dict[str, dict[str, str]], deployment: dict[str, Any] | None = None
) -> Iterator[dict[str, str]]:
    """The environment that points Helm at a cluster with these Secrets (name → key → base64) and this Deployment."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self._find(self.path.partition("?")[0])
            body = json.dumps(
                found or {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            ).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _find(self, path: str) -> dict[str, Any] | None:
            name = path.removeprefix(SECRETS)
            if path.startswith(SECRETS) and name in secrets:
                metadata = {"name": name, "namespace": "default", **OWNED}
                return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": secrets[name]}
            if path == DEPLOYMENT and deployment is not None:
                head = {"apiVersion": "apps/v1", "kind": "Deployment"}
                metadata = {"name": "tasks-service", "namespace": "default", **OWNED, **deployment.get("metadata", {})}
                return {**head, **deployment, "metadata": metadata}
            return DISCOVERY.get(path)

        def log_message(self, *_: object) -> None:
            """Quiet: what Helm asked is of no interest."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Thread(target=server.serve_forever, daemon=True).start()
    config = folder / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "users": [{"name": "test", "user": {}}],
            }
        )
    )
    config.chmod(0o600)
    try:
        yield {"KUBECONFIG": str(config), "HOME": str(folder)}
    finally:
        server.shutdown()
        server.server_close()
