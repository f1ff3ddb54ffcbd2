"""The commands, and when the server refuses to start."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from service import __version__
from service.database import revisions
from tests.support.database import Database, run_command
from tests.support.server import SECRET, free_port


def serve(**env: str) -> subprocess.CompletedProcess[str]:
    """`serve`, which has to end by itself."""
    ports = {"PORT": str(free_port()), "ADMIN_PORT": str(free_port()), "HOST": "127.0.0.1"}
    return run_command("serve", check=False, **{**ports, **env})


def test_no_server_on_a_missing_schema(empty_database: Database) -> None:
    ended = serve(DATABASE_URL=empty_database.url, JWT_SECRET=SECRET)
    assert ended.returncode == 1
    assert "python -m service migrate upgrade" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_mistake_in_the_settings_is_named_at_once() -> None:
    ended = serve(
        DATABASE_URL="mysql://root:hunter2@db/x",
        JWT_SECRET="too short",
        PORT="http",
        DB_POOL_MAX="0",
        LOG_LEVEL="loud",
        JWT_ACCESS_TTL_SECONDS="-1",
    )
    assert ended.returncode == 1
    lines = [line.strip().partition(":")[0] for line in ended.stderr.splitlines()[1:]]
    assert lines == sorted(["DATABASE_URL", "JWT_SECRET", "PORT", "DB_POOL_MAX", "LOG_LEVEL", "JWT_ACCESS_TTL_SECONDS"])
    assert "hunter2" not in ended.stderr + ended.stdout
    assert "too short" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_empty_environment_is_told_what_it_needs() -> None:
    ended = run_command("serve")
    assert ended.returncode == 1
    assert "DATABASE_URL: is required" in ended.stderr
    assert "JWT_SECRET: is required unless JWT_PRIVATE_KEY is given" in ended.stderr


@pytest.mark.parametrize(("form", "begins"), [("JSON", "{"), ("Console", "2")])
@pytest.mark.parametrize("from_file", [False, True])
def test_the_log_has_the_form_that_is_set(
    database: Database, tmp_path: Path, form: str, begins: str, *, from_file: bool
) -> None:
    path = tmp_path / "form"
    path.write_text(f"{form}\n", encoding="utf-8")
    given = {"LOG_FORMAT_FILE": str(path)} if from_file else {"LOG_FORMAT": form}
    newest = str(max(revision.number for revision in revisions.files()))
    ended = run_command("migrate", "downgrade", "--to", newest, check=True, DATABASE_URL=database.url, **given)
    assert "migration_downgrade_plan" in ended.stdout
    assert ended.stdout.startswith(begins)


@pytest.mark.parametrize("name", ["PORT", "ADMIN_PORT"])
def test_no_server_on_a_port_that_is_taken(database: Database, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = serve(DATABASE_URL=database.url, JWT_SECRET=SECRET, **{name: str(port)})
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["no such host", "\u200b"])
def test_no_server_on_a_host_that_cannot_be(database: Database, host: str) -> None:
    ended = serve(DATABASE_URL=database.url, JWT_SECRET=SECRET, HOST=host)
    assert ended.returncode == 1
    told = ended.stderr.splitlines()
    assert [line.partition(":")[0].strip() for line in told[1:]] == ["ADMIN_PORT", "PORT"]


def test_openapi_prints_the_document_without_any_setting() -> None:
    ended = run_command("openapi", check=True)
    document = json.loads(ended.stdout)
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    assert "/api/{user_id}/tasks" in document["paths"]


def test_the_version_is_told_without_any_setting() -> None:
    assert run_command("--version", check=True).stdout == f"tasks-service {__version__}\n"


@pytest.mark.parametrize("command", [["migrate", "check"], ["migrate", "upgrade"], ["migrate", "history"]])
def test_migrations_need_a_database_and_nothing_else(command: list[str]) -> None:
    ended = run_command(*command)
    assert ended.returncode == 1
    assert "DATABASE_URL: is required" in ended.stderr
    assert "JWT" not in ended.stderr


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["migrate"], ["migrate", "sideways"], ["serve", "--fast"]])
def test_a_command_that_does_not_exist_is_a_usage_error(arguments: list[str]) -> None:
    ended = run_command(*arguments)
    assert ended.returncode == 2
    assert "usage: tasks-service" in ended.stderr
