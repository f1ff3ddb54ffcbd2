"""The chart's documents say what the chart does."""

import math
import re
from typing import Any

import pytest
import yaml

import service
from service.settings import Settings
from tests.packaging.chart import CHART, VALUES_FILES
from tests.support.tools import succeed, tool

SETTINGS = re.findall(
    r"^([A-Z_]+): \{\{ \.Values\.([\w.]+) \|", (CHART / "templates" / "_pod.tpl").read_text(), re.MULTILINE
)
"""Those that a value alone decides, each with that value."""


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


@pytest.mark.parametrize(("setting", "value"), SETTINGS)
def test_the_schema_takes_no_number_that_the_service_refuses(setting: str, value: str) -> None:
    """Its pods would end at their start, one after the other, instead."""
    allowed = Settings.model_json_schema()["properties"][setting.lower()]
    allowed = next((kind for kind in allowed.get("anyOf", [allowed]) if kind["type"] != "null"), allowed)
    if allowed["type"] in {"integer", "number"}:
        taken = _rule(value)
        number = next(kind for kind in taken.get("anyOf", [taken]) if kind.get("type") in {"integer", "number"})
        lowest, highest = _bounds(number)
        assert _bounds(allowed)[0] <= lowest
        assert highest <= _bounds(allowed)[1]


def test_chart_and_service_have_the_same_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == service.__version__
    assert f"tasks-service:{service.__version__}" in chart["annotations"]["artifacthub.io/images"]


def test_every_example_says_what_it_is_for() -> None:
    for name in VALUES_FILES:
        assert (CHART / "ci" / name).read_text().startswith("# "), name


def _rule(value: str) -> dict[str, Any]:
    """Of the schema, for a value by its path."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    rule: dict[str, Any] = schema
    for name in value.split("."):
        rule = rule["properties"][name]
        if "$ref" in rule:
            rule = schema["definitions"][rule["$ref"].rpartition("/")[2]]
    return rule


def _bounds(rule: dict[str, Any]) -> tuple[tuple[float, bool], float]:
    """The lowest number, with whether it is itself left out, and the highest."""
    above = rule.get("exclusiveMinimum")
    lowest = (rule.get("minimum", -math.inf), False) if above is None else (above, True)
    return lowest, rule.get("maximum", math.inf)


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
