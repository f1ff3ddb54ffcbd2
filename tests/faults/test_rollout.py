"""The schema changes while older releases serve: nobody notices."""

import io
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from service.database import revisions
from tests.support.database import ROOT, Database
from tests.support.drill import eventually, pick, report
from tests.support.load import Load
from tests.support.migrations import Migrations
from tests.support.server import Service, serve
from tests.support.users import PASSWORD, User, client, sign_up

PREVIOUS = "1f23ff9"
"""The commit that stands for the previous release: it has revision 1 alone."""

PREVIOUS_REVISION = 1


def _unpack(commit: str, folder: Path) -> Path:
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.fail(
            f"{commit}, the previous release, is not in this clone's history; get it with: git fetch --unshallow"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


class _Previous(Service):
    """A server of the previous release, on the libraries of this one."""

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(database_url)
        self.root = folder
        # An editable install would put this release's code first.
        self.environment["PYTHONPATH"] = str(folder)


def _journey(user: User) -> None:
    """The release's own test, told in its routes: every one of them on the new schema."""
    task = user.create("buy milk", description="two")
    assert user.http.get(user.path(task)).json() == task
    assert user.http.put(user.path(task), json={"title": "buy bread"}).json()["description"] == "two"
    assert user.http.patch(user.path(task), json={"completed": True}).json()["completed"] is True
    assert user.http.patch(f"{user.path(task)}/complete").json()["completed"] is False
    for sort in ("created_at", "-updated_at", "title"):
        assert task["id"] in {found["id"] for found in user.list(sort=sort, completed="false", q="bread")}
    assert user.http.delete(user.path(task)).status_code == 204
    assert user.http.get(user.path(task)).status_code == 404
    assert user.http.get("/api/auth/me").status_code == 200


@pytest.mark.drill
def test_the_previous_release_serves_before_during_and_after_the_migration(
    empty_database: Database, tmp_path: Path
) -> None:
    folder = _unpack(PREVIOUS, tmp_path / "previous")
    subprocess.run(
        [sys.executable, "-m", "service", "migrate", "upgrade"],
        cwd=folder,
        env=_Previous(folder, empty_database.url).environment,
        check=True,
        capture_output=True,
    )
    assert empty_database.value("SELECT count(*) FROM aerich") == PREVIOUS_REVISION
    old = _Previous(folder, empty_database.url)
    old.start()
    try:
        with sign_up(old.url) as user, Load(user, workers=pick(4, 8)) as load:
            time.sleep(1)
            empty_database.upgrade()
            time.sleep(pick(1.0, 10.0))
            load.until_success(time.monotonic())
            _journey(user)
        statuses = {a.status for a in load.answers}
        slowest = max(a.seconds for a in load.answers)
        report("promise 10, old release while migrating", requests=len(load.answers), slowest=slowest)
        assert statuses == {200, 201}
        assert old.stop() == 0

        # An old pod that starts again in the middle of the rollout finds a database that is ahead of it.
        old.start()
        assert "schema_ahead" in old.log()
        with sign_up(old.url) as user:
            _journey(user)
        # An account that has ended for this release has ended for the other one too.
        with serve(empty_database.url) as new, sign_up(new.url) as ended, client(old.url) as visitor:
            assert ended.http.delete("/api/auth/me").status_code == 204
            credentials = {"email": ended.email, "password": PASSWORD}
            assert visitor.post("/api/auth/login", json=credentials).status_code == 401
            refresh = {"refresh_token": ended.refresh_token}
            assert visitor.post("/api/auth/refresh", json=refresh).status_code == 401
            assert visitor.post("/api/auth/signup", json=credentials).status_code == 201
    finally:
        old.stop()
    assert empty_database.value("SELECT count(*) FROM aerich") == len(revisions.files())


def test_the_recipe_changes_the_schema_while_pods_serve(fresh_database: Database, tmp_path: Path) -> None:
    """The example in migrations/README.md, block by block."""
    text = (ROOT / "migrations" / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    names = ("remind_at", "remind_at_index", "reminded_later", "reminded_later_validated")
    extra = {f"{90 + i}_20300101000000_{n}.py": block for i, (n, block) in enumerate(zip(names, blocks, strict=True))}
    migrations = Migrations(tmp_path / "migrations", extra)
    with serve(fresh_database.url) as service, sign_up(service.url) as user, Load(user) as load:
        migrations.run(fresh_database, "upgrade")
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'tasks_by_remind_at'::regclass"
        assert fresh_database.value(valid) is True
        assert (
            fresh_database.value("SELECT convalidated FROM pg_constraint WHERE conname = 'tasks_reminded_later'")
            is True
        )
        migrations.run(fresh_database, "downgrade", "--to", str(max(r.number for r in revisions.files())))
        assert fresh_database.value("SELECT to_regclass('tasks_by_remind_at') IS NULL") is True
        migrations.run(fresh_database, "upgrade")
        load.until_success(time.monotonic())
    assert {a.status for a in load.answers} == {200, 201}


def test_prepared_statements_survive_a_change_of_their_result(fresh_database: Database) -> None:
    """PostgreSQL refuses every cached plan whose result type has changed; nobody may see that."""
    with serve(fresh_database.url, DB_POOL_MIN="3") as service, sign_up(service.url) as user:
        task = user.create()
        for number in range(5):
            user.http.get(user.path(task))
            user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": f"before-{number}"})
        fresh_database.query("ALTER TABLE tasks ALTER COLUMN title TYPE text")
        assert user.http.get(user.path(task)).status_code == 200
        assert len(user.list()) == 6
        statuses = [
            user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": f"after-{number}"}).status_code
            for number in range(5)
        ]
        # Inside a transaction the statement cannot be prepared anew: that one is told to come again.
        assert set(statuses) <= {201, 503}
        assert statuses[-1] == 201
        eventually(lambda: service.metric('db_pool_connections{state="in_use"}') == 0)
