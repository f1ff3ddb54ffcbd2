"""OpenTelemetry behind `tracing`: the SDK, an OTLP exporter over HTTP, both set up by their standard variables."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.threads import UnawaitedThread

ERRORS_FROM = 500


class OpenTelemetrySpan:
    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span)
        context = span.get_span_context()
        self.trace_id = trace.format_trace_id(context.trace_id)
        self.sampled = bool(context.trace_flags & trace.TraceFlags.SAMPLED)
        self.traceparent = f"00-{self.trace_id}-{trace.format_span_id(context.span_id)}-{int(context.trace_flags):02x}"

    def finished(self, name: str, started_ns: int, ended_ns: int) -> None:
        self._tracer.start_span(name, self._context, start_time=started_ns).end(ended_ns)

    def end(self, *, method: str, route: str, status: int) -> None:
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        )
        if status >= ERRORS_FROM:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


class OpenTelemetryTracer:
    def __init__(self, version: str) -> None:
        resource = Resource.create({"service.name": "tasks-service", "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("tasks-service", version)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, headers: Mapping[str, str]) -> OpenTelemetrySpan:
        parent = self._propagator.extract(dict(headers))
        span = self._tracer.start_span("request", parent, kind=trace.SpanKind.SERVER)
        return OpenTelemetrySpan(self._tracer, span)

    async def shutdown(self, timeout_seconds: float) -> bool:
        """The SDK waits up to 30 s for a collector that does not answer, and takes no timeout for it.

        So it waits in a thread, which is left behind when the time is over.
        """
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def export() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        UnawaitedThread("traces-shutdown", export).start()
        try:
            async with asyncio.timeout(timeout_seconds):
                await done.wait()
        except TimeoutError:
            return False
        return True
