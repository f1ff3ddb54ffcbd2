"""Row two: who asks for what, what fails, and how long it takes, by route."""

from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from helm.dashboard.panels import (
    OBJECTIVE,
    graph,
    heatmap,
    of_pods,
    per_second,
    quantile,
    query,
    stacked,
    table,
    with_exemplars,
)

TITLE = "Traffic, errors, duration by route"

DURATION = "http_request_duration_seconds"
COUNT = f"{DURATION}_count"
SERVER_ERROR = 'status=~"5.."'
CLIENT_ERROR = 'status=~"4.."'


def _limit() -> prometheus.Dataquery:
    return query("vector($slo_latency_seconds)", OBJECTIVE)


def _requests_by_route() -> timeseries.Panel:
    return stacked(
        "Requests by route",
        "A sudden drop with no drop in errors means that clients no longer reach the pods: look at the "
        "ingress. `unmatched` is traffic that found no route, usually scanners.",
        "reqps",
        [query(f"sum by (method, route) ({per_second(COUNT)})", "{{method}} {{route}}")],
    )


def _server_errors() -> timeseries.Panel:
    return graph(
        "Answers 5xx",
        "503 alone: the pool is exhausted or the database is away (rows 4 and 5 tell which). 500: a defect; "
        "search the logs for that route with status 500 and follow the request_id.",
        "reqps",
        [
            query(f"sum by (route, status) ({per_second(COUNT, SERVER_ERROR)})", "{{status}} {{route}}"),
            query(f"sum({per_second(COUNT, SERVER_ERROR)}) or vector(0)", "all"),
        ],
    )


def _refusals() -> timeseries.Panel:
    return graph(
        "Answers 4xx, and why tokens were refused",
        "expired_token alone: a client does not refresh. bad_token: a key was rotated too early, or "
        "somebody forges. bad_credentials or limited: guessing. refresh_reuse: a refresh token was stolen "
        "or a client raced itself. 409 and 412: clients race each other, which is theirs to solve.",
        "reqps",
        [
            query(f"sum by (status) ({per_second(COUNT, CLIENT_ERROR)})", "{{status}}"),
            query(f"sum by (reason) ({per_second('auth_failures_total')})", "token: {{reason}}"),
        ],
    )


def _percentiles() -> timeseries.Panel:
    return graph(
        "Duration, all routes",
        "p99 above the dashed objective: go to `Where the time goes`. Points are single requests with a "
        "trace: click one.",
        "s",
        [
            with_exemplars(quantile(0.99, DURATION), "p99"),
            query(quantile(0.95, DURATION), "p95"),
            query(quantile(0.5, DURATION), "p50"),
            _limit(),
        ],
    )


def _by_route() -> timeseries.Panel:
    return graph(
        "Duration p95 by route",
        "One route alone: its statement (row 5, query time by operation). All routes together: pool, event "
        "loop or database as a whole. Login and signup are slower by design (argon2).",
        "s",
        [query(quantile(0.95, DURATION, by="method, route"), "{{method}} {{route}}"), _limit()],
    )


def _in_progress() -> timeseries.Panel:
    return graph(
        "Requests in progress",
        "Flat at a low number when all is well. It climbs when answers stop: then pool waiting or loop lag "
        "climbs too. One pod alone: restart that one; all pods: the database.",
        "none",
        [query(f"sum by (pod) ({of_pods('http_requests_in_progress')})", "{{pod}}")],
    )


def panels() -> list[Builder[dashboard.Panel]]:
    failed = f"sum by (method, route) ({per_second(COUNT, SERVER_ERROR)})"
    asked = f"sum by (method, route) ({per_second(COUNT)})"
    return [
        _requests_by_route(),
        _server_errors(),
        _refusals(),
        _percentiles(),
        _by_route(),
        heatmap(
            "Duration, every request",
            "Two bands mean two kinds of request: those that waited and those that did not.",
            f"sum by (le) (increase({of_pods(f'{DURATION}_bucket')}[$__rate_interval]))",
        ),
        _in_progress(),
        table(
            "Routes now",
            "The worst route at one glance: sort by a column.",
            (
                ("Requests/s", "reqps", asked),
                ("5xx share", "percentunit", f"({failed} or 0 * {asked}) / ({asked} > 0)"),
                ("p50", "s", quantile(0.5, DURATION, by="method, route")),
                ("p95", "s", quantile(0.95, DURATION, by="method, route")),
                ("p99", "s", quantile(0.99, DURATION, by="method, route")),
            ),
            width=16,
        ),
    ]
