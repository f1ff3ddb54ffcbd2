"""What a request costs on the wire, by PostgreSQL's own log."""

import re

from tests.support.database import Database
from tests.support.postgres import Postgres
from tests.support.server import serve
from tests.support.users import User, sign_up

TIMES = 5
CHANGES = 4
"""Of each journey: they are told to those who follow the tasks."""

STATEMENTS = (
    "WITH head AS \\(UPDATE users .* INSERT INTO tasks ",
    "SELECT documents, .* FROM users .* FROM tasks ",
    "SELECT date_part\\('epoch', tasks_clock\\) FROM users WHERE users.id = \\$1::uuid AND ended_at IS NULL$",
    "SELECT convert_to.* FROM tasks ",
    "WITH head .*[(]UPDATE tasks .*[(]UPDATE users ",
    "WITH head .*[(]UPDATE tasks .*[(]UPDATE users ",
    "WITH head .*[(]DELETE FROM tasks .*[(]UPDATE users .* INSERT INTO deleted_tasks ",
)
"""Of each request of the journey; that of a list which has not changed touches no task."""


def journey(user: User, tasks: list[str]) -> None:
    """Each of the six task routes once, for each task, and the list once more with its tag."""
    for path in tasks:
        assert user.http.post(user.tasks, json={"title": "buy milk"}).status_code == 201
        page = user.http.get(user.tasks, params={"limit": 20})
        assert page.status_code == 200
        known = {"If-None-Match": page.headers["ETag"]}
        assert user.http.get(user.tasks, params={"limit": 20}, headers=known).status_code == 304
        assert user.http.get(path).status_code == 200
        assert user.http.put(path, json={"title": "buy bread"}).status_code == 200
        assert user.http.patch(f"{path}/complete").status_code == 200
        assert user.http.delete(path).status_code == 204


def test_a_request_is_one_statement_on_a_prepared_plan(own_postgres: Postgres, own_database: Database) -> None:
    """A connection is given back as it was, so that the next request needs neither a reset nor a question first."""
    own_database.query("ALTER DATABASE tasks SET log_statement = 'all'")
    try:
        with serve(own_database.url, DB_POOL_MIN="1", DB_POOL_MAX="1") as service, sign_up(service.url) as user:
            tasks = [user.path(user.create()) for _ in range(TIMES + 1)]
            journey(user, tasks[:1])
            start = own_postgres.log.stat().st_size
            journey(user, tasks[1:])
            with own_postgres.log.open("rb") as log:
                log.seek(start)
                statements = [
                    line.split(" LOG: ", 1)[1].strip() for line in log.read().decode().splitlines() if " LOG: " in line
                ]
    finally:
        own_database.query("ALTER DATABASE tasks RESET log_statement")
    executed = [found[1] for line in statements if (found := re.match(r"execute __asyncpg_stmt_\w+: (.*)", line))]
    on_tasks = [line for line in executed if "tasks" in line]
    assert len(on_tasks) == len(STATEMENTS) * TIMES
    for line, pattern in zip(on_tasks, STATEMENTS * TIMES, strict=True):
        assert re.match(pattern, line), line
    told = [line for line in executed if "pg_notify" in line]
    assert len(told) <= CHANGES * TIMES, (
        "one for several changes, unless the machine is too busy to make several in 50 ms"
    )
    beside = len(statements) - len(on_tasks) - len(told)
    assert beside <= 5, "only what the service does now and then in the background"
