"""compose.yaml names files that exist, settings that the service takes, and rules that are the chart's."""

import importlib.util
import re
from types import ModuleType
from typing import Any

import pytest
import yaml

from service.settings import load_settings
from tests.support.database import ROOT
from tests.support.tools import succeed, tool

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.fixture(scope="module")
def rules() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rules", ROOT / "compose" / "rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rules_are_the_charts(rules: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", tool("helm").rpartition("/")[0], prepend=":")
    assert rules.rendered() == rules.FILE.read_text(), "run: make compose-rules"


def test_prometheus_takes_its_configuration() -> None:
    told = succeed(tool("promtool"), "check", "config", ROOT / "compose" / "prometheus.yaml")
    assert re.search(r"rules\.yaml\n\s+SUCCESS: \d\d rules found", told)


def test_every_file_that_is_mounted_exists() -> None:
    mounts = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith("./")]
    assert len(files) == 5
    assert [mount for mount in files if not (ROOT / mount).exists()] == []
    assert set(mounts) - set(files) == COMPOSE["volumes"].keys()


def test_the_service_takes_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("migrate", "tasks-service"):
        for variable, value in SERVICES[name]["environment"].items():
            monkeypatch.setenv(variable, value)
        assert load_settings().database.hosts[0].name == "postgresql"


def test_nothing_listens_beyond_this_machine() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_the_rules_find_the_service_by_its_labels() -> None:
    """They were rendered for a namespace and for names of pods; the scrape has to give both."""
    (scrape,) = yaml.safe_load((ROOT / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    labels = scrape["static_configs"][0]["labels"]
    text = (ROOT / "compose" / "rules.yaml").read_text()
    (pods,) = set(re.findall(r'namespace="([^"]+)", pod=~"([^"]+)"', text))
    assert labels["namespace"] == pods[0]
    assert re.fullmatch(pods[1], labels["pod"])
