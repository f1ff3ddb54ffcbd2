"""The whole dashboard: variables, rows, and the text of the generated file."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    ConstantVariable,
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from helm.dashboard import database, objective, pool, process, streams, time_spent, traffic
from helm.dashboard.panels import DATASOURCE, of_pods

PATH = Path(__file__).parents[1] / "tasks-service" / "dashboards" / "tasks-service.json"
UID = "tasks-service"
ROWS = (objective, traffic, time_spent, pool, database, process, streams)

# What the chart sets from its values: objectives, and how many connections the database leaves us.
# The defaults are those of values.yaml, so that the file can also be imported by hand.
CONSTANTS = {
    "slo_latency_seconds": "0.2",
    "slo_latency_target": "0.99",
    "slo_availability": "0.999",
    "connection_budget": "84",
}

DESCRIPTION = (
    "Top to bottom: is the objective met, on which route not, where the time goes, and then the cause. "
    "Every panel's description says what to do. Made by helm/dashboard; change it there."
)


def _from_label(name: str, label: str, selector: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": f"label_values({selector}, {name})", "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _constant(name: str, value: str) -> ConstantVariable:
    return ConstantVariable(name).value(value)


def _started() -> AnnotationQuery:
    """Mark the minutes after a process started: most faults begin at a roll-out."""
    return (
        AnnotationQuery()
        .name("Pod started")
        .datasource(DATASOURCE)
        .enable(enable=True)
        .icon_color("blue")
        .expr(f"time() - {of_pods('process_start_time_seconds')} < 120")
    )


def dashboard() -> Dashboard:
    everything = VariableOption(selected=True, text="All", value="$__all")
    board = (
        Dashboard("Tasks Service")
        .uid(UID)
        .description(DESCRIPTION)
        .tags(["tasks-service", "slo"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .annotation(_started())
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_from_label("namespace", "Namespace", "tasks_service_build_info"))
        .with_variable(
            _from_label("pod", "Pod", 'tasks_service_build_info{namespace="$namespace"}')
            .multi(multi=True)
            .include_all(include_all=True)
            .current(everything)
        )
    )
    for name, value in CONSTANTS.items():
        board.with_variable(_constant(name, value))
    for row in ROWS:
        board.with_row(Row(row.TITLE))
        for panel in row.panels():
            board.with_panel(panel)
    return board


def render() -> str:
    board = dashboard().build()
    for variable in board.templating.list_val or ():
        if variable.name in CONSTANTS:
            variable.hide = VariableHide.HIDE_VARIABLE
    # Links to single panels name these numbers: they must not depend on what an instance hands out.
    for number, panel in enumerate(board.panels or (), start=1):
        panel.id_val = number
    return json.dumps(board, cls=JSONEncoder, indent=2) + "\n"
