"""The schema is taken back under pods that serve: a clean 503, out of service at once, and back by themselves."""

import re
import subprocess
import sys
import time

import httpx
import pytest

from tests.support.database import ROOT, Database
from tests.support.drill import eventually
from tests.support.load import Load
from tests.support.problems import assert_problem
from tests.support.server import Service, serve
from tests.support.users import sign_up


def readiness(service: Service) -> httpx.Response:
    return httpx.get(f"{service.admin_url}/readyz", timeout=2)


def test_a_downgrade_beside_pods_that_serve(fresh_database: Database) -> None:
    with serve(fresh_database.url) as service, sign_up(service.url) as user, Load(user) as load:
        began_at = time.monotonic()
        assert fresh_database.migrate("downgrade", "--to", "10").returncode == 0
        eventually(lambda: not service.ready(), 1)
        eventually(lambda: readiness(service).json()["schema_revision"]["applied"] == 10, 2)
        body = readiness(service).json()
        assert body["checks"] == {"started": True, "schema": False, "not_draining": True}
        assert "tasks.labels" in body["schema_missing"]

        assert fresh_database.migrate("upgrade").returncode == 0
        eventually(service.ready, 2)
        load.until_success(time.monotonic())
        refused = [a for a in load.answers if a.began_at >= began_at and a.status >= 500]
    assert {a.status for a in refused} == {503}
    assert {(a.code, a.retry_after) for a in refused if a.code != "database_busy"} == {("schema_behind", "5")}
    assert "schema_whole" in service.log()


@pytest.mark.parametrize(
    ("taken", "given_back", "missing"),
    [
        (
            "ALTER TABLE idempotency_keys RENAME TO kept",
            "ALTER TABLE kept RENAME TO idempotency_keys",
            "idempotency_keys",
        ),
        ("ALTER TABLE tasks RENAME priority TO kept", "ALTER TABLE tasks RENAME kept TO priority", "tasks.priority"),
        ("ALTER TABLE aerich RENAME TO kept", "ALTER TABLE kept RENAME TO aerich", ""),
    ],
)
def test_what_goes_missing_is_noticed_and_named(
    fresh_database: Database, taken: str, given_back: str, missing: str
) -> None:
    with serve(fresh_database.url) as service, sign_up(service.url) as user:
        fresh_database.query(taken)
        if missing:
            sent = user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": "x"})
            assert_problem(sent, 503, "schema_behind")
            assert sent.headers["Retry-After"] == "5"
        eventually(lambda: not service.ready(), 1 if missing else 20)
        # The pod leaves at once, and looks behind that at what is missing.
        eventually(lambda: readiness(service).json()["schema_missing"] == ([missing] if missing else []), 5)
        fresh_database.query(given_back)
        eventually(service.ready, 2)
        user.create("x")


def test_the_runbooks_command_tells_of_a_pod_that_is_not_ready(fresh_database: Database) -> None:
    runbook = (ROOT / "docs/runbooks/TasksServiceNoPodsReady.md").read_text()
    (command,) = re.findall(r"python -c '(.*)'", runbook)
    with serve(fresh_database.url) as service:
        fresh_database.query("ALTER TABLE aerich RENAME TO kept")
        eventually(lambda: not service.ready(), 20)
        script = command.replace("9000", str(service.admin_port))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    assert '"schema":false' in done.stdout, done.stderr


def test_what_a_look_does_not_find_keeps_no_pod_out(fresh_database: Database) -> None:
    with serve(fresh_database.url) as service, sign_up(service.url) as user:
        fresh_database.query("ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_by_user")
        sent = user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": "x"})
        assert_problem(sent, 503, "schema_behind")
        eventually(service.ready, 2)
