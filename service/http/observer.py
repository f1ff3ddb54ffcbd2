"""What is seen of every request: counted, timed, logged and traced once, at its end."""

import re
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import Any

import structlog
from sanic import Request as SanicRequest
from sanic.constants import HTTP_METHODS
from sanic.http import Http

from service import deadlines, problems
from service.http.admission import Admission
from service.http.requests import Request
from service.http.responses import problem_response
from service.http.slots import Slot, Slots
from service.telemetry.logs import log_request
from service.telemetry.metrics import Metrics
from service.telemetry.timing import Timing, begin, spent
from service.telemetry.tracing import RequestSpan, Tracer

log = structlog.get_logger()

UNMATCHED = "unmatched"
_METHODS = frozenset(str(method.value) for method in HTTP_METHODS)
_PARAMETER = re.compile(r"<(\w+)[^>]*>")


class Observer:
    def __init__(self, metrics: Metrics, slots: Slots, admission: Admission, tracer: Tracer | None) -> None:
        self._metrics = metrics
        self._slots = slots
        self._admission = admission
        self._tracer = tracer

    async def observe(self, request: Request) -> None:
        """Handle the request, and record how it went whatever ends it."""
        span = self._tracer.begin(request.headers) if self._tracer is not None else None
        waited = _waited(request)
        timing = Timing(perf_counter() - waited, span)
        begin(timing)
        deadlines.begin()
        if waited:
            deadlines.add_wait(waited)
            spent("pool", "admission", waited)
        request.ctx.timing = timing
        request.ctx.slot = slot = Slot(self._slots)
        self._metrics.in_progress += 1
        try:
            if waited < self._admission.timeout_seconds:
                await request.app.handle_request(request)
            else:
                self._metrics.database.acquire_timeouts.inc()
                response = await request.respond(problem_response(problems.Overloaded(), str(request.id)))
                await response.send(end_stream=True)
        finally:
            self._metrics.in_progress -= 1
            slot.release()
            if _became_stream(request):
                _end_span(request, span)  # what has begun is no request: it has metrics and a log line of its own
            else:
                self.record(request, _status(request), timing, span)
            self._admission.left()

    def refused(self, method: str, request_id: str, seconds: float) -> None:
        """A request that was refused unread: nobody knows its route, or its user."""
        method = method if method in _METHODS else "other"
        status = problems.Overloaded.status
        self._metrics.request_seconds(method, UNMATCHED, status).observe(seconds)
        self._metrics.database.acquire_timeouts.inc()
        waited = Timing(0.0)
        waited.pool = seconds
        self._metrics.phases(waited, seconds)
        log_request(_line(method, UNMATCHED, status, seconds, waited, request_id))

    def connection_refused(self) -> None:
        """There were too many already. No line of log: nobody knows who it was, and many may come."""
        self._metrics.connections_refused.inc()

    def cut(self, reason: str) -> None:
        """A connection that was closed with an answer unsent, which its client did not take."""
        self._metrics.connections_cut(reason)
        log.info("connection_cut", reason=reason)

    def record(self, request: SanicRequest, status: int, timing: Timing, span: RequestSpan | None = None) -> None:
        seconds = perf_counter() - timing.started_at
        method = request.method if request.method in _METHODS else "other"
        route = UNMATCHED if request.route is None else template(request.route.path)
        exemplar = {"trace_id": span.trace_id} if span is not None and span.sampled else None
        self._metrics.request_seconds(method, route, status).observe(seconds, exemplar)
        self._metrics.phases(timing, seconds)
        principal = getattr(request.ctx, "principal", None)
        line = _line(method, route, status, seconds, timing, str(request.id))
        if principal is not None:
            line["user_id"] = principal.path_id
        if span is not None:
            line["trace_id"] = span.trace_id
            span.end(method=method, route=route, status=status)
        log_request(line)


@lru_cache
def template(path: str) -> str:
    """A route's path as OpenAPI writes it: the label of its metrics."""
    return "/" + _PARAMETER.sub(r"{\1}", path)


def _line(  # noqa: PLR0917  its fields
    method: str, route: str, status: int, seconds: float, timing: Timing, request_id: str
) -> dict[str, object]:
    return {
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": _milliseconds(seconds),
        "auth_ms": _milliseconds(timing.auth),
        "pool_ms": _milliseconds(timing.pool),
        "db_ms": _milliseconds(timing.db),
        "request_id": request_id,
        "user_id": None,
    }


def _waited(request: Request) -> float:
    protocol: Any = request.stream and request.stream.protocol
    waited: float = protocol.waited
    if waited:
        protocol.waited = 0.0  # the next one on this connection may not have waited at all
    return waited


def _milliseconds(seconds: float) -> float:
    return int(seconds * 100_000) / 100


def _became_stream(request: Request) -> bool:
    exchange: Any = request.stream  # false by now, which is no more than Sanic's word for an exchange that is over
    return exchange is not None and bool(exchange.protocol.handed_over)


def _end_span(request: Request, span: RequestSpan | None) -> None:
    if span is not None and request.route is not None:
        span.end(method=request.method, route=template(request.route.path), status=HTTPStatus.OK)


def _status(request: Request) -> int:
    stream = request.stream
    if not isinstance(stream, Http):
        return problems.ClientClosedRequest.status
    if stream.exception is not None:
        return int(getattr(stream.exception, "status_code", HTTPStatus.REQUEST_TIMEOUT))
    return stream.response.status if stream.response is not None else problems.ClientClosedRequest.status
