"""Promise 4: a rolling update loses nothing.

Two pods are replaced one after the other, as the Deployment does it, while clients hammer: half of them through nginx,
half on keep-alive connections of their own, as through a Service. nginx is told not to repeat anything, so that no
failure is hidden, and it learns of each change a second late.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Lock

import httpx
import pytest

from tests.packaging.containers import Pod, build_image, postgresql
from tests.support.server import free_port
from tests.support.tools import tool

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

REQUESTS = 10_000
CLIENTS_OF_EACH_SORT = 4
LATE_SECONDS = 1.0
EXIT_SECONDS = 10.0
LIMIT_SECONDS = 240.0

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream pods {{ {servers} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    # When it is told of new pods, nginx cuts idle clients of its own; that is not what is measured here. Its
    # connections to the pods do stay open, as do those of the direct clients.
    keepalive_timeout 0;
    location / {{
      proxy_pass http://pods;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream off;
    }}
  }}
}}
"""


class Nginx:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "nginx.conf"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def route(self, pods: list[Pod]) -> None:
        servers = " ".join(f"server 127.0.0.1:{pod.port} max_fails=0;" for pod in pods)
        self._config.write_text(NGINX.format(folder=self._folder, servers=servers, port=self.port))
        if self._process is None:
            self._process = subprocess.Popen(self._command())
        else:
            subprocess.run([*self._command(), "-s", "reload"], check=True, timeout=10)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def _command(self) -> list[str]:
        return [tool("nginx"), "-p", str(self._folder), "-c", str(self._config), "-e", str(self._folder / "error.log")]


class Hammer:
    """Clients that use one connection until they are told to close it, and then ask where to go next."""

    def __init__(self, path: str, token: str) -> None:
        self._path = path
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._lock = Lock()
        self.stop = Event()
        self.outcomes: Counter[str] = Counter()

    @property
    def count(self) -> int:
        return sum(self.outcomes.values())

    def client(self, sort: str, endpoint: Callable[[], int]) -> None:
        connection: HTTPConnection | None = None
        writes = False
        while not self.stop.is_set():
            if connection is None or connection.sock is None:
                connection = HTTPConnection("127.0.0.1", endpoint(), timeout=10)
            outcome = self._request(connection, writes=writes)
            if outcome != "ok":
                connection.close()
            with self._lock:
                self.outcomes[f"{sort}: {outcome}"] += 1
            writes = not writes
        if connection is not None:
            connection.close()

    def _request(self, connection: HTTPConnection, *, writes: bool) -> str:
        body = json.dumps({"title": "while it rolls"}) if writes else None
        try:
            path = self._path if writes else f"{self._path}?limit=5"
            connection.request("POST" if writes else "GET", path, body, self._headers)
            response = connection.getresponse()
            response.read()
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return "ok" if response.status == (201 if writes else 200) else f"status {response.status}"


class Deployment:
    """Replaces its pods with a surge of one, and counts how each ended."""

    def __init__(self, nginx: Nginx, new_pod: Callable[[], Pod]) -> None:
        self._nginx = nginx
        self._new_pod = new_pod
        self._turn = 0
        self.pods: list[Pod] = []
        self.exits: list[tuple[int, float]] = []

    def surge(self) -> None:
        pod = self._new_pod()
        pod.init()
        pod.start()
        self.pods.append(pod)
        self._nginx.route(self.pods)

    def replace_oldest(self) -> None:
        self.surge()
        old = self.pods[0]
        old.terminate()
        asked = time.monotonic()
        time.sleep(LATE_SECONDS)
        self.pods.remove(old)
        self._nginx.route(self.pods)
        self.exits.append((old.wait(), time.monotonic() - asked))

    def endpoint(self) -> int:
        """A port for a new connection, in turn."""
        self._turn += 1
        return self.pods[self._turn % len(self.pods)].port


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    build_image()
    nginx = Nginx(tmp_path)
    made: list[Pod] = []

    with postgresql(tmp_path) as url:

        def new_pod() -> Pod:
            folder = tmp_path / f"pod-{len(made)}"
            folder.mkdir()
            pod = Pod(f"tasks-service-test-rolling-{len(made)}", folder, url)
            pod.remove()
            made.append(pod)
            return pod

        running = Deployment(nginx, new_pod)
        for _ in range(2):
            running.surge()
        yield running
        nginx.stop()
        for pod in made:
            pod.remove()


def test_a_rolling_update_loses_nothing(deployment: Deployment) -> None:
    url = deployment.pods[0].url
    account = {"email": "rolling@example.com", "password": "correct horse battery"}
    session = httpx.post(f"{url}/api/auth/signup", json=account, timeout=10, verify=False).json()
    hammer = Hammer(f"/api/{session['user']['id']}/tasks", session["access_token"])
    nginx_port = deployment._nginx.port
    started = time.monotonic()

    with ThreadPoolExecutor(2 * CLIENTS_OF_EACH_SORT) as threads:
        for _ in range(CLIENTS_OF_EACH_SORT):
            threads.submit(hammer.client, "nginx", lambda: nginx_port)
            threads.submit(hammer.client, "direct", deployment.endpoint)
        try:
            for _ in range(2):
                deployment.replace_oldest()
            while hammer.count < REQUESTS and time.monotonic() - started < LIMIT_SECONDS:
                time.sleep(0.2)
        finally:
            hammer.stop.set()

    sys.stdout.write(f"{dict(hammer.outcomes)}, exits (status, seconds): {deployment.exits}\n")
    assert hammer.outcomes.keys() == {"nginx: ok", "direct: ok"}, hammer.outcomes
    assert hammer.count >= REQUESTS
    assert [status for status, _ in deployment.exits] == [0, 0]
    assert max(seconds for _, seconds in deployment.exits) < EXIT_SECONDS
