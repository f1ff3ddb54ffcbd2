"""Row four: the connection pool, and how near all pods together are to what the database gives."""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from helm.dashboard.panels import CEILING, graph, of_pods, per_second, quantile, query, stacked

TITLE = "Pool"

ACQUIRE = "db_pool_acquire_seconds"
BUDGET = "vector($connection_budget)"


def _connections() -> timeseries.Panel:
    return stacked(
        "Connections by state",
        "in_use at the ceiling with anybody waiting is saturation: see whether db time (long statements) or "
        "traffic grew. Runbook: docs/runbooks/TasksServicePoolSaturated.md.",
        "none",
        [
            query(f"sum by (state) ({of_pods('db_pool_connections')})", "{{state}}"),
            query(f"sum({of_pods('db_pool_max_connections')})", CEILING),
        ],
    )


def _waiting() -> timeseries.Panel:
    return graph(
        "Requests waiting for a connection",
        "0 when all is well. A short peak is absorbed; a plateau ends in timeouts. When the queue is full, the rest "
        "is queued unread.",
        "none",
        [
            query(f"sum by (pod) ({of_pods('db_pool_waiting_requests')})", "{{pod}}"),
            query(f"sum by (pod) ({of_pods('http_requests_queued')})", "{{pod}} unread"),
        ],
    )


def _acquire() -> timeseries.Panel:
    return graph(
        "Time to get a connection",
        "Below a millisecond when connections are free. p95 above that: the pool is the bottleneck, whatever "
        "the database says.",
        "s",
        [
            query(quantile(0.99, ACQUIRE), "p99"),
            query(quantile(0.95, ACQUIRE), "p95"),
            query(quantile(0.5, ACQUIRE), "p50"),
        ],
    )


def _timeouts() -> timeseries.Panel:
    return graph(
        "Acquire timeouts",
        "Each one was a 503 with Retry-After. Runbook: docs/runbooks/TasksServicePoolAcquireTimeouts.md.",
        "ops",
        [query(f"sum by (pod) ({per_second('db_pool_acquire_timeouts_total')})", "{{pod}}")],
    )


def _churn() -> timeseries.Panel:
    return graph(
        "Connections opened and closed",
        "Quiet when all is well: max_age and max_idle recycle connections now and then. lost or broken: the "
        "database restarts, fails over or drops us. Many lost with no outage: something between cuts idle "
        "connections; lower database.pool.maxIdleSeconds.",
        "ops",
        [
            query(f"sum({per_second('db_pool_connections_opened_total')})", "opened"),
            query(f"sum by (reason) ({per_second('db_pool_connections_closed_total')})", "closed: {{reason}}"),
        ],
    )


def _budget() -> timeseries.Panel:
    return graph(
        "Connection budget",
        "What all pods hold, what they may open, and what the database leaves them. `may open` at the "
        "ceiling: the next replica can be refused (SQLSTATE 53300). Runbook: "
        "docs/runbooks/TasksServiceConnectionBudgetNearEnd.md.",
        "none",
        [
            query(f"sum({of_pods('db_pool_connections')})", "open"),
            query(f"sum({of_pods('db_pool_max_connections')})", "may open"),
            query(BUDGET, CEILING),
        ],
    )


def panels() -> list[Builder[dashboard.Panel]]:
    return [_connections(), _waiting(), _acquire(), _timeouts(), _churn(), _budget()]
