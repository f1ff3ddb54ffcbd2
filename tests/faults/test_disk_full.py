"""The disk with the tasks is full: writes are told, reads go on, and free space is all it takes to recover."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.database.postgres_programs import UNPRIVILEGED
from tests.support.database import Database
from tests.support.postgres import Postgres
from tests.support.server import serve
from tests.support.users import User, sign_up

RAISE = """
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"""


@contextmanager
def _no_room(database: Database) -> Iterator[None]:
    """As root, a file system of its own that is really full; else the same error out of a trigger."""
    with tempfile.TemporaryDirectory(prefix="tasks-full-") as folder:
        if os.geteuid() == 0 and _mount(folder):
            try:
                yield from _full_tablespace(database, Path(folder))
            finally:
                subprocess.run(["umount", folder], check=True)
        else:
            database.query(RAISE)
            database.query("CREATE TRIGGER full BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION no_room()")
            yield
            database.query("DROP FUNCTION no_room CASCADE")


def _mount(folder: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size=4m,uid={UNPRIVILEGED},mode=700", "tmpfs", folder]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _full_tablespace(database: Database, folder: Path) -> Iterator[None]:
    database.query(f"CREATE TABLESPACE small LOCATION '{folder}'")
    database.query("ALTER TABLE tasks SET TABLESPACE small")
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()
        database.query("ALTER TABLE tasks SET TABLESPACE pg_default")
        database.query("DROP TABLESPACE small")


def test_a_full_disk_refuses_writes_and_nothing_else(own_postgres: Postgres, own_database: Database) -> None:
    with serve(own_database.url) as service, sign_up(service.url) as user:
        task = user.create("before")
        with _no_room(own_database):
            refused = _write_until_refused(user)
            assert refused.status_code == 503
            assert refused.json()["code"] == "database_full"
            assert refused.headers["retry-after"] == "30"
            assert "extend" not in refused.text
            assert user.http.get(user.path(task)).json() == task
            assert user.http.get(user.tasks).status_code == 200
            assert service.ready()
        assert user.create("after")["title"] == "after"


def _write_until_refused(user: User) -> httpx.Response:
    """Pages that the table has already may still have a place."""
    for _ in range(300):
        answer = user.http.post(user.tasks, json={"title": "x" * 500, "description": "y" * 10_000})
        if answer.status_code != 201:
            return answer
    raise AssertionError("the disk took all of it")
