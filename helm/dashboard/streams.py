"""Row seven: who stays in step by a stream, and how soon they hear of changes."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from helm.dashboard.panels import graph, limits, of_pods, per_second, quantile, query, stacked

TITLE = "Event streams"

DELIVERY = "sync_delivery_seconds"
PROMISED_SECONDS = 1.0
"""What docs/sync.md says of every change, on whichever pod."""


def panels() -> list[Builder[dashboard.Panel]]:
    return [
        stacked(
            "Streams open, by pod",
            "Uneven after a roll-out, since streams stay where they are until their access token expires. At "
            "`STREAMS_MAX` further ones are a 503.",
            "none",
            [query(f"sum by (pod) ({of_pods('sync_streams')})", "{{pod}}")],
        ),
        limits(
            graph(
                "Delivery of a change",
                "From the change to the stream. Near 0.75 s the database does not notify: look for `listener_lost` in "
                "the log. Above 1 s readings wait: look at the pool and at the event loop.",
                "s",
                [query(quantile(0.95, DELIVERY), "p95"), query(quantile(0.5, DELIVERY), "p50")],
            ),
            [(None, "green"), (PROMISED_SECONDS, "red")],
        ),
        stacked(
            "Changes told a second",
            "One for each stream that was told: a user with three streams counts three times.",
            "ops",
            [query(f"sum by (event) ({per_second('sync_events_total')})", "{{event}}")],
        ),
        graph(
            "Streams that ended, by reason",
            "`expired` and `client` are everyday life, `drain` a roll-out. `slow` are clients that do not read; "
            "`token` and `error` should not be there.",
            "ops",
            [query(f"sum by (reason) ({per_second('sync_streams_ended_total')})", "{{reason}}")],
            width=12,
        ),
        graph(
            "Notified by the database, by pod",
            "1, or 0 while a pod has to ask for changes. Always 0 behind a transaction pooler.",
            "none",
            [query(f"min by (pod) ({of_pods('sync_notifications')})", "{{pod}}")],
            width=12,
        ),
    ]
