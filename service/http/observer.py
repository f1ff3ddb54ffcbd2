"""What is seen of every request: counted, timed, logged and traced once, at its end."""

import re
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter

from sanic import Request
from sanic.constants import HTTP_METHODS
from sanic.http import Http

from service.http.requests import App
from service.http.shares import Share, Shares
from service.problems import ClientClosedRequest
from service.telemetry.logs import log_request
from service.telemetry.metrics import Metrics
from service.telemetry.timing import Timing, begin
from service.telemetry.tracing import RequestSpan, Tracer

UNMATCHED = "unmatched"
_METHODS = frozenset(str(method.value) for method in HTTP_METHODS)
_PARAMETER = re.compile(r"<(\w+)[^>]*>")


class Observer:
    def __init__(self, app: App, metrics: Metrics, shares: Shares, tracer: Tracer | None) -> None:
        self._app = app
        self._metrics = metrics
        self._shares = shares
        self._tracer = tracer

    async def observe(self, request: Request) -> None:
        """Handle the request, and record how it went whatever ends it."""
        span = self._tracer.begin(request.headers) if self._tracer is not None else None
        timing = Timing(perf_counter(), span)
        begin(timing)
        request.ctx.timing = timing
        request.ctx.share = share = Share(self._shares)
        self._metrics.in_progress += 1
        try:
            await self._app.handle_request(request)
        finally:
            self._metrics.in_progress -= 1
            share.leave()
            self.record(request, _status(request), timing, span)

    def record(self, request: Request, status: int, timing: Timing, span: RequestSpan | None = None) -> None:
        seconds = perf_counter() - timing.started_at
        method = request.method if request.method in _METHODS else "other"
        route = UNMATCHED if request.route is None else template(request.route.path)
        exemplar = {"trace_id": span.trace_id} if span is not None and span.sampled else None
        self._metrics.request_seconds(method, route, status).observe(seconds, exemplar)
        self._metrics.phases(timing, seconds)
        principal = getattr(request.ctx, "principal", None)
        line = {
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": _milliseconds(seconds),
            "auth_ms": _milliseconds(timing.auth),
            "pool_ms": _milliseconds(timing.pool),
            "db_ms": _milliseconds(timing.db),
            "request_id": request.id,
            "user_id": principal and principal.path_id,
        }
        if span is not None:
            line["trace_id"] = span.trace_id
            span.end(method=method, route=route, status=status)
        log_request(line)


@lru_cache
def template(path: str) -> str:
    """A route's path as OpenAPI writes it: the label of its metrics."""
    return "/" + _PARAMETER.sub(r"{\1}", path)


def _milliseconds(seconds: float) -> float:
    return int(seconds * 100_000) / 100


def _status(request: Request) -> int:
    stream = request.stream
    if not isinstance(stream, Http):
        return ClientClosedRequest.status
    if stream.exception is not None:
        return int(getattr(stream.exception, "status_code", HTTPStatus.REQUEST_TIMEOUT))
    return stream.response.status if stream.response is not None else ClientClosedRequest.status
