"""One way to make each kind of panel, so that all of them share units, legends and colours."""

from collections.abc import Sequence
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import heatmap as heatmap_builders
from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.builders import stat as stat_builders
from grafana_foundation_sdk.builders import table as table_builders
from grafana_foundation_sdk.builders import text as text_builders
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
OBJECTIVE = "objective"
CEILING = "ceiling"
STAT_HEIGHT = 4
GRAPH_HEIGHT = 8

Steps = Sequence[tuple[float | None, str]]


def of_pods(metric: str, *matchers: str) -> str:
    """Select `metric` of the pods that the reader chose."""
    selector = ", ".join(('namespace="$namespace"', 'pod=~"$pod"', *matchers))
    return f"{metric}{{{selector}}}"


def per_second(metric: str, *matchers: str) -> str:
    return f"rate({of_pods(metric, *matchers)}[$__rate_interval])"


def quantile(fraction: float, histogram: str, *matchers: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({fraction}, sum by ({labels}) ({per_second(f'{histogram}_bucket', *matchers)}))"


def query(expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).range().datasource(DATASOURCE)


def with_exemplars(expr: str, legend: str) -> prometheus.Dataquery:
    """Show single requests as points on the graph, each with its trace."""
    return query(expr, legend).exemplar(exemplar=True)


def cell(expr: str, ref: str) -> prometheus.Dataquery:
    """One column of a table: the value of now."""
    return prometheus.Dataquery().expr(expr).instant().format(PromQueryFormat.TABLE).ref_id(ref).datasource(DATASOURCE)


def thresholds(steps: Steps) -> ThresholdsConfig:
    return (
        ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps])
    )


def _dashed(color: str) -> list[dashboard.DynamicConfigValue]:
    return [
        dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color}),
        dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        dashboard.DynamicConfigValue("custom.fillOpacity", 0),
        dashboard.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "lines"}),
    ]


def graph(
    title: str, description: str, unit: str, queries: Sequence[prometheus.Dataquery], *, width: int = 8
) -> timeseries.Panel:
    """Lines over time. A query with the legend `objective` or `ceiling` is drawn as a dashed limit."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .datasource(DATASOURCE)
        .span(width)
        .height(GRAPH_HEIGHT)
        .line_width(2)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(["lastNotNull", "max"])
            .sort_by("Max")
            .sort_desc(sort_desc=True)
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
        .override_by_name(OBJECTIVE, _dashed("red"))
        .override_by_name(CEILING, _dashed("orange"))
    )
    for ref, target in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(target.ref_id(ref))
    return panel


def stacked(
    title: str, description: str, unit: str, queries: Sequence[prometheus.Dataquery], *, width: int = 8
) -> timeseries.Panel:
    """Parts of a whole over time."""
    return (
        graph(title, description, unit, queries, width=width)
        .fill_opacity(35)
        .line_width(1)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("parts"))
    )


def limits(panel: timeseries.Panel, steps: Steps) -> timeseries.Panel:
    """Draw fixed limits, which mean the same for every objective, as lines."""
    return panel.thresholds(thresholds(steps)).thresholds_style(
        common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    )


def stat(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[prometheus.Dataquery],
    steps: Steps,
    *,
    width: int = 4,
) -> stat_builders.Panel:
    """One number, coloured by whether anybody has to act."""
    panel = (
        stat_builders.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .span(width)
        .height(STAT_HEIGHT)
        .thresholds(thresholds(steps))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    for ref, target in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(target.ref_id(ref))
    return panel


def table(
    title: str,
    description: str,
    columns: Sequence[tuple[str, str, str]],
    *,
    hidden: Sequence[str] = (),
    width: int = 24,
) -> table_builders.Panel:
    """Rows joined on the labels that the columns share. A column is its heading, its unit and its query."""
    refs = ascii_uppercase[: len(columns)]
    names = {f"Value #{ref}": heading for ref, (heading, _, _) in zip(refs, columns, strict=True)}
    excluded = ["Time", *(name for name, heading in names.items() if heading in hidden)]
    panel = (
        table_builders.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(GRAPH_HEIGHT)
        .with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            dashboard.DataTransformerConfig(
                id_val="organize",
                options={"excludeByName": dict.fromkeys(excluded, True), "renameByName": names},
            )
        )
        .sort_by([common_builders.TableSortByFieldState().display_name(columns[0][0]).desc(desc=True)])
    )
    for ref, (heading, unit, expr) in zip(refs, columns, strict=True):
        panel.with_target(cell(expr, ref))
        panel.override_by_name(heading, [dashboard.DynamicConfigValue("unit", unit)])
    return panel


def heatmap(title: str, description: str, expr: str, *, width: int = 8) -> heatmap_builders.Panel:
    """Draw a Prometheus histogram as it is, bucket by bucket."""
    target = query(expr, "{{le}}").format(PromQueryFormat.HEATMAP).ref_id("A")
    return (
        heatmap_builders.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .span(width)
        .height(GRAPH_HEIGHT)
        .calculate(calculate=False)
        .color(heatmap_builders.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Spectral").steps(64))
        .y_axis(heatmap_builders.YAxisConfig().unit("s"))
        .with_target(target)
    )


def note(title: str, markdown: str, *, width: int = 8) -> text_builders.Panel:
    return text_builders.Panel().title(title).mode(TextMode.MARKDOWN).content(markdown).span(width).height(GRAPH_HEIGHT)
