"""The database goes away, or stands still, while clients keep asking."""

import time

import httpx
import pytest

from tests.support.database import Database
from tests.support.drill import percentile, pick, report
from tests.support.load import Load
from tests.support.postgres import Postgres
from tests.support.server import serve
from tests.support.users import sign_up

SLOWER = 3
"""A shared machine may be this many times slower than the promise."""


def _liveness(admin_url: str, seconds: float) -> list[int]:
    """The statuses of /livez, asked for as long."""
    statuses, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        statuses.append(httpx.get(f"{admin_url}/livez", timeout=5, verify=False).status_code)
        time.sleep(0.1)
    return statuses


@pytest.mark.drill
def test_an_outage_is_a_clean_503_and_ends_with_it(own_postgres: Postgres, own_database: Database) -> None:
    with serve(own_database.url) as service, sign_up(service.url) as user, Load(user) as load:
        stopped_at = time.monotonic()
        own_postgres.stop()
        down_at = time.monotonic()
        alive = _liveness(service.admin_url, pick(2.5, 30.0))
        assert service.ready(), "an outage of the database is no reason to leave the balancer"
        own_postgres.start()
        back_at = time.monotonic()
        late = load.until_success(back_at)
        load.until_success(time.monotonic())
        assert service.process is not None
        assert service.process.poll() is None

    refused = load.between(down_at, back_at - 0.5)
    times = [a.seconds for a in refused]
    report(
        "promise 6, outage",
        seconds=back_at - down_at,
        requests=len(refused),
        slowest=max(times),
        p99=percentile(times, 0.99),
        first_success=late,
    )
    assert set(alive) == {200}
    assert {a.status for a in load.between(stopped_at, time.monotonic())} <= {200, 201, 503}
    assert len(refused) > 20
    assert {a.status for a in refused} == {503}
    assert all(a.retry_after == "1" for a in refused)
    assert {a.code for a in refused} == {"database_unavailable"}
    assert percentile(times, 0.95) < 0.2 * SLOWER, "503 comes at once, not after a timeout"
    assert late < 1 * SLOWER


@pytest.mark.drill
def test_nothing_hangs_on_a_frozen_database(own_postgres: Postgres, own_database: Database) -> None:
    with serve(own_database.url) as service, sign_up(service.url) as user, Load(user, workers=12) as load:
        try:
            own_postgres.freeze()
            frozen_at = time.monotonic()
            alive = _liveness(service.admin_url, pick(6.0, 60.0))
        finally:
            own_postgres.thaw()
        thawed_at = time.monotonic()
        late = load.until_success(thawed_at)
        time.sleep(1)
        settled_at = time.monotonic()
        time.sleep(1)
    during = load.between(frozen_at, thawed_at)
    after = load.between(settled_at, time.monotonic())
    slowest = max(a.seconds for a in load.answers)
    report(
        "promise 7, frozen", seconds=thawed_at - frozen_at, requests=len(during), slowest=slowest, first_success=late
    )
    assert set(alive) == {200}
    assert {a.status for a in load.answers} <= {200, 201, 503}
    assert slowest < pick(5.0, 3.0), "no answer later than three seconds"
    assert [a for a in during if a.status == 503]
    assert {a.status for a in after} <= {200, 201}
    assert after
    assert late < 1 * SLOWER


def test_a_restart_while_nobody_asks_fails_nobody(own_postgres: Postgres, own_database: Database) -> None:
    """Idle connections die with the server; whoever comes next must not pay for that."""
    with serve(own_database.url) as service, sign_up(service.url) as user:
        user.create()
        own_postgres.stop()
        own_postgres.start()
        time.sleep(1.2)  # longer than the pool's longest pause between two attempts
        for _ in range(10):
            user.create()
