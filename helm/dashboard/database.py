"""Row five: the schema that runs, and what statements cost."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from helm.dashboard.panels import graph, of_pods, per_second, quantile, query, stacked, stat

TITLE = "Database and migrations"

QUERY = "db_query_seconds"
BATCH = "db_read_batch_size"
REQUESTS = "http_request_duration_seconds_count"
APPLIED = of_pods("schema_revision", 'kind="applied"')
EXPECTED = of_pods("schema_revision", 'kind="expected"')
# Not by $pod: that variable knows the pods that Prometheus scraped, and a pod that cannot migrate never is.
MIGRATING = 'namespace="$namespace", container="migrate"'
STUCK = 'reason!~"PodInitializing|ContainerCreating"'
INIT_WAITING = f"kube_pod_init_container_status_waiting_reason{{{MIGRATING}, {STUCK}}}"
INIT_RESTARTS = f"kube_pod_init_container_status_restarts_total{{{MIGRATING}}}"


def panels() -> list[Builder[dashboard.Panel]]:
    return [
        stat(
            "Schema: applied and expected",
            "Applied below expected: those pods are not ready, and a migration has to run. Applied above "
            "expected is normal in a roll-out and after a rollback. Runbook: "
            "docs/runbooks/TasksServiceSchemaBehind.md.",
            "none",
            [query(f"min({APPLIED})", "applied"), query(f"max({EXPECTED})", "expected")],
            ((None, "blue"),),
            width=6,
        ),
        stat(
            "Pods behind their schema",
            "Pods that expect a newer revision than the database has.",
            "none",
            [query(f"count({APPLIED} < ignoring(kind) {EXPECTED}) or vector(0)", "behind")],
            ((None, "green"), (1, "red")),
            width=6,
        ),
        stat(
            "Migrations that wait or restart",
            "Init containers of the pods that wait to start, and their restarts in the selected range. From "
            "kube-state-metrics. Runbook: docs/runbooks/TasksServiceMigrationFailing.md.",
            "none",
            [
                query(f"sum({INIT_WAITING}) or vector(0)", "waiting"),
                query(f"ceil(sum(increase({INIT_RESTARTS}[$__range]))) or vector(0)", "restarts"),
            ],
            ((None, "green"), (1, "red")),
            width=6,
        ),
        stat(
            "Statements per request",
            "The hot routes take one statement each, and reads that arrive together share one: below 1 under load. "
            "A value that grows with a release is a loop around a query.",
            "none",
            [
                query(
                    f"sum({per_second(f'{QUERY}_count')}) / sum({per_second(REQUESTS)})",
                    "statements",
                )
            ],
            ((None, "blue"),),
            width=6,
        ).decimals(2),
        graph(
            "Query time p95, by operation",
            "One operation up: its plan changed (EXPLAIN it, look at the last migration and at autovacuum). "
            "All up: the database's CPU, disk or locks.",
            "s",
            [query(quantile(0.95, QUERY, by="operation"), "{{operation}}")],
        ),
        graph(
            "Statements by operation",
            "Rate of each statement. Rising with steady traffic: retries, or a client that polls harder.",
            "ops",
            [query(f"sum by (operation) ({per_second(f'{QUERY}_count')})", "{{operation}}")],
        ),
        graph(
            "Reads per shared statement",
            "How many requests of the reads that can share a statement did so, on average. 1: they come one at a time. "
            "It rises with load; rising with steady traffic: statements have become slower.",
            "none",
            [
                query(
                    f"sum by (operation) ({per_second(f'{BATCH}_sum')})"
                    f" / sum by (operation) ({per_second(f'{BATCH}_count')})",
                    "{{operation}}",
                )
            ],
        ),
        stacked(
            "Database time by operation",
            "Seconds of database time per second: what to optimise first is the widest band, not the slowest query.",
            "none",
            [query(f"sum by (operation) ({per_second(f'{QUERY}_sum')})", "{{operation}}")],
        ),
    ]
