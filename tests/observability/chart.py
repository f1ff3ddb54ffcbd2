"""The chart's rendered rules and dashboard, as the release `tasks-service` in namespace `prod` has them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from tests.support.database import ROOT
from tests.support.tools import succeed, tool

CHART = ROOT / "helm" / "tasks-service"
NAMESPACE = "prod"
POD = "tasks-service-7c9f8d6b5d-x2x4z"

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    objects: list[Object]

    def one(self, kind: str, suffix: str = "") -> Object:
        name = f"tasks-service{suffix}"
        (found,) = (o for o in self.objects if o["kind"] == kind and o["metadata"]["name"] == name)
        return found

    @cached_property
    def rules(self) -> Object:
        """A rule file, as Prometheus reads it."""
        spec: Object = self.one("PrometheusRule")["spec"]
        return spec

    @cached_property
    def alerts(self) -> dict[str, Object]:
        return {rule["alert"]: rule for rule in _rules(self.rules) if "alert" in rule}

    @cached_property
    def recorded(self) -> list[Object]:
        return [rule for rule in _rules(self.rules) if "record" in rule]

    @cached_property
    def dashboard(self) -> Object:
        board: Object = json.loads(self.one("ConfigMap", "-dashboards")["data"]["tasks-service.json"])
        return board

    @cached_property
    def constants(self) -> dict[str, str]:
        return {v["name"]: v["query"] for v in self.dashboard["templating"]["list"] if v["type"] == "constant"}


def _rules(spec: Object) -> Iterator[Object]:
    for group in spec["groups"]:
        yield from group["rules"]


def panels(dashboard: Object) -> list[Object]:
    """All panels but the row headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Object) -> Iterator[tuple[str, str]]:
    """Where a query stands and what it says, annotations included."""
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield f"{panel['title']} / {target['refId']}", target["expr"]


def render(*values: str, release: str = "tasks-service") -> Rendered:
    """Run helm with dashboard and rules switched on, and with `values` as --set takes them."""
    command = [tool("helm"), "template", release, str(CHART), "--namespace", NAMESPACE]
    for value in ("metrics.dashboards.enabled=true", "metrics.prometheusRule.enabled=true", *values):
        command += ["--set", value]
    return Rendered([document for document in yaml.safe_load_all(succeed(*command)) if document])
