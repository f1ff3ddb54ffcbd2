"""The metrics of the event streams."""

from collections.abc import Callable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.telemetry.histogram import REQUEST_BUCKETS, Histogram

StreamEnd = Literal["account", "client", "drain", "error", "expired", "shutdown", "slow", "token"]
"""Why a stream ended. `token` is its sync token, which got too old; `expired` the access token."""


class StreamMetrics:
    """What the event streams count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("sync_streams", "Open event streams", registry=registry)
        self._events = Counter("sync_events_total", "Events written to streams", ["event"], registry=registry)
        self._ended = Counter(
            "sync_streams_ended_total", "Streams that ended, by reason", ["reason"], registry=registry
        )
        self._listening = Gauge(
            "sync_notifications",
            "Whether the database notifies this process of changes (1); else it asks for them",
            registry=registry,
        )
        self.delivery_seconds = Histogram(
            "sync_delivery_seconds",
            "Time from a change, by the database's clock, until it was written to a stream that had seen all before it",
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._by_event = {event: self._events.labels(event) for event in ("task", "deleted")}
        for reason in get_args(StreamEnd):
            self._ended.labels(reason)

    def watch(self, *, streams: Callable[[], int], listening: Callable[[], bool]) -> None:
        self._open.set_function(streams)
        self._listening.set_function(listening)

    def ended(self, reason: StreamEnd) -> None:
        self._ended.labels(reason).inc()

    def written(self, event: str, count: int) -> None:
        self._by_event[event].inc(count)
