"""Row one: is the objective met, and how fast is the error budget being spent."""

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard

from helm.dashboard.panels import OBJECTIVE, graph, limits, of_pods, query, stat

TITLE = "Is the objective met?"

# Traffic that found no route is left out: a scanner's 404s would hide real failures among many good answers.
ROUTED = 'route!="unmatched"'
SERVED = 'status!~"5.."'
IN_TIME = 'le="$slo_latency_seconds"'
RECORDED = 'namespace="$namespace"'

# Burn rates of the alerts in alerts/slo.yaml: a page at 14.4 and 6, a ticket at 3 and 1.
BURN_STEPS = ((None, "green"), (1, "yellow"), (6, "orange"), (14.4, "red"))
BUDGET_STEPS = ((None, "red"), (0, "orange"), (0.25, "yellow"), (0.5, "green"))


BUCKET = "http_request_duration_seconds_bucket"


def _over_range(metric: str, *matchers: str) -> str:
    return f"sum(increase({of_pods(metric, ROUTED, *matchers)}[$__range]))"


def _requests(*matchers: str) -> str:
    return _over_range("http_request_duration_seconds_count", *matchers)


def _budget(title: str, sli: str, meaning: str) -> Builder[dashboard.Panel]:
    return stat(
        title,
        f"Share of the 30-day error budget that is left: {meaning} Below 0 the objective is missed: stop "
        "risky roll-outs and see the burn beside it. Empty when the chart's PrometheusRule is not "
        "installed, or within five minutes of the first request.",
        "percentunit",
        [query(f'tasks_service:error_budget_left:30d{{{RECORDED}, sli="{sli}"}}', "{{service}}")],
        BUDGET_STEPS,
    ).decimals(1)


def _burn(title: str, sli: str, runbook: str) -> timeseries.Panel:
    panel = graph(
        title,
        "How many times faster than allowed the error budget is spent; at 1 it lasts exactly 30 days. Both "
        "5m and 1h above 14.4, or 30m and 6h above 6: somebody is paged. Next: the row below says which "
        f"route, the one after it says why. Runbook: docs/runbooks/{runbook}.md.",
        "none",
        [
            query(f'tasks_service:burn_rate:{window}{{{RECORDED}, sli="{sli}"}}', window)
            for window in ("5m", "30m", "1h", "6h", "3d")
        ],
        width=12,
    )
    # A total outage burns at 1,000: on a linear axis the limits would lie on the floor.
    scale = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.SYMLOG).log(10).linear_threshold(1)
    return limits(panel, BURN_STEPS).scale_distribution(scale)


def panels() -> list[Builder[dashboard.Panel]]:
    return [
        stat(
            "Alerts firing",
            "Alerts of this service that fire now. Each one links to its runbook in docs/runbooks.",
            "none",
            [
                query(
                    'count(ALERTS{namespace="$namespace", alertname=~"TasksService.+", alertstate="firing"})'
                    " or vector(0)",
                    "firing",
                )
            ],
            ((None, "green"), (1, "red")),
        ),
        stat(
            "Pods scraped",
            "Pods whose admin port answers Prometheus. 0: nobody is served, or Prometheus cannot reach port "
            "9000 (NetworkPolicy, ServiceMonitor labels). Runbook: "
            "docs/runbooks/TasksServiceNoPodsReady.md.",
            "none",
            [query(f"sum({of_pods('up')})", "pods")],
            ((None, "red"), (1, "yellow"), (2, "green")),
        ),
        stat(
            "Answered without a 5xx",
            "Over the selected range, beside the objective. 429 counts as served: the client was told the truth.",
            "percentunit",
            [
                query(f"{_requests(SERVED)} / {_requests()}", "answered"),
                query("vector($slo_availability)", OBJECTIVE),
            ],
            ((None, "blue"),),
        ).decimals(3),
        stat(
            "Answered in time",
            "Share of the answers that were no 5xx and came within the latency objective, over the selected range.",
            "percentunit",
            [
                query(
                    f"{_over_range(BUCKET, SERVED, IN_TIME)} / {_requests(SERVED)}",
                    "in time",
                ),
                query("vector($slo_latency_target)", OBJECTIVE),
            ],
            ((None, "blue"),),
        ).decimals(3),
        _budget("Availability budget left", "availability", "answers that are no 5xx."),
        _budget("Latency budget left", "latency", "answers within the latency objective."),
        _burn("Availability: burn rate", "availability", "TasksServiceAvailabilityBurningFast"),
        _burn("Latency: burn rate", "latency", "TasksServiceLatencyBurningFast"),
    ]
