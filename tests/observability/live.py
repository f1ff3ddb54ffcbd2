"""A running service and a real Prometheus that scrapes it, all on the loopback interface."""

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from service.processes import end
from tests.observability.chart import NAMESPACE, POD
from tests.support.server import Service, free_port, serve
from tests.support.tools import tool

READY_SECONDS = 30.0
STOP_SECONDS = 15.0
SCRAPE_SECONDS = 1
# There is no cluster here: this is what kube-state-metrics would say in the middle of a bad roll-out.
CLUSTER = Path(__file__).parent / "kube_state_metrics.prom"


@dataclass(frozen=True)
class Sample:
    labels: dict[str, str]
    points: list[tuple[float, float]]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True)
class Prometheus:
    client: httpx.Client

    def _get(self, path: str, **parameters: str) -> Any:
        body = self.client.get(f"/api/v1/{path}", params=parameters).json()
        assert body["status"] == "success", (parameters, body)
        return body["data"]

    def query(self, expression: str) -> list[Sample]:
        data = self._get("query", query=expression)
        if data["resultType"] == "scalar":
            return [Sample({}, [_point(data["result"])])]
        return [Sample(series["metric"], [_point(series["value"])]) for series in data["result"]]

    def query_range(self, expression: str, start: float, end: float) -> list[Sample]:
        data = self._get("query_range", query=expression, start=str(start), end=str(end), step=str(SCRAPE_SECONDS))
        return [Sample(s["metric"], [_point(p) for p in s["values"]]) for s in data["result"]]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]


@dataclass(frozen=True)
class Stack:
    service: Service
    prometheus: Prometheus


def _point(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(timeout=1, verify=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.TransportError):
                if client.get(url).status_code == httpx.codes.OK:
                    return
            time.sleep(0.05)
    raise AssertionError(f"{url} did not come up:\n{log.read_text()[-2000:]}")


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        yield process
    finally:
        end(process, STOP_SECONDS)


class _Cluster(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = CLUSTER.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class named it
        """Say nothing."""


@contextmanager
def _cluster() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Cluster) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _configuration(admin_port: int, cluster_port: int, rules: Path) -> dict[str, Any]:
    """Scrape with the labels that the Prometheus Operator would set, once a second instead of every 15."""
    interval = f"{SCRAPE_SECONDS}s"
    service = {
        "targets": [f"127.0.0.1:{admin_port}"],
        "labels": {"namespace": NAMESPACE, "pod": POD, "container": "tasks-service"},
    }
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "tasks-service-admin", "static_configs": [service]},
            {
                "job_name": "kube-state-metrics",
                "honor_labels": True,
                "static_configs": [{"targets": [f"127.0.0.1:{cluster_port}"]}],
            },
        ],
    }


@contextmanager
def _prometheus(folder: Path, rules: Mapping[str, Any], admin_port: int) -> Iterator[Prometheus]:
    port = free_port()
    rule_file, configuration = folder / "rules.yaml", folder / "prometheus.yaml"
    rule_file.write_text(yaml.safe_dump(dict(rules)))
    with _cluster() as cluster_port:
        configuration.write_text(yaml.safe_dump(_configuration(admin_port, cluster_port, rule_file)))
        command = [
            tool("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        log = folder / "prometheus.log"
        with _process(command, log) as process:
            _await(f"http://127.0.0.1:{port}/-/ready", process, log)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, verify=False) as client:
                yield Prometheus(client)


def _await_scrapes(prometheus: Prometheus) -> None:
    """Prometheus is ready seconds before it scrapes for the first time, and what it has not seen rise has no rate."""
    deadline = time.monotonic() + READY_SECONDS
    while not prometheus.query('sum_over_time(up{job="tasks-service-admin"}[1m]) >= 2'):
        assert time.monotonic() < deadline, "Prometheus does not scrape the service"
        time.sleep(0.2)


@contextmanager
def watched(database_url: str, folder: Path, rules: Mapping[str, Any], settings: dict[str, str]) -> Iterator[Stack]:
    """Start the service on a migrated database, and Prometheus with `rules`; stop both at the end."""
    with (
        serve(database_url, **settings) as service,
        _prometheus(folder, rules, service.admin_port) as prometheus,
    ):
        _await_scrapes(prometheus)
        yield Stack(service, prometheus)
