"""The HTTP/1.1 connection, and what is seen of every request that passes through it."""

import re
from functools import lru_cache
from http import HTTPStatus
from time import monotonic, perf_counter

import structlog
from sanic import Request
from sanic.constants import HTTP_METHODS
from sanic.exceptions import RequestTimeout
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

from service.http.requests import App
from service.http.shares import Share, Shares
from service.telemetry.metrics import Metrics

UNMATCHED = "unmatched"
CLIENT_CLOSED_REQUEST = 499
"""The status in metrics and logs of a request whose client left before the answer; nginx has it too."""

_METHODS = frozenset(str(method.value) for method in HTTP_METHODS)

_PARAMETER = re.compile(r"<(\w+)[^>]*>")

log = structlog.get_logger()


class Protocol(HttpProtocol):
    """Sanic's protocol with a deadline that slow clients cannot push back, and with every request observed."""

    __slots__ = ()

    def _setup(self) -> None:
        super()._setup()  # type: ignore[no-untyped-call]
        self.request_handler = self.app.ctx.observer.observe

    def data_received(self, data: bytes) -> None:
        # Sanic restarts its clock with every byte; a request's time runs from its first one.
        began = self._time if self.http is not None and self.http.stage is not Stage.IDLE else None
        super().data_received(data)
        if began is not None:
            self._time = began

    def check_timeouts(self) -> None:
        http = self.http
        waiting_for_body = http is not None and http.stage is Stage.HANDLER and http.request_body
        if waiting_for_body and self._task and monotonic() - self._time > self.request_timeout:
            http.exception = RequestTimeout()
            self._task.cancel()
        else:
            super().check_timeouts()  # type: ignore[no-untyped-call]


class Observer:
    """Counts, times and logs each request once, at its end."""

    def __init__(self, app: App, metrics: Metrics, shares: Shares) -> None:
        self._app = app
        self._metrics = metrics
        self._shares = shares

    async def observe(self, request: Request) -> None:
        started_at = perf_counter()
        self._metrics.in_progress += 1
        share = request.ctx.share = Share(self._shares)
        try:
            await self._app.handle_request(request)
        finally:
            self._metrics.in_progress -= 1
            share.leave()
            self.record(request, _status(request), perf_counter() - started_at)

    def record(self, request: Request, status: int, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "other"
        route = UNMATCHED if request.route is None else template(request.route.path)
        self._metrics.request_seconds(method, route, status).observe(seconds)
        principal = getattr(request.ctx, "principal", None)
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            request_id=request.id,
            user_id=principal and principal.path_id,
        )


@lru_cache
def template(path: str) -> str:
    """A route's path as OpenAPI writes it: the label of its metrics."""
    return "/" + _PARAMETER.sub(r"{\1}", path)


def _status(request: Request) -> int:
    stream = request.stream
    if not isinstance(stream, Http):
        return CLIENT_CLOSED_REQUEST
    if stream.exception is not None:
        return int(getattr(stream.exception, "status_code", HTTPStatus.REQUEST_TIMEOUT))
    return stream.response.status if stream.response is not None else CLIENT_CLOSED_REQUEST
