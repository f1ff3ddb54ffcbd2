"""Traces, as a collector receives them."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.database import Database, run_command
from tests.support.server import SECRET, Service, free_port
from tests.support.users import User, sign_up

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector:
    """Speaks OTLP over HTTP, and keeps what it was sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The test says what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def traced(collector: Collector, start_service: Callable[..., Service]) -> Service:
    return start_service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)


def named(spans: list[Any], name: str) -> list[Any]:
    return [span for span in spans if span.name == name]


def test_a_request_is_a_trace_that_continues_the_callers(traced: Service, collector: Collector) -> None:
    with sign_up(traced.url) as user:
        user.http.get(user.tasks, headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "traced"})
    line = next(line for line in traced.log().splitlines() if '"request_id":"traced"' in line)
    assert json.loads(line)["trace_id"] == TRACE
    openmetrics = {"Accept": "application/openmetrics-text"}
    metrics = httpx.get(f"{traced.admin_url}/metrics", headers=openmetrics, verify=False).text
    assert f'# {{trace_id="{TRACE}"}}' in metrics
    assert traced.stop() == 0  # what is left is exported at the end
    spans = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    (request,) = named(spans, "GET /api/{user_id}/tasks")
    assert request.parent_span_id.hex() == PARENT
    assert {a.key: a.value.string_value or a.value.int_value for a in request.attributes} == {
        "http.request.method": "GET",
        "http.route": "/api/{user_id}/tasks",
        "http.response.status_code": 200,
    }
    for name in ("auth.token", "task_list"):
        (span,) = named(spans, name)
        assert span.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano


def test_a_caller_that_does_not_sample_is_respected(traced: Service, collector: Collector) -> None:
    httpx.get(f"{traced.url}/openapi.json", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"}, verify=False)
    traced.stop()
    assert [span for span in collector.spans if span.trace_id.hex() == TRACE] == []


def test_traces_are_off_unless_asked_for(service: Service, user: User) -> None:
    user.list()
    assert "trace_id" not in service.log()
    assert service.process is not None
    assert "opentelemetry" not in Path(f"/proc/{service.process.pid}/maps").read_text()


def test_numbers_that_do_not_fit_together_are_a_mistake(database: Database) -> None:
    """A queue that is shorter than a batch, which is 512 by default."""
    ports = {"PORT": str(free_port()), "ADMIN_PORT": str(free_port()), "HOST": "127.0.0.1"}
    wrong = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_MAX_QUEUE_SIZE": "256"}
    ended = run_command("serve", check=False, DATABASE_URL=database.url, JWT_SECRET=SECRET, **ports, **wrong)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == "The configuration has mistakes:"
    assert "max_queue_size" in ended.stderr
    assert "Traceback" not in ended.stderr


class DeadCollector:
    """Accepts connections and never answers, as one does that hangs; or answers nobody at all."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def accept(self) -> socket.socket:
        self._socket.settimeout(20)
        return self._socket.accept()[0]

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("fault", ["hangs", "is gone"])
def test_a_dead_collector_does_not_hold_up_the_end(
    database: Database, fault: str, start_service: Callable[..., Service]
) -> None:
    collector = DeadCollector()
    listens = fault == "hangs"
    if not listens:
        collector.close()
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
    service = start_service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **slow)
    with sign_up(service.url) as user:
        user.list()
    if listens:
        hanging = collector.accept()  # an export is under way
    began_at = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began_at < 10
    if listens:
        hanging.close()
        collector.close()
    names = [json.loads(line)["event"] for line in service.log().splitlines()]
    assert "traces_lost" in names or not listens
    assert names[-1] == "stopped"
