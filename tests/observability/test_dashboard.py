"""The checked-in dashboard is what its source draws, and on-call can rely on how it is built."""

import json

import pytest

from helm.dashboard.assembly import CONSTANTS, PATH, ROWS, UID, render
from tests.observability import chart
from tests.observability.chart import Object, Rendered, panels, queries

ROW_TITLES = [
    "Is the objective met?",
    "Traffic, errors, duration by route",
    "Where the time goes",
    "Pool",
    "Database and migrations",
    "Process",
    "Event streams",
]


@pytest.fixture(scope="module")
def board(rendered: Rendered) -> Object:
    return rendered.dashboard


def test_checked_in_file_is_what_the_source_draws() -> None:
    assert PATH.read_text() == render(), "run `make dashboard`"


def test_chart_sets_the_constants_and_changes_nothing_else() -> None:
    tight = chart.render("slo.latencyMs=50").dashboard
    for variable in tight["templating"]["list"]:
        variable["query"] = CONSTANTS.get(variable["name"], variable["query"])
    assert tight == json.loads(PATH.read_text())


def test_rows_follow_the_questions_of_on_call(board: Object) -> None:
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ROW_TITLES == [row.TITLE for row in ROWS]


def test_identity_is_stable(board: Object) -> None:
    assert board["uid"] == UID == "tasks-service"
    numbers = [panel["id"] for panel in board["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_data_source_namespace_and_pod_are_the_readers_choice(board: Object) -> None:
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables)[:3] == ["datasource", "namespace", "pod"]
    assert variables["pod"]["multi"]
    assert variables["pod"]["includeAll"]
    assert all(variables[name]["hide"] == 2 for name in CONSTANTS)
    assert {panel["datasource"]["uid"] for panel in panels(board) if "targets" in panel} == {"${datasource}"}


def test_every_panel_has_a_unit_and_says_what_to_do(board: Object) -> None:
    for panel in panels(board):
        if panel["type"] == "text":
            continue
        assert len(panel["description"]) > 40, panel["title"]
        if panel["type"] not in {"heatmap", "table"}:
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_every_query_is_named_and_has_a_legend(board: Object) -> None:
    for panel in panels(board):
        targets = panel.get("targets", [])
        references = [target["refId"] for target in targets]
        assert references == sorted(set(references)), panel["title"]
        assert all(references), panel["title"]
        assert panel["type"] == "table" or all(target["legendFormat"] for target in targets), panel["title"]


def test_rates_follow_the_scrape_interval(board: Object) -> None:
    for where, query in queries(board):
        assert "rate(" not in query or "[$__rate_interval]" in query, where


def test_every_query_keeps_to_the_chosen_namespace(board: Object) -> None:
    for where, query in queries(board):
        assert query.startswith("vector(") or 'namespace="$namespace"' in query, where


def test_panels_fill_the_grid_without_overlap(board: Object) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_sidecar_finds_the_config_map(rendered: Rendered) -> None:
    labels = rendered.one("ConfigMap", "-dashboards")["metadata"]["labels"]
    assert labels["grafana_dashboard"] == "1"
