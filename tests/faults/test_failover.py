"""The connection or the server behind it is not what it was."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from tests.support.database import Database, run_sql
from tests.support.drill import eventually, pick, report
from tests.support.load import Load
from tests.support.postgres import Postgres, postgres
from tests.support.proxy import Proxy
from tests.support.server import serve
from tests.support.users import sign_up


def test_a_connection_that_a_firewall_forgot_is_noticed(own_postgres: Postgres, own_database: Database) -> None:
    """Idle for longer than the pool trusts a connection, it is asked first, and replaced without a failed request."""
    port = urlsplit(own_database.url).port
    assert port is not None
    with Proxy(port) as proxy:
        url = own_database.url.replace(f":{port}/", f":{proxy.port}/")
        with serve(url, DB_POOL_MIN="1", DB_POOL_MAX="2", LOG_LEVEL="debug") as service, sign_up(service.url) as user:
            user.create()
            proxy.forget()
            time.sleep(11)
            began_at = time.monotonic()
            user.create()
            took = time.monotonic() - began_at
            # Whoever meets it first: the check before it is lent, or a statement of a background task.
            reasons = ("lost", "broken")
            gone = sum(service.metric(f'db_pool_connections_closed_total{{reason="{each}"}}') for each in reasons)
    assert took < 5.0
    assert gone >= 1


def test_a_failover_is_followed_to_the_new_primary() -> None:
    """The old primary freezes, as a dead machine does, so that nobody is told that it is gone."""
    with postgres() as primary:
        database = primary.create()
        standby = primary.standby()
        standby.start()
        try:
            both = f"postgresql://postgres@{primary.address},{standby.address}/tasks?target_session_attrs=read-write"
            with serve(both) as service, sign_up(service.url) as user, Load(user) as load:
                user.create("before")
                caught_up = "SELECT count(*) FROM tasks WHERE title = 'before'"
                eventually(lambda: run_sql(standby.tcp_url(), caught_up)[0][0] == 1)
                frozen_at = time.monotonic()
                primary.freeze()
                standby.promote()
                promoted_at = time.monotonic()
                late = load.until_success(promoted_at, within_seconds=30)
                time.sleep(3)  # what was in flight to the old one has ended by now
                settled_at = time.monotonic()
                time.sleep(pick(1.0, 10.0))
                after = load.between(settled_at, time.monotonic())
                slowest = max(a.seconds for a in load.between(frozen_at, settled_at))
                statuses = {a.status for a in load.answers}
                assert user.create("after")["title"] == "after"
                assert run_sql(standby.tcp_url(), "SELECT count(*) FROM tasks WHERE title = 'after'")[0][0] == 1
        finally:
            standby.crash()
    report("failover to the standby", first_success=late, slowest=slowest)
    assert statuses <= {200, 201, 503}
    assert {a.status for a in after} <= {200, 201}
    assert slowest < pick(6.0, 3.0)
    assert late < pick(12.0, 8.0)
    assert database.name == "tasks"


def test_a_server_that_turns_read_only_costs_its_connections_and_no_write(
    own_postgres: Postgres, own_database: Database
) -> None:
    """What a pooler or a DNS name does in a failover: the connections stay, the server behind them is a standby."""
    with serve(own_database.url, DB_POOL_MIN="3") as service, sign_up(service.url) as user:
        eventually(lambda: service.metric('db_pool_connections{state="idle"}') == 3)
        # Sessions begun before it was set keep what they had, so the switch is made inside theirs.
        own_database.query("ALTER DATABASE tasks SET default_transaction_read_only = on")
        try:
            run_sql(
                own_postgres.tcp_url("postgres"),
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tasks-service'",
            )
            eventually(lambda: service.metric('db_pool_connections_closed_total{reason="lost"}') == 3)
            eventually(lambda: service.metric('db_pool_connections{state="idle"}') == 3)
            refused = user.http.post(user.tasks, json={"title": "nobody may write"})
            assert (refused.status_code, refused.json()["code"]) == (503, "database_read_only")
            assert user.http.get(user.tasks).status_code == 200
        finally:
            run_sql(own_postgres.tcp_url("postgres"), "ALTER DATABASE tasks RESET default_transaction_read_only")
        time.sleep(1.1)  # connections are not thrown away more often than once a second
        assert user.http.post(user.tasks, json={"title": "first after it"}).status_code == 201
        assert service.metric('db_pool_connections_closed_total{reason="expired"}') >= 1


@contextmanager
def synchronous_pair() -> Iterator[tuple[Postgres, Postgres]]:
    """A primary whose commits wait for its standby."""
    with postgres() as primary:
        primary.create()
        standby = primary.standby()
        standby.start()
        try:
            run_sql(primary.tcp_url(), "ALTER SYSTEM SET synchronous_standby_names = '*'")
            run_sql(primary.tcp_url(), "SELECT pg_reload_conf()")
            eventually(lambda: run_sql(primary.tcp_url(), "SELECT sync_state FROM pg_stat_replication") == [("sync",)])
            yield primary, standby
        finally:
            standby.crash()


def test_nobody_sees_what_the_synchronous_standby_does_not_have() -> None:
    """To break off a commit's wait for its standby would make it seen by all, and a failover would take it back."""
    with (
        synchronous_pair() as (primary, standby),
        serve(primary.tcp_url(), DB_POOL_MIN="1") as service,
        sign_up(service.url) as user,
    ):
        path = f"{user.tasks}/{user.create('there')['id']}"
        standby.freeze()
        key = {"Idempotency-Key": "once"}
        answers = [user.http.delete(path), user.http.delete(path)]
        answers += [user.http.post(user.tasks, json={"title": "once"}, headers=key) for _ in range(2)]
        seen = [task["title"] for task in user.http.get(user.tasks).json()]
        standby.thaw()
        eventually(lambda: user.http.get(path).status_code == 404)
        repeated = user.http.post(user.tasks, json={"title": "once"}, headers=key)
        left = [task["title"] for task in user.http.get(user.tasks).json()]
    assert {answer.status_code for answer in answers} == {503}
    assert seen == ["there"]
    assert (repeated.status_code, left) == (201, ["once"])


def test_reads_go_on_while_no_commit_is_answered() -> None:
    """PostgreSQL keeps a process for each commit that waits for a standby: were there ever more, nobody could read."""
    with (
        synchronous_pair() as (primary, standby),
        serve(primary.tcp_url(), DB_POOL_MAX="10", DB_STATEMENT_TIMEOUT_SECONDS="1") as service,
        ExitStack() as users,
    ):
        people = [users.enter_context(sign_up(service.url)) for _ in range(20)]
        standby.freeze()
        answers = [person.http.post(person.tasks, json={"title": "x"}) for person in people]
        stuck = run_sql(primary.tcp_url(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        reads = {person.http.get(person.tasks).status_code for person in people}
        standby.thaw()
        late = eventually(lambda: people[0].http.post(people[0].tasks, json={"title": "y"}).status_code == 201, 15)
        after = {person.http.post(person.tasks, json={"title": "z"}).status_code for person in people}
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "database_timeout")}
    assert 5 <= stuck[0][0] < 12, "five that had writes refused, two that were on their way by then, and three tries"
    assert (reads, after) == ({200}, {201})
    assert late < 14
