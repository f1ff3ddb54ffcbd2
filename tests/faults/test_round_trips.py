"""What a request costs on the wire, by PostgreSQL's own log."""

from tests.support.database import Database
from tests.support.postgres import Postgres
from tests.support.server import serve
from tests.support.users import sign_up


def test_a_request_is_one_statement_without_check_or_reset(own_postgres: Postgres, own_database: Database) -> None:
    """A connection is given back as it was, so that the next request needs neither a reset nor a question first."""
    own_database.query("ALTER DATABASE tasks SET log_statement = 'all'")
    try:
        with serve(own_database.url, DB_POOL_MIN="1", DB_POOL_MAX="1") as service, sign_up(service.url) as user:
            task = user.create()
            user.http.get(user.path(task))
            start = own_postgres.log.stat().st_size
            for _ in range(20):
                assert user.http.get(user.path(task)).status_code == 200
                assert user.http.patch(f"{user.path(task)}/complete").status_code == 200
            with own_postgres.log.open("rb") as log:
                log.seek(start)
                statements = [line for line in log.read().decode().splitlines() if " LOG: " in line]
    finally:
        own_database.query("ALTER DATABASE tasks RESET log_statement")
    reads = [line for line in statements if "SELECT id, title" in line]
    writes = [line for line in statements if "UPDATE tasks" in line]
    assert (len(reads), len(writes)) == (20, 20)
    assert len(statements) <= 45, "beside them only what the service does now and then in the background"
