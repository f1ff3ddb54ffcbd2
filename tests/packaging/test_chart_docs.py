"""The chart's documents say what the chart does."""

import re
from typing import Any

import yaml

import service
from tests.packaging.chart import CHART, VALUES_FILES
from tests.support.tools import succeed, tool


def test_readme_is_what_the_values_comments_make() -> None:
    made = succeed(
        tool("helm-docs"),
        "--dry-run",
        "--chart-search-root",
        "helm",
        "--sort-values-order",
        "file",
        "--log-level",
        "error",
    )

    assert made.strip() == (CHART / "README.md").read_text().strip(), "run: make chart-docs"


def test_every_value_is_explained() -> None:
    rows = re.findall(r"^\| (\S+) \| \S+ \| .* \| (.*) \|$", (CHART / "README.md").read_text(), re.MULTILINE)
    unexplained = [name for name, text in rows if not text.strip() and not _inside_an_explained_one(name, rows)]

    assert unexplained == []


def test_schema_and_values_have_the_same_names() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert set(_names(values, schema["properties"], schema)) == set(), "in values.yaml, not in the schema"
    missing = {name for name, rule in schema["properties"].items() if rule is not True} - values.keys()
    assert missing == set(), "in the schema, not in values.yaml"


def test_chart_and_service_have_the_same_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == service.__version__
    assert f"tasks-service:{service.__version__}" in chart["annotations"]["artifacthub.io/images"]


def test_every_example_says_what_it_is_for() -> None:
    for name in VALUES_FILES:
        assert (CHART / "ci" / name).read_text().startswith("# "), name


def _inside_an_explained_one(name: str, rows: list[tuple[str, str]]) -> bool:
    return any(text and name.startswith(f"{other}.") for other, text in rows)


def _names(values: dict[str, Any], properties: dict[str, Any], schema: dict[str, Any], path: str = "") -> list[str]:
    unknown = []
    for name, value in values.items():
        rule = properties.get(name)
        if rule is None:
            unknown.append(path + name)
            continue
        if "$ref" in rule:
            rule = schema["definitions"][rule["$ref"].rpartition("/")[2]]
        if isinstance(value, dict) and "properties" in rule:
            unknown += _names(value, rule["properties"], schema, f"{path}{name}.")
    return unknown
