"""The example of k8s/patroni agrees with the service and the chart that are to use it."""

import re
import shlex

import pytest
import yaml

from service.database.session import role_settings, role_sql
from tests.packaging.chart import CHART, Manifest, of_kind, parse, pod_specs, the
from tests.support.database import ROOT
from tests.support.tools import succeed, tool

FOLDER = ROOT / "k8s" / "patroni"


@pytest.fixture(scope="module")
def built() -> tuple[Manifest, ...]:
    return parse(succeed(tool("kustomize"), "build", FOLDER))


def test_the_role_carries_what_the_service_needs_behind_a_transaction_pooler() -> None:
    script = (FOLDER / "create-database").read_text()

    assert [f"{line};" for line in role_sql("tasks", role_settings(2.0))] == re.findall(
        r"^ALTER ROLE .*$", script, re.MULTILINE
    )


def test_the_chart_installs_as_the_readme_says(built: tuple[Manifest, ...]) -> None:
    """Its budget knows what all poolers together open, and PostgreSQL takes that."""
    command = re.search(r"^helm .*? install tasks (helm/tasks-service .*?)^```", _readme(), re.MULTILINE | re.DOTALL)
    assert command is not None
    arguments = shlex.split(command[1].replace("\\\n", " "))
    settings = dict(each.split("=", 1) for each in arguments if "=" in each)
    poolers = the(built, "Deployment")["spec"]["replicas"]
    opened = poolers * int(_of_pgbouncer("max_db_connections"))
    patroni = yaml.safe_load((FOLDER / "patroni.yaml").read_text())["bootstrap"]["dcs"]
    connections = patroni["postgresql"]["parameters"]["max_connections"]

    assert int(settings["database.pooler.maxServerConnections"]) == opened
    values = [argument for argument in arguments[1:] if argument != "--wait"]
    clients = poolers * int(_of_pgbouncer("max_client_conn"))
    values += ["--set", f"database.maxConnections={connections},database.pooler.maxClientConnections={clients}"]
    succeed(tool("helm"), "template", "tasks", CHART, *values)


def test_what_patroni_asks_of_its_times_holds() -> None:
    """Otherwise a primary could still be one when its lock has run out."""
    times = yaml.safe_load((FOLDER / "patroni.yaml").read_text())["bootstrap"]["dcs"]

    assert times["loop_wait"] + 2 * times["retry_timeout"] <= times["ttl"]


def test_every_pod_meets_the_restricted_standard(built: tuple[Manifest, ...]) -> None:
    specs = dict(pod_specs(built))

    assert len(specs) == 2
    for spec in specs.values():
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_only_members_reach_what_can_switch_over(built: tuple[Manifest, ...]) -> None:
    (policy,) = of_kind(built, "NetworkPolicy")
    labels = the(built, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    peers = [(port["port"], rule.get("from")) for rule in policy["spec"]["ingress"] for port in rule["ports"]]

    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    assert peers == [("postgresql", None), ("patroni", [{"podSelector": {"matchLabels": labels}}])]


def test_hadolint_finds_nothing_in_its_image() -> None:
    assert succeed(tool("hadolint"), FOLDER / "Dockerfile") == ""


def _readme() -> str:
    return (FOLDER / "README.md").read_text()


def _of_pgbouncer(name: str) -> str:
    found = re.search(rf"^{name} = (\w+)$", (FOLDER / "pgbouncer.ini").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]
