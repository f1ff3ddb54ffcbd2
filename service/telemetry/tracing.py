"""Traces: off unless the standard environment variables ask for them and the extra `tracing` is installed."""

import os
from collections.abc import Mapping
from typing import Protocol

import structlog

from service.environment import SettingsError
from service.telemetry.timing import SpanSink

log = structlog.get_logger()

TRACES_WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class RequestSpan(SpanSink, Protocol):
    """One request's span."""

    trace_id: str
    """In hex, as log lines and exemplars have it."""

    traceparent: str
    """W3C trace context of this span, for whoever called."""

    sampled: bool

    def end(self, *, method: str, route: str, status: int) -> None: ...


class Tracer(Protocol):
    def begin(self, headers: Mapping[str, str]) -> RequestSpan:
        """A span that continues the caller's trace if it sent a `traceparent`."""

    async def shutdown(self, timeout_seconds: float) -> bool:
        """Export what is left; False when the collector did not take it in time."""


def make_tracer(version: str) -> Tracer | None:
    """None when nobody asked for traces; a warning when they were asked for and the extra is missing.

    Raises SettingsError when the standard variables make no tracer.
    """
    if not any(os.environ.get(name) for name in TRACES_WANTED) or os.environ.get("OTEL_SDK_DISABLED") == "true":
        return None
    try:
        from service.telemetry.otel import OpenTelemetryTracer  # noqa: PLC0415  the extra may not be installed
    except ImportError:
        log.warning("tracing_not_installed", install="pip install 'tasks-service[tracing]'")
        return None
    try:
        return OpenTelemetryTracer(version)
    except ValueError as error:  # numbers of OTEL_BSP_… that do not fit together
        raise SettingsError(f"OTEL_…: {error}") from None
