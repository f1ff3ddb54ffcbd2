"""Row six: the processes themselves."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from helm.dashboard.panels import CEILING, graph, of_pods, per_second, quantile, query, table

TITLE = "Process"

MEMORY_LIMIT = 'kube_pod_container_resource_limits{namespace="$namespace", pod=~"$pod", resource="memory"}'
LAST_SUCCESS = of_pods("background_task_last_success_timestamp_seconds")
BUILD = of_pods("tasks_service_build_info")


def panels() -> list[Builder[dashboard.Panel]]:
    return [
        graph(
            "Memory, by pod",
            "Flat under steady load. A line that only climbs is a leak: take a heap profile before the pod "
            "is killed at the ceiling (its memory limit, from kube-state-metrics).",
            "bytes",
            [
                query(f"max by (pod) ({of_pods('process_resident_memory_bytes')})", "{{pod}}"),
                query(f"min({MEMORY_LIMIT})", CEILING),
            ],
        ),
        graph(
            "CPU, by pod",
            "One process has one busy thread: near 1.0 core the pod is at its end, and more replicas help.",
            "none",
            [query(f"sum by (pod) ({per_second('process_cpu_seconds_total')})", "{{pod}}")],
        ),
        graph(
            "Event loop lag",
            "p50 and p99 over all pods. See also `Where the time goes`.",
            "s",
            [
                query(quantile(0.99, "event_loop_lag_seconds"), "p99"),
                query(quantile(0.5, "event_loop_lag_seconds"), "p50"),
            ],
        ),
        graph(
            "Restarts in the last hour, by pod",
            "Container restarts within a pod. Read the last lines of `kubectl logs --previous`; OOMKilled "
            "shows in `kubectl describe pod`.",
            "none",
            [query(f"sum by (pod) (changes({of_pods('process_start_time_seconds')}[1h]))", "{{pod}}")],
            width=6,
        ),
        graph(
            "Open file descriptors, by pod",
            "Follows client connections. A line that only climbs: connections that nobody closes.",
            "none",
            [
                query(f"sum by (pod) ({of_pods('process_open_fds')})", "{{pod}}"),
                query(f"min({of_pods('process_max_fds')})", CEILING),
            ],
            width=6,
        ),
        graph(
            "Background tasks: since the last success",
            "Periodic work beside the requests. A line that climbs for an hour is a task that always fails: the log "
            "says why (`background_task_failed`).",
            "s",
            [query(f"time() - min by (task) ({LAST_SUCCESS})", "{{task}}")],
            width=12,
        ),
        graph(
            "Failures of background tasks, by task, and log lines dropped",
            "In five minutes. Zero but for the database's outages. Dropped lines: nobody reads the logs fast enough.",
            "none",
            [
                query(f"sum by (task) (increase({of_pods('background_task_failures_total')}[5m]))", "{{task}}"),
                query(f"sum(increase({of_pods('log_lines_dropped_total')}[5m]))", "log lines dropped"),
            ],
            width=12,
        ),
        table(
            "Versions",
            "Two versions at once are a roll-out; for longer than a few minutes, a stuck one. Rows: pods.",
            (
                ("Up for", "s", f"time() - max by (pod) ({of_pods('process_start_time_seconds')})"),
                ("Build", "none", f"max by (pod, version, commit, python) ({BUILD})"),
            ),
            hidden=("Build",),
            width=12,
        ),
    ]
