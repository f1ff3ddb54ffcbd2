"""The registry, and the metrics of requests and the pool: names, help, labels (closed sets only), not who sets them."""

from collections.abc import Callable, Iterable
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.histogram import FINE_BUCKETS, REQUEST_BUCKETS, SIZE_BUCKETS, Histogram
from service.telemetry.logs import dropped
from service.telemetry.stream_metrics import StreamMetrics
from service.telemetry.timing import Timing


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
        self.acquire_seconds = Histogram(
            "db_pool_acquire_seconds", "Wait for a connection", buckets=FINE_BUCKETS, registry=registry
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
        self._query_seconds = Histogram(
            "db_query_seconds",
            "Time of one statement, without the wait for a connection",
            ["operation"],
            buckets=FINE_BUCKETS,
            registry=registry,
        )
        self._by_operation: dict[str, Histogram] = {}
        self._batch_size = Histogram(
            "db_read_batch_size",
            "Requests whose reads were run together in one statement",
            ["operation"],
            buckets=SIZE_BUCKETS,
            registry=registry,
        )
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

    def batch_size(self, operation: str) -> Histogram:
        return self._batch_size.labels(operation)

    def query_seconds(self, operation: str) -> Histogram:
        child = self._by_operation.get(operation)
        if child is None:
            child = self._by_operation[operation] = self._query_seconds.labels(operation)
        return child


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
        self.connections_refused = Counter(
            "http_connections_refused_total", "Connections that were one too many", registry=registry
        )
        for reason in ("not_reading", "unsent_limit", "overdue"):
            self._cut.labels(reason)
        self._request_seconds = Histogram(
            "http_request_duration_seconds",
            "Time from a request's head to its answer",
            ["method", "route", "status"],
            buckets=sorted({*REQUEST_BUCKETS, slo_latency_seconds}),
            registry=registry,
        )
        self._by_request: dict[tuple[str, str, int], Histogram] = {}
        phases = Histogram(
            "http_request_phase_seconds",
            "Time of a request spent on authentication, on the wait for a connection, on statements and on the rest",
            ["phase"],
            buckets=FINE_BUCKETS,
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
        self.event_loop_lag_seconds = Histogram(
            "event_loop_lag_seconds", "How late the event loop ran a timer", buckets=FINE_BUCKETS, registry=registry
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
