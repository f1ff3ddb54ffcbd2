"""Row three: of a slow request's time, how much was spent where."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from helm.dashboard.panels import graph, note, per_second, quantile, query, stacked

TITLE = "Where the time goes"

PHASE = "http_request_phase_seconds"
REQUESTS = f"scalar(sum({per_second('http_request_duration_seconds_count')}))"

SIGNATURES = """
| what you see | what it is | go to |
|---|---|---|
| **pool** grows, db does not | connections run out: too few, or in use for too long | row *Pool* |
| **db** grows, pool follows later | a slow statement or a lock | query time by operation |
| **app** and **loop lag** grow together, db too | something blocks the event loop | one pod or all? |
| 503 at once, **all phases near 0** | the database is away | connections opened and closed |
| **auth** grows | token checks, or login storms (argon2) | answers 4xx |

Phases: `auth` (who is calling), `pool` (waiting for a connection), `db` (statements), `app` (all the rest).
"""


def panels() -> list[Builder[dashboard.Panel]]:
    return [
        stacked(
            "Mean time of a request, by phase",
            "The height is the mean duration, the bands say where it went. The widest band is where to look first.",
            "s",
            [query(f"sum by (phase) ({per_second(f'{PHASE}_sum')}) / {REQUESTS}", "{{phase}}")],
        ),
        graph(
            "p95 by phase",
            "The slow twentieth: the mean hides a lock that hits few requests.",
            "s",
            [query(quantile(0.95, PHASE, by="phase"), "{{phase}}")],
        ),
        note("How to read this row", SIGNATURES),
        graph(
            "Event loop lag p99, by pod",
            "How late the loop runs what is due. Above 0.1 s every request of that pod waits, whatever it "
            "asks for: look for CPU throttling, then for blocking code in the newest release. Runbook: "
            "docs/runbooks/TasksServiceEventLoopBlocked.md.",
            "s",
            [query(quantile(0.99, "event_loop_lag_seconds", by="pod"), "{{pod}}")],
            width=12,
        ),
        stacked(
            "Seconds spent per second, by phase",
            "How busy each phase is altogether. `db` is the mean number of connections in use: near the "
            "pool's size it cannot grow any more.",
            "none",
            [query(f"sum by (phase) ({per_second(f'{PHASE}_sum')})", "{{phase}}")],
            width=12,
        ),
    ]
