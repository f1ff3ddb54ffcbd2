"""Every metric: its name, its help, its labels (closed sets only), and nothing about who sets it."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from platform import python_version
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from service.telemetry.logs import dropped
from service.telemetry.timing import Timing

_FINE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


BackgroundTask = Literal[
    "account_purge",
    "event_loop_watch",
    "idempotency_purge",
    "issuer_keys",
    "pool_check",
    "pool_close",
    "pool_maintenance",
    "pool_open",
    "pool_repair",
    "rate_limit_purge",
    "schema_watch",
    "session_purge",
    "stream_keepalive",
    "stream_listener",
    "stream_notifier",
    "stream_poll",
    "stream_reader",
    "trash_purge",
]
"""All that runs beside the requests: a closed set, since it is a label."""


class _Value:
    """A number without the lock of prometheus_client's: all observing and all scraping is the event loop's."""

    __slots__ = ("exemplar", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.exemplar: Exemplar | None = None

    def inc(self, amount: float) -> None:
        self.value += amount

    def get(self) -> float:
        return self.value

    def set_exemplar(self, exemplar: Exemplar) -> None:
        self.exemplar = exemplar

    def get_exemplar(self) -> Exemplar | None:
        return self.exemplar


class _Histogram(Histogram):
    """prometheus_client's, at a fifth of the cost: seven are observed for every request."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._sum = _Value()
        self._buckets = [_Value() for _ in self._upper_bounds]

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        if exemplar is not None:
            super().observe(amount, exemplar)
            return
        self._sum.value += amount
        self._buckets[bisect_left(self._upper_bounds, amount)].value += 1


class BackgroundMetrics:
    """What `service.background` counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = Counter(
            "background_task_failures_total",
            "Background tasks, or rounds of them, that ended with an error",
            ["task"],
            registry=registry,
        )
        self._success = Gauge(
            "background_task_last_success_timestamp_seconds",
            "When a periodic task last did its work, or was started, in seconds since the epoch",
            ["task"],
            registry=registry,
        )
        for task in get_args(BackgroundTask):
            self._failures.labels(task)

    def failed(self, task: BackgroundTask) -> None:
        self._failures.labels(task).inc()

    def succeeded(self, task: BackgroundTask, at: float) -> None:
        self._success.labels(task).set(at)


class _Dropped(Collector):
    """Counted by the log itself, which is there before any metrics are."""

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily("log_lines_dropped", "Log lines that standard output did not take", value=dropped())


class DatabaseMetrics:
    """What the pool counts. It exists on its own so that migrations and tests need no server around it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("db_pool_connections", "Open connections by state", ["state"], registry=registry)
        self.max_connections = Gauge(
            "db_pool_max_connections", "Connections this process may open at the most", registry=registry
        )
        self.waiting_requests = Gauge(
            "db_pool_waiting_requests", "Requests waiting for a connection", registry=registry
        )
        self.acquire_seconds = _Histogram(
            "db_pool_acquire_seconds", "Wait for a connection", buckets=_FINE, registry=registry
        )
        self.acquire_timeouts = Counter(
            "db_pool_acquire_timeouts_total",
            "Requests that gave up the wait for a connection, or to be let at the pool's queue",
            registry=registry,
        )
        self.opened = Counter("db_pool_connections_opened_total", "Connections opened since start", registry=registry)
        self._closed = Counter(
            "db_pool_connections_closed_total",
            "Connections closed since start, by reason",
            ["reason"],
            registry=registry,
        )
        self._query_seconds = _Histogram(
            "db_query_seconds",
            "Time of one statement, without the wait for a connection",
            ["operation"],
            buckets=_FINE,
            registry=registry,
        )
        self._by_operation: dict[str, Histogram] = {}
        for reason in ("lost", "broken", "expired", "max_age", "max_idle", "shutdown"):
            self._closed.labels(reason)

    def watch_pool(
        self, *, idle: Callable[[], int], in_use: Callable[[], int], maximum: int, waiting: Callable[[], int]
    ) -> None:
        self.connections.labels("idle").set_function(idle)
        self.connections.labels("in_use").set_function(in_use)
        self.max_connections.set(maximum)
        self.waiting_requests.set_function(waiting)

    def closed(self, reason: str, count: int = 1) -> None:
        self._closed.labels(reason).inc(count)

    def query_seconds(self, operation: str) -> Histogram:
        child = self._by_operation.get(operation)
        if child is None:
            child = self._by_operation[operation] = self._query_seconds.labels(operation)
        return child


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
        self.delivery_seconds = _Histogram(
            "sync_delivery_seconds",
            "Time from a change, by the database's clock, until it was written to a stream that had seen all before it",
            buckets=_REQUEST,
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


class Metrics:
    """The service's registry. `slo_latency_seconds` is always an exact bucket of the request histogram."""

    def __init__(self, *, slo_latency_seconds: float, version: str, commit: str) -> None:
        disable_created_metrics()  # a series beside each counter and histogram, which nobody asks for
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.database = DatabaseMetrics(registry)
        self.background = BackgroundMetrics(registry)
        registry.register(_Dropped())
        self.streams = StreamMetrics(registry)
        self.in_progress = 0
        Gauge("http_requests_in_progress", "Requests being answered right now", registry=registry).set_function(
            lambda: self.in_progress
        )
        self._queued = Gauge("http_requests_queued", "Requests waiting to be read", registry=registry)
        self._unsent = Gauge(
            "http_unsent_bytes", "Of answers whose clients are behind in taking them", registry=registry
        )
        self._cut = Counter(
            "http_connections_cut_total", "Connections closed with an answer unsent", ["reason"], registry=registry
        )
        for reason in ("not_reading", "unsent_limit", "overdue"):
            self._cut.labels(reason)
        self._request_seconds = _Histogram(
            "http_request_duration_seconds",
            "Time from a request's head to its answer",
            ["method", "route", "status"],
            buckets=sorted({*_REQUEST, slo_latency_seconds}),
            registry=registry,
        )
        self._by_request: dict[tuple[str, str, int], Histogram] = {}
        phases = _Histogram(
            "http_request_phase_seconds",
            "Time of a request spent on authentication, on the wait for a connection, on statements and on the rest",
            ["phase"],
            buckets=_FINE,
            registry=registry,
        )
        self._auth, self._pool, self._db, self._app = (phases.labels(p) for p in ("auth", "pool", "db", "app"))
        self.auth_failures = Counter(
            "auth_failures_total", "Requests refused because of who asked", ["reason"], registry=registry
        )
        for reason in (
            "no_token",
            "bad_token",
            "expired_token",
            "foreign_path",
            "bad_credentials",
            "refresh_reuse",
            "limited",
        ):
            self.auth_failures.labels(reason)
        self.event_loop_lag_seconds = _Histogram(
            "event_loop_lag_seconds", "How late the event loop ran a timer", buckets=_FINE, registry=registry
        )
        self._schema_revision = Gauge("schema_revision", "Number of the schema's revision", ["kind"], registry=registry)
        Info("tasks_service_build", "The running build", registry=registry).info(
            {"version": version, "commit": commit, "python": python_version()}
        )

    def watch_connections(self, *, queued: Callable[[], int], unsent: Callable[[], int]) -> None:
        self._queued.set_function(queued)
        self._unsent.set_function(unsent)

    def connections_cut(self, reason: str) -> None:
        self._cut.labels(reason).inc()

    def request_seconds(self, method: str, route: str, status: int) -> Histogram:
        key = (method, route, status)
        child = self._by_request.get(key)
        if child is None:
            child = self._by_request[key] = self._request_seconds.labels(*key)
        return child

    def phases(self, timing: Timing, seconds: float) -> None:
        self._auth.observe(timing.auth)
        self._pool.observe(timing.pool)
        self._db.observe(timing.db)
        self._app.observe(timing.app(seconds))

    def schema_revision(self, *, applied: int, expected: int) -> None:
        self._schema_revision.labels("applied").set(applied)
        self._schema_revision.labels("expected").set(expected)
