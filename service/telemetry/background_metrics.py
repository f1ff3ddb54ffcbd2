"""The metrics of what runs beside the requests."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

BackgroundTask = Literal[
    "account_purge",
    "event_loop_watch",
    "idempotency_purge",
    "issuer_keys",
    "pool_check",
    "pool_close",
    "pool_maintenance",
    "pool_open",
    "pool_read_batch",
    "pool_repair",
    "rate_limit_purge",
    "schema_check",
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
