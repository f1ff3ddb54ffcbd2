"""The operations port: liveness, readiness, version, metrics. Never routed by the ingress."""

import asyncio
from dataclasses import dataclass
from platform import python_version
from time import monotonic
from types import SimpleNamespace

from prometheus_client.exposition import choose_encoder
from sanic import HTTPResponse, Sanic
from sanic import Request as SanicRequest
from sanic.config import Config
from sanic.http import Stage
from sanic.response import raw
from sanic.server import HttpProtocol

from service.database.schema_watch import Schema
from service.http.errors import ProblemHandler
from service.http.protocol import CHECK_SECONDS
from service.http.requests import Request
from service.http.responses import READ, add_common_headers, json_value
from service.telemetry.metrics import Metrics

LAG_INTERVAL_SECONDS = 0.25

REQUEST_SECONDS = 10.0
"""From a request's first byte to the end of its answer, and from the connection to its first request."""

KEEP_ALIVE_SECONDS = 75.0
"""From one request to the next: a scraper comes at least once a minute."""

AdminApp = Sanic[Config, SimpleNamespace]


@dataclass
class Readiness:
    """Whether this process wants traffic. It does not ask the database: an outage there is no reason to leave."""

    schema: Schema
    started: bool = False
    draining: bool = False

    def checks(self) -> dict[str, bool]:
        return {
            "started": self.started,
            "schema": self.schema.whole(),
            "not_draining": not self.draining,
        }


class AdminProtocol(HttpProtocol):
    """Sanic restarts its timer with every byte, and stops it for whoever asks for a WebSocket. Nothing does here."""

    __slots__ = ("_began", "_idle_seconds")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's is wider
        self._began, self._idle_seconds = monotonic(), REQUEST_SECONDS
        super().connection_made(transport)  # type: ignore[no-untyped-call]  # Sanic's

    def data_received(self, data: bytes) -> None:
        if self._is_idle():
            self._began, self._idle_seconds = monotonic(), KEEP_ALIVE_SECONDS
        super().data_received(data)

    def check_timeouts(self) -> None:
        if self.transport is None or self._task is None:
            return
        if monotonic() - self._began > (self._idle_seconds if self._is_idle() else REQUEST_SECONDS):
            self.transport.abort()
            return
        self._callback_check_timeouts = self.loop.call_later(CHECK_SECONDS, self.check_timeouts)

    def _is_idle(self) -> bool:
        exchange = getattr(self, "_http", None)  # a first request may come before Sanic is ready for it
        return exchange is None or (exchange.stage is Stage.IDLE and not getattr(exchange, "request_body", None))


def create_admin_app(metrics: Metrics, readiness: Readiness, *, version: str, commit: str) -> AdminApp:
    app = Sanic(
        "tasks-service-admin",
        config=Config(env_prefix=""),
        request_class=Request,
        error_handler=ProblemHandler(),
        configure_logging=False,
    )
    app.config.ACCESS_LOG = False
    app.config.AUTO_EXTEND = False
    app.config.TOUCHUP = False  # the public app has rewritten Sanic's classes already, and twice breaks them

    def finish(request: SanicRequest, response: HTTPResponse) -> None:
        add_common_headers(response, str(request.id))

    app.on_response(finish)

    @app.route("/livez", methods=READ)
    async def livez(_: Request) -> HTTPResponse:
        return json_value({"status": "ok"})

    @app.route("/readyz", methods=READ)
    async def readyz(_: Request) -> HTTPResponse:
        checks = readiness.checks()
        ready = all(checks.values())
        response = json_value(
            {
                "status": "ok" if ready else "unavailable",
                "checks": checks,
                "schema_revision": {
                    "applied": readiness.schema.applied,
                    "expected": readiness.schema.expected,
                },
                "schema_missing": readiness.schema.missing,
            }
        )
        response.status = 200 if ready else 503
        return response

    @app.route("/version", methods=READ)
    async def show_version(_: Request) -> HTTPResponse:
        return json_value({"version": version, "commit": commit, "python": python_version()})

    @app.route("/metrics", methods=READ)
    async def show_metrics(request: Request) -> HTTPResponse:
        encode, content_type = choose_encoder(request.headers.getone("accept", ""))
        return raw(encode(metrics.registry), content_type=content_type)

    return app


async def watch_event_loop(metrics: Metrics) -> None:
    """Measure forever how late the loop is, in seconds."""
    while True:
        due = monotonic() + LAG_INTERVAL_SECONDS
        await asyncio.sleep(LAG_INTERVAL_SECONDS)
        metrics.event_loop_lag_seconds.observe(max(monotonic() - due, 0.0))
