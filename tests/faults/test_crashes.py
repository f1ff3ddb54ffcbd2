"""PostgreSQL dies without a word, again and again; what was acknowledged is there, and only once."""

import time

import pytest

from tests.support.database import Database
from tests.support.drill import eventually, pick, report
from tests.support.load import Load
from tests.support.postgres import Postgres
from tests.support.server import serve
from tests.support.users import sign_up

WRITES_BEFORE_CRASH = 10


@pytest.mark.drill
def test_acknowledged_writes_survive_crashes_and_repeats_write_once(
    own_postgres: Postgres, own_database: Database
) -> None:
    crashes = pick(3, 10)
    back = []
    with serve(own_database.url) as service, sign_up(service.url) as user:
        with Load(user, workers=8, pause_seconds=0.005) as load:
            for number in range(crashes):
                time.sleep(0.7)
                eventually(lambda: len(load.written.acknowledged) > WRITES_BEFORE_CRASH * (number + 1), 30)  # noqa: B023  asked before the loop goes on
                own_postgres.crash()
                own_postgres.start()
                back.append(load.until_success(time.monotonic()))
        statuses = {a.status for a in load.answers}
        acknowledged, unknown = set(load.written.acknowledged), dict(load.written.unknown)

        for title, key in unknown.items():
            repeat = user.http.post(user.tasks, json={"title": title}, headers={"Idempotency-Key": key})
            assert repeat.status_code == 201, repeat.text
        rows = own_database.query("SELECT title, count(*) AS times FROM tasks WHERE user_id = $1 GROUP BY 1", user.id)

    times = {row["title"]: row["times"] for row in rows}
    report(
        "promise 5, crashes",
        crashes=crashes,
        acknowledged=len(acknowledged),
        repeated=len(unknown),
        first_success=max(back),
    )
    assert len(acknowledged) > WRITES_BEFORE_CRASH * crashes
    assert acknowledged - set(times) == set(), "lost"
    assert set(times.values()) == {1}, "written twice"
    assert set(times) == acknowledged | set(unknown)
    assert statuses <= {200, 201, 503}
