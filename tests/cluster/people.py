"""Those who read the documents: operators, who type what stands there, and a user, who sees what comes of it."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.kube import Namespace
from tests.support.database import ROOT
from tests.support.server import free_port
from tests.support.tools import succeed, tool

OPERATIONS = ROOT / "docs" / "operations.md"
PASSWORD = "correct horse battery"
ASK = """
import json, sys, urllib.error, urllib.request
method, path, body, token = json.loads(sys.argv[1])
headers = {"Authorization": "Bearer " + token} if token else {}
data = None
if body is not None:
    headers["Content-Type"], data = "application/json", json.dumps(body).encode()
request = urllib.request.Request("http://127.0.0.1:8000" + path, data, headers, method=method)
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, json.loads(answer.read() or "null")]))
"""


def block(path: Path, naming: str) -> str:
    """The one block of commands in a document that has these words."""
    (found,) = [text for text in blocks(path) if naming in text]
    return found


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def type_in(space: Namespace, script: str, **environment: str) -> str:
    """What it printed, in the repository, with this namespace for the one that the documents name."""
    for documented in ("--namespace tasks ", "-n prod "):
        script = script.replace(documented, f"--namespace {space.name} ")
    return succeed("bash", "-euc", script, timeout_seconds=300, environment=environment)


@contextmanager
def forwarded(space: Namespace, target: str, port: int) -> Iterator[int]:
    """A port of this machine that leads there."""
    here = free_port()
    forward = (tool("kubectl"), "--namespace", space.name, "port-forward", target, f"{here}:{port}")
    with subprocess.Popen(forward, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "Forwarding" in process.stdout.readline()
        try:
            yield here
        finally:
            process.terminate()


@dataclass
class Session:
    """A user's, by any pod that is ready."""

    space: Namespace
    user_id: str
    access: str
    refresh: str

    @classmethod
    def sign_up(cls, space: Namespace, email: str) -> "Session":
        return cls._made(space, "/api/auth/signup", email)

    @classmethod
    def log_in(cls, space: Namespace, email: str) -> "Session":
        return cls._made(space, "/api/auth/login", email)

    @classmethod
    def _made(cls, space: Namespace, path: str, email: str) -> "Session":
        status, made = ask(space, "POST", path, {"email": email, "password": PASSWORD})
        assert status in {200, 201}, made
        return cls(space, made["user"]["id"], made["access_token"], made["refresh_token"])

    def add(self, title: str) -> None:
        status, answer = ask(self.space, "POST", f"/api/{self.user_id}/tasks", {"title": title}, self.access)
        assert status == 201, answer

    def titles(self) -> list[str]:
        status, tasks = ask(self.space, "GET", f"/api/{self.user_id}/tasks", token=self.access)
        assert status == 200, tasks
        return [task["title"] for task in tasks]

    def known(self) -> bool:
        """Whether the access token is taken."""
        return ask(self.space, "GET", "/api/auth/me", token=self.access)[0] == 200

    def renewed(self) -> bool:
        """Whether the refresh token is taken; then both are new ones."""
        status, made = ask(self.space, "POST", "/api/auth/refresh", {"refresh_token": self.refresh})
        if status == 200:
            self.access, self.refresh = made["access_token"], made["refresh_token"]
        return status == 200


def ask(space: Namespace, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
    pod = space.ready_pods()[0]
    status, answer = json.loads(space.python(pod, ASK, json.dumps([method, path, body, token])))
    return status, answer
