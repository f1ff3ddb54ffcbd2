"""What matters in the rendered pods, services and policies, whatever else changes."""

from typing import Any

import pytest

from service import __version__
from service.database.session import role_settings, role_sql
from service.settings import Settings
from tests.packaging.chart import VALUES_FILES, Manifest, component_of, of_kind, pod_specs, render, the

SECRETS = {"DATABASE_URL", "JWT_SECRET", "JWT_PRIVATE_KEY"}


@pytest.mark.parametrize("values_file", VALUES_FILES)
def test_every_pod_meets_the_restricted_standard(values_file: str) -> None:
    for name, pod in pod_specs(render(values_file)):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        for container in _containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name


def test_every_setting_of_the_service_reaches_the_container() -> None:
    given = _environment(render("everything.yaml", "auth.secretKey=jwt-secret"))

    missing = {field.upper() for field in Settings.model_fields} - {n.removesuffix("_FILE") for n in given}
    assert missing == set()


def test_fractions_can_be_set_on_the_command_line() -> None:
    """Where `--set` makes text of them."""
    fractions = {
        "database.statementTimeoutSeconds": ("DB_STATEMENT_TIMEOUT_SECONDS", "0.5"),
        "database.pool.acquireTimeoutSeconds": ("DB_POOL_ACQUIRE_TIMEOUT_SECONDS", "0.25"),
        "database.connectTimeoutSeconds": ("DB_CONNECT_TIMEOUT_SECONDS", "12.75"),
        "server.drainSeconds": ("DRAIN_SECONDS", "4.5"),
        "limits.trashRetentionDays": ("TRASH_RETENTION_DAYS", "0.001"),
    }
    rendered = render("default.yaml", *(f"{value}={text}" for value, (_, text) in fractions.items()))
    settings = the(rendered, "ConfigMap", "api")["data"]
    assert {setting: settings[setting] for setting, _ in fractions.values()} == dict(fractions.values())


def test_addresses_are_believed_only_from_our_own_proxy() -> None:
    trusted = {
        name: the(render(name), "ConfigMap", "api")["data"]["TRUSTED_PROXIES"]
        for name in ("default.yaml", "ingress.yaml", "gateway.yaml", "everything.yaml")
    }
    assert trusted == {"default.yaml": "0", "ingress.yaml": "1", "gateway.yaml": "1", "everything.yaml": "2"}


def test_defaults_of_chart_and_service_are_the_same() -> None:
    settings = the(render(), "ConfigMap", "api")["data"]

    for name, field in Settings.model_fields.items():
        if name.upper() in settings:
            default = field.default
            found = settings[name.upper()]
            assert found == (str(default).lower() if isinstance(default, bool) else str(default)), name
    assert SECRETS.isdisjoint(settings), "secrets belong into Secrets"


def test_secrets_are_files_and_never_in_the_environment() -> None:
    for manifest in (render("default.yaml"), render("external.yaml"), render("pgbouncer.yaml")):
        for name, pod in pod_specs(manifest):
            for container in _own_containers(pod):
                for variable in container.get("env", []):
                    assert "valueFrom" not in variable, f"{name}: {variable['name']}"


def test_probes_ask_the_admin_port_and_liveness_leaves_the_database_alone() -> None:
    container = _api(render())

    paths = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {
        "startupProbe": {"path": "/livez", "port": "admin"},
        "livenessProbe": {"path": "/livez", "port": "admin"},
        "readinessProbe": {"path": "/readyz", "port": "admin"},
    }


@pytest.mark.parametrize("values_file", VALUES_FILES)
def test_nothing_public_points_at_the_admin_port(values_file: str) -> None:
    manifests = render(values_file)

    public = the(manifests, "Service", "api")
    assert [port["targetPort"] for port in public["spec"]["ports"]] == ["http"]
    assert the(manifests, "Service", "admin")["spec"]["type"] == "ClusterIP"
    for route in of_kind(manifests, "Ingress"):
        backends = [p["backend"]["service"] for r in route["spec"]["rules"] for p in r["http"]["paths"]]
        assert backends == [{"name": public["metadata"]["name"], "port": {"name": "http"}}]
    for route in of_kind(manifests, "HTTPRoute"):
        names = {backend["name"] for rule in route["spec"]["rules"] for backend in rule["backendRefs"]}
        assert names == {public["metadata"]["name"]}


def test_an_ingress_may_be_for_any_host() -> None:
    paths = "ingress.hosts[0].paths[0].path=/,ingress.hosts[0].paths[0].pathType=Prefix"
    (rule,) = the(render("default.yaml", "ingress.enabled=true", paths), "Ingress")["spec"]["rules"]
    assert list(rule) == ["http"]


def test_no_timeout_of_a_request_ends_a_stream() -> None:
    """A stream is a request whose answer does not end; it has a rule of its own, for each of the matches."""
    matches = ("httpRoute.matches[0].path.value=/a", "httpRoute.matches[1].path.value=/b")
    (route,) = of_kind(render("gateway.yaml", *matches), "HTTPRoute")
    requests, streams = route["spec"]["rules"]
    assert requests["timeouts"] == {"request": "10s"}
    assert streams["timeouts"] == {"request": "0s"}
    accept = [{"type": "Exact", "name": "Accept", "value": "text/event-stream"}]
    assert [match.pop("headers") for match in streams["matches"]] == [accept, accept]
    assert streams["matches"] == requests["matches"]


@pytest.mark.parametrize("values_file", VALUES_FILES)
def test_services_select_exactly_the_pods_they_are_for(values_file: str) -> None:
    manifests = render(values_file)

    labels = [m["spec"]["template"]["metadata"]["labels"] for m in manifests if _is_workload(m)]
    for service in of_kind(manifests, "Service"):
        selector = service["spec"]["selector"].items()
        assert len([pod for pod in labels if selector <= pod.items()]) == 1, service["metadata"]["name"]


def test_a_single_pod_has_no_disruption_budget() -> None:
    assert the(render(), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert of_kind(render("single.yaml"), "PodDisruptionBudget") == []


def test_migrations_go_round_the_pooler() -> None:
    for values_file, wanted in (("pgbouncer.yaml", "direct-url"), ("default.yaml", "/url")):
        pod = the(render(values_file), "Deployment")["spec"]["template"]["spec"]
        environment = {v["name"]: v.get("value", "") for v in pod["initContainers"][0]["env"]}
        assert environment["DATABASE_URL_FILE"].endswith(wanted)
    pod = the(render("cloudnativepg.yaml"), "Deployment")["spec"]["template"]["spec"]
    urls = [_value(container, "DATABASE_URL") for container in pod["initContainers"] + pod["containers"]]
    assert "@tasks-service-db-rw:5432/tasks?sslmode=verify-full" in urls[0]
    assert "@tasks-service-pooler:5432/tasks?sslmode=verify-ca" in urls[1]


def test_the_service_knows_what_pooler_it_talks_to() -> None:
    modes = {
        f: the(render(f), "ConfigMap", "api")["data"]["DB_POOLER"]
        for f in ("default.yaml", "pgbouncer.yaml", "cloudnativepg.yaml", "cloudnativepg-direct.yaml")
    }
    assert modes == {
        "default.yaml": "none",
        "pgbouncer.yaml": "transaction",
        "cloudnativepg.yaml": "transaction",
        "cloudnativepg-direct.yaml": "none",
    }


def test_only_the_certificate_of_the_ca_is_mounted() -> None:
    for values_file in ("cloudnativepg.yaml", "external.yaml"):
        volumes = the(render(values_file), "Deployment")["spec"]["template"]["spec"]["volumes"]
        [ca] = [volume for volume in volumes if volume["name"] == "database-ca"]
        assert ca["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]


def test_each_migration_mode_migrates_once() -> None:
    def commands(*values: str) -> list[list[str]]:
        return [c["args"] for _, p in pod_specs(render(*values)) for c in _own_containers(p) if c["name"] == "migrate"]

    assert commands("default.yaml") == [["migrate", "upgrade"]]
    assert commands("hook.yaml") == [["migrate", "upgrade"]]
    assert commands("default.yaml", "migrations.mode=none") == []
    assert commands("migrate-up.yaml") == [["migrate", "upgrade"]]
    assert commands("migrate-down.yaml") == [["migrate", "downgrade", "--to", "3"]]
    assert commands("migrate-down.yaml", "migrations.job.to=0") == [["migrate", "downgrade", "--to", "0"]]


def test_the_hook_needs_nothing_that_the_release_makes() -> None:
    manifests = render("hook.yaml")

    hook = the(manifests, "Job")
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = hook["spec"]["template"]["spec"]
    made = {m["metadata"]["name"] for m in manifests if m["kind"] in {"ConfigMap", "Secret", "ServiceAccount"}}
    used = {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert not (made - {"tasks-service"}) & used
    assert "serviceAccountName" not in pod
    assert "envFrom" not in pod["containers"][0]


def test_a_digest_wins_over_the_tag() -> None:
    assert "@sha256:" in _api(render("external.yaml"))["image"]
    assert _api(render())["image"] == f"tasks-service:{__version__}"


def test_changed_settings_and_secrets_replace_the_pods() -> None:
    def annotations(*settings: str) -> dict[str, str]:
        found = the(render("default.yaml", *settings), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        return dict(found)

    secret = "auth.jwtSecret=" + "a" * 32
    before = annotations(secret)
    assert before["checksum/config"] != annotations(secret, "log.level=debug")["checksum/config"]
    assert before["checksum/auth"] != annotations("auth.jwtSecret=" + "b" * 32)["checksum/auth"]
    assert before["checksum/auth"] == annotations(secret, "log.level=debug")["checksum/auth"]


def test_evaluation_database_and_service_agree_on_the_password() -> None:
    manifests = render()

    [data] = [s["stringData"] for s in of_kind(manifests, "Secret") if "password" in s["stringData"]]
    assert data["url"] == f"postgresql://tasks:{data['password']}@tasks-service-postgresql:5432/tasks"


def test_only_the_release_reaches_the_evaluation_database() -> None:
    policy = the(render(), "NetworkPolicy", "postgresql")["spec"]

    [rule] = policy["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "tasks"
    assert "namespaceSelector" not in peer
    assert policy["egress"] == []


def test_an_uninstall_keeps_the_production_cluster() -> None:
    cluster = the(render("cloudnativepg.yaml"), "Cluster")

    assert cluster["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert cluster["spec"]["backup"]["barmanObjectStore"]["destinationPath"] == "s3://backups/tasks"
    assert cluster["spec"]["postgresql"]["parameters"]["max_connections"] == "200"


def test_behind_a_pooler_the_role_carries_what_sessions_are_set_to() -> None:
    pooled, direct = (
        the(render(values_file), "Cluster")["spec"]["bootstrap"]["initdb"]
        for values_file in ("cloudnativepg.yaml", "cloudnativepg-direct.yaml")
    )
    assert pooled["postInitSQL"] == role_sql("tasks", role_settings(2.0))
    assert "postInitSQL" not in direct


def test_the_acceptance_test_leaves_nothing_behind() -> None:
    hooks = [m for m in render() if m["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]

    assert [hook["kind"] for hook in hooks] == ["ConfigMap", "Pod"]
    for hook in hooks:
        policy = hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert set(policy.split(",")) == {"before-hook-creation", "hook-succeeded", "hook-failed"}


def test_the_monitor_finds_the_admin_service() -> None:
    manifests = render("monitoring.yaml")

    wanted = the(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    found = [s for s in of_kind(manifests, "Service") if wanted <= s["metadata"]["labels"].items()]
    assert [component_of(service) for service in found] == ["admin"]


def test_the_grace_period_outlasts_pre_stop_and_drain() -> None:
    pod = the(render("everything.yaml"), "Deployment")["spec"]["template"]["spec"]

    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert pod["terminationGracePeriodSeconds"] == 30
    assert "lifecycle" not in _api(render())


def _is_workload(manifest: Manifest) -> bool:
    return manifest["kind"] in {"Deployment", "StatefulSet"}


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def _own_containers(pod: Manifest) -> list[dict[str, Any]]:
    return [container for container in _containers(pod) if container["name"] != "sidecar"]


def _api(manifests: tuple[Manifest, ...]) -> dict[str, Any]:
    container: dict[str, Any] = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return container


def _environment(manifests: tuple[Manifest, ...]) -> set[str]:
    return {v["name"] for v in _api(manifests)["env"]} | set(the(manifests, "ConfigMap", "api")["data"])


def _value(container: dict[str, Any], name: str) -> str:
    return next(str(v["value"]) for v in container["env"] if v["name"] == name)
