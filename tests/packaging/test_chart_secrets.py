"""Generated secrets: random, the same wherever they are quoted, and kept by every upgrade."""

from base64 import b64encode
from pathlib import Path

import pytest

from tests.packaging.chart import CHART, HELMS, OLDEST_KUBERNETES, Manifest, of_kind, parse, the
from tests.packaging.cluster import cluster
from tests.support.tools import succeed, tool

Secrets = dict[str, dict[str, str]]


def _upgrade(folder: Path, helm: str, secrets: Secrets, *settings: str) -> tuple[Manifest, ...]:
    """What an upgrade would send to a cluster with these Secrets."""
    sets = [part for setting in settings for part in ("--set", setting)]
    with cluster(folder, secrets) as environment:
        options = ["--dry-run=server", "--disable-openapi-validation", "--kube-version", OLDEST_KUBERNETES, *sets]
        return parse(succeed(tool(helm), "template", "tasks", CHART, *options, environment=environment))


def _data(manifests: tuple[Manifest, ...]) -> Secrets:
    return {s["metadata"]["name"]: s["stringData"] for s in of_kind(manifests, "Secret")}


def _stored(manifests: tuple[Manifest, ...]) -> Secrets:
    """As the API server gives them back."""
    return {
        name: {key: b64encode(value.encode()).decode() for key, value in data.items()}
        for name, data in _data(manifests).items()
    }


@pytest.mark.parametrize("helm", HELMS)
def test_an_upgrade_changes_neither_secrets_nor_pods(tmp_path: Path, helm: str) -> None:
    installed = _upgrade(tmp_path, helm, {})

    upgraded = _upgrade(tmp_path, helm, _stored(installed))

    assert _data(upgraded) == _data(installed)
    assert the(upgraded, "Deployment") == the(installed, "Deployment")


def test_each_installation_gets_its_own_secrets(tmp_path: Path) -> None:
    first, second = (_data(_upgrade(tmp_path, "helm", {})) for _ in range(2))

    assert first["tasks-service-auth"]["jwt-secret"] != second["tasks-service-auth"]["jwt-secret"]
    assert first["tasks-service-database"]["password"] != second["tasks-service-database"]["password"]
    assert len(first["tasks-service-auth"]["jwt-secret"]) == 48


def test_a_secret_that_is_given_replaces_the_generated_one(tmp_path: Path) -> None:
    installed = _upgrade(tmp_path, "helm", {})

    upgraded = _upgrade(tmp_path, "helm", _stored(installed), "auth.jwtSecret=" + "n" * 32)

    assert _data(upgraded)["tasks-service-auth"] == {"jwt-secret": "n" * 32}


def test_existing_secrets_are_left_alone(tmp_path: Path) -> None:
    manifests = _upgrade(
        tmp_path,
        "helm",
        {},
        "auth.existingSecret=mine",
        "postgresql.enabled=false",
        "database.existingSecret=mine-too",
    )

    assert of_kind(manifests, "Secret") == []


def test_notes_warn_about_the_evaluation_database_and_give_curl_lines(tmp_path: Path) -> None:
    notes = _notes(tmp_path, "default.yaml")

    assert "WARNING: the database is for EVALUATION" in notes
    assert 'curl --fail "$BASE_URL/api/$USER_ID/tasks"' in notes
    assert "port-forward service/tasks-service 8000:80" in notes


def test_notes_fit_the_values(tmp_path: Path) -> None:
    assert "WARNING" not in _notes(tmp_path, "external.yaml")
    assert "BASE_URL=https://tasks.example.com" in _notes(tmp_path, "ingress.yaml")
    assert "BASE_URL=https://tasks.example.com" in _notes(tmp_path, "gateway.yaml")
    assert "no pod gets ready until somebody migrates" in _notes(tmp_path, "migrate-up.yaml")


def _notes(folder: Path, values_file: str) -> str:
    values = CHART / "ci" / values_file
    with cluster(folder, {}) as environment:
        options = ("--dry-run=client", "--values", values)
        printed = succeed(tool("helm"), "install", "tasks", CHART, *options, environment=environment)
    return printed.partition("NOTES:")[2]
