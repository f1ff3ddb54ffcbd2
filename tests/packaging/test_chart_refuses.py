"""Values that cannot work are refused before anything reaches a cluster, and the error says what to change."""

import re

import pytest
import yaml

from service.accounts.discovery import is_issuer
from service.http.cors import parse_origins
from tests.packaging.chart import CHART, HELMS, of_kind, parse, refuse, render, the
from tests.support.tools import run, succeed, tool

EXTERNAL = ("postgresql.enabled=false", "database.existingSecret=db")
POOLED = (*EXTERNAL, "database.pooler.mode=transaction")
CLUSTER = ("postgresql.enabled=false", "cloudnativepg.enabled=true")


@pytest.mark.parametrize("helm", HELMS)
def test_connections_that_cannot_fit_are_refused(helm: str) -> None:
    error = refuse("replicaCount=4", helm=helm)

    assert "replicaCount 4 + strategy surge 1, times database.pool.max 20 and 1 that listens = 105 connections" in error
    assert "database.reservedConnections 16, exceed postgresql.maxConnections 100" in error
    assert "database.pool.max (at most 15 fits)" in error


def test_the_budget_names_the_values_of_each_database() -> None:
    assert "exceed database.maxConnections 100" in refuse(*EXTERNAL, "replicaCount=4")
    assert "exceed cloudnativepg.maxConnections 200" in refuse(*CLUSTER, "replicaCount=9")
    assert "autoscaling.maxReplicas 5" in refuse("autoscaling.enabled=true", "autoscaling.maxReplicas=5")


def test_the_budget_is_exact_at_its_edge() -> None:
    render("default.yaml", "replicaCount=3")
    render("default.yaml", "replicaCount=4", "database.pool.max=15")
    render("default.yaml", "replicaCount=4", "postgresql.maxConnections=121")
    refuse("replicaCount=4", "postgresql.maxConnections=120")


def test_surge_counts_as_number_and_as_percentage() -> None:
    surge = "strategy.rollingUpdate.maxSurge"
    assert "surge 2," in refuse("replicaCount=3", f"{surge}=2")
    assert "surge 2," in refuse("replicaCount=3", f"{surge}=34%")
    render("default.yaml", "replicaCount=4", "strategy.type=Recreate")


def test_behind_a_pooler_both_sides_are_counted() -> None:
    render("default.yaml", *POOLED, "replicaCount=40")
    assert "exceed what the pooler accepts: database.pooler.maxClientConnections = 1000" in refuse(
        *POOLED, "replicaCount=50"
    )
    assert "the pooler opens 90 connections (database.pooler.maxServerConnections)" in refuse(
        *POOLED, "database.pooler.maxServerConnections=90"
    )
    assert "cloudnativepg.pooler.poolSize times cloudnativepg.pooler.instances" in refuse(
        *CLUSTER, "cloudnativepg.pooler.enabled=true", "cloudnativepg.pooler.poolSize=100"
    )


@pytest.mark.parametrize("helm", HELMS)
def test_renamed_values_fail_with_the_new_name(helm: str) -> None:
    error = refuse("replicas=3", "image.name=a", "database.poolSize=4", helm=helm)

    for line in ("replicas is now replicaCount", "image.name is now image.repository"):
        assert line in error
    assert "database.poolSize is now database.pool.max" in error


def test_every_renamed_value_gets_past_the_schema_to_its_error() -> None:
    text = (CHART / "templates" / "_checks.tpl").read_text()
    names = yaml.safe_load(text.split('"tasks-service.renamedValues" -}}')[1].split("{{-")[0])

    error = refuse(*(f"{old}=1" for old in names if "." not in old), "metrics.enabled=true")
    for old, new in names.items():
        if "." not in old:
            assert f"{old} is now {new}" in error


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["nonsense=1"], "additional properties 'nonsense' not allowed"),
        (["database.pool.maximum=1"], "additional properties 'maximum' not allowed"),
        (["cloudnativepg.enabled=true"], "/postgresql/enabled"),
        (["postgresql.enabled=false"], "/database/existingSecret"),
        (["database.existingSecret=db"], "set postgresql.enabled=false"),
        ([*EXTERNAL, "database.existingSecret=", "database.url=mysql://x"], "/database/url"),
        (
            ["postgresql.enabled=false", "database.url=postgres://x", "database.pooler.mode=session"],
            "/database/directUrl",
        ),
        (["migrations.mode=hook"], "/database/existingSecret"),
        (["migrations.mode=never"], "/migrations/mode"),
        (["migrations.job.enabled=true", "migrations.job.action=downgrade"], "/migrations/job/to"),
        (["auth.jwtSecret=too-short"], "/auth/jwtSecret"),
        (["auth.privateKeyKey=key.pem"], "/auth/existingSecret"),
        (["auth.secretKey="], "/auth/privateKeyKey"),
        (["image.digest=sha256:abc"], "/image/digest"),
        (["ingress.enabled=true"], "/ingress/hosts"),
        (["httpRoute.enabled=true"], "/httpRoute/parentRefs"),
        (["metrics.serviceMonitor.enabled=true", "metrics.podMonitor.enabled=true"], "/metrics/podMonitor/enabled"),
        (["autoscaling.enabled=true", "autoscaling.minReplicas=4"], "minReplicas is above autoscaling.maxReplicas"),
        (["database.pool.min=30"], "database.pool.min is above database.pool.max"),
        (["terminationGracePeriodSeconds=14"], "preStopSleepSeconds + server.drainSeconds + 12 = 15"),
        (["database.statementTimeoutSeconds=0.0009"], "/database/statementTimeoutSeconds"),
        (["server.drainSeconds=60.5"], "/server/drainSeconds"),
        (["server.drainSeconds=18.5"], "preStopSleepSeconds + server.drainSeconds + 12 = 31"),
        (["database.statementTimeoutSeconds=20"], "preStopSleepSeconds + server.drainSeconds + 30 = 33"),
        (["limits.concurrentRequestsPerUser=21"], "concurrentRequestsPerUser is above database.pool.max"),
        (["server.port=9000"], "server.port and server.adminPort must differ"),
        (["slo.latencyMs=0"], "/slo/latencyMs"),
        (["nameOverride=Tasks"], "/nameOverride"),
        (["fullnameOverride=1st"], "/fullnameOverride"),
        ([r"commonLabels.app\.kubernetes\.io/name=x"], "/commonLabels"),
        ([r"podLabels.app\.kubernetes\.io/instance=x"], "/podLabels"),
        (["server.corsOrigins={*,https://a.b}"], "/server/corsOrigins"),
        (["service.externalTrafficPolicy=Local"], "/service/externalTrafficPolicy"),
        (["probes.liveness.successThreshold=2"], "/probes/liveness/successThreshold"),
        (["strategy.rollingUpdate.maxSurge=0"], "no pod could ever be replaced"),
        (["metrics.serviceMonitor.interval=5s"], "metrics.serviceMonitor.scrapeTimeout is above interval"),
        (["metrics.podMonitor.scrapeTimeout=1m"], "metrics.podMonitor.scrapeTimeout is above interval"),
        (["autoscaling.enabled=true", "resources=null"], "autoscaling counts in parts of resources.requests.cpu"),
        (["auth.oidcIssuer=https://a.b", "auth.issuer=https://a.b"], "auth.oidcIssuer is the value of auth.issuer too"),
    ],
)
def test_values_that_contradict_each_other_are_refused(settings: list[str], reason: str) -> None:
    assert reason in refuse(*settings)


def test_as_a_dependency_the_chart_takes_global_values_and_its_condition() -> None:
    assert the(render("default.yaml", "global.anything=1", "enabled=true"), "Deployment")


@pytest.mark.parametrize(
    "origin", ["*", "https://a.b", "http://[::1]:3000", "capacitor://localhost", "https://*.a.b", "https://a.b/", "a.b"]
)
def test_chart_and_service_take_the_same_origins(origin: str) -> None:
    taken = run(tool("helm"), "template", "tasks", CHART, "--set", f"server.corsOrigins={{{origin}}}").returncode == 0
    try:
        parse_origins(origin)
    except ValueError:
        assert not taken
    else:
        assert taken


@pytest.mark.parametrize(
    "issuer",
    [
        "https://a",
        "https://a.b:8443/realms/x~",
        "http://[::1]:80/x",
        "http://a.b",
        "https:///x",
        "https://:80",
        "https://a/é",
    ],
)
def test_chart_and_service_take_the_same_issuers(issuer: str) -> None:
    done = run(tool("helm"), "template", "tasks", CHART, "--set", f"auth.oidcIssuer={issuer}")
    assert (done.returncode == 0) == is_issuer(issuer)


@pytest.mark.parametrize("release", ["my.tasks", "a.b.c-9", "tasks-service.blue"])
def test_a_release_with_dots_gets_names_that_services_may_have(release: str) -> None:
    manifests = parse(succeed(tool("helm"), "template", release, CHART))
    names = [manifest["metadata"]["name"] for manifest in of_kind(manifests, "Service")]
    assert all(re.fullmatch("[a-z][a-z0-9-]*", name) for name in names), names


def test_a_release_whose_services_could_have_no_name_is_refused() -> None:
    """Also as a number, which a label may only be as text."""
    done = run(tool("helm"), "template", "123", CHART)
    assert "set fullnameOverride" in done.stderr
    named = parse(succeed(tool("helm"), "template", "123", CHART, "--set", "fullnameOverride=tasks"))
    assert {manifest["metadata"]["labels"]["app.kubernetes.io/instance"] for manifest in named} == {"123"}


def test_labels_of_one_object_win_over_the_common_ones() -> None:
    text = succeed(tool("helm"), "template", "x", CHART, "--set", "commonLabels.team=a,podLabels.team=b")
    (deployment,) = [part for part in text.split("---\n") if "kind: Deployment" in part]
    assert re.findall("team: (.)", deployment) == ["a", "b"], "of itself, and of its pods, each once"


def test_an_older_kubernetes_is_refused() -> None:
    done = succeed(tool("helm"), "show", "chart", CHART)

    assert yaml.safe_load(done)["kubeVersion"] == ">=1.31.0-0"
