"""Periodic work of a running server: one task that fails is seen, leaves the others alone and goes on by itself."""

import json
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.database import Database, run_sql
from tests.support.drill import eventually
from tests.support.server import Service

_QUICKLY = """
import sys
from service import purge
from service.database import schema_watch
purge.EXPIRED_INTERVAL_SECONDS = schema_watch.INTERVAL_SECONDS = 0.2
from service.__main__ import main
sys.argv = ["tasks-service", "serve"]
main()
"""


@pytest.fixture
def service(fresh_database: Database) -> Iterator[Service]:
    service = Service(fresh_database.url)
    service.command = [sys.executable, "-c", _QUICKLY]
    service.start()
    yield service
    service.stop()


def failures(service: Service, task: str) -> float:
    return service.metric(f'background_task_failures_total{{task="{task}"}}')


def last_success(service: Service, task: str) -> float:
    return service.metric(f'background_task_last_success_timestamp_seconds{{task="{task}"}}')


def test_a_purge_that_fails_is_seen_and_leaves_the_others_alone(service: Service, fresh_database: Database) -> None:
    fresh_database.query("ALTER TABLE rate_limits RENAME TO gone")
    eventually(lambda: failures(service, "rate_limit_purge") >= 2)
    since = time.time()
    others = ("session_purge", "idempotency_purge", "schema_watch")
    eventually(lambda: all(last_success(service, task) > since for task in others))
    assert not [task for task in others if failures(service, task)]
    assert last_success(service, "rate_limit_purge") < since
    fresh_database.query("ALTER TABLE gone RENAME TO rate_limits")
    eventually(lambda: last_success(service, "rate_limit_purge") > since)
    (line,) = [line for line in service.log().splitlines() if "background_task_failed" in line]
    event = json.loads(line)
    assert (event["task"], event["failures"], event["level"]) == ("rate_limit_purge", 1, "warning")
    # The first round after the change may still have a plan from before it.
    assert {event["error"], event["cause"]} & {"UndefinedTableError", "InvalidCachedStatementError"}
    assert [place for place in event["trace"] if "_purge" in place]


def test_all_of_it_goes_on_by_itself_after_an_outage(service: Service, fresh_database: Database) -> None:
    tasks = ("session_purge", "idempotency_purge", "rate_limit_purge", "schema_watch")
    run_sql(fresh_database.server, f'ALTER DATABASE "{fresh_database.name}" WITH ALLOW_CONNECTIONS false')
    run_sql(
        fresh_database.server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
        fresh_database.name,
    )
    eventually(lambda: all(failures(service, task) for task in tasks))
    run_sql(fresh_database.server, f'ALTER DATABASE "{fresh_database.name}" WITH ALLOW_CONNECTIONS true')
    since = time.time()
    eventually(lambda: all(last_success(service, task) > since for task in tasks))
    lines = [json.loads(line) for line in service.log().splitlines() if "background_task" in line]
    assert len(lines) <= len(tasks) + 1, "one line a minute for each, however often it fails"
