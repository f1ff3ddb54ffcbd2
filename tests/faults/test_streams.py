"""Streams when something breaks: nothing is missed, nothing comes twice, and nobody pays for somebody else's reader."""

import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from threading import Event

import httpx

from tests.api.test_changes import Follower, follow_until, listed, write_at_random
from tests.faults.test_pgbouncer import _pgbouncer
from tests.support.database import Database, run_sql
from tests.support.drill import eventually, percentile, pick, report
from tests.support.postgres import Postgres
from tests.support.server import Service, resident_bytes, serve
from tests.support.streams import Copy, Reader
from tests.support.users import User, sign_up

LISTENERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tasks-service-listener' AND datname = $1"


def come_back(over: Event, urls: tuple[str, ...], user: User, copy: Copy) -> None:
    """A client that goes on where its stream ended, at the next address, until it is over and has seen everything."""
    last_id: str | None = copy.last_id
    addresses = cycle(urls)
    while True:
        finishing = over.is_set()
        try:
            reader = Reader(next(addresses), user, last_id=last_id)
        except OSError:
            time.sleep(0.02)
            continue
        with reader:
            if finishing:
                time.sleep(2)  # whatever has happened is on every stream within one
            while not (reader.closed or over.is_set()):
                time.sleep(0.02)
        copy.apply(reader.events)
        last_id = reader.last_id
        if finishing:
            return


def test_streams_of_eight_writers_end_with_the_lists_state(
    start_service: Callable[..., Service], service: Service, user: User
) -> None:
    """On two processes, one of which ends in the middle, beside readers of `changes`."""
    leaving = start_service()
    urls, over = (leaving.url, service.url), Event()
    copies = [Copy.of(user) for _ in range(4)]
    with ThreadPoolExecutor(16) as threads:
        pages = [threads.submit(follow_until, over, service.url, user, limit) for limit in (7, 100)]
        orders = (urls, urls[::-1]) * 2
        streams = [threads.submit(come_back, over, *of) for of in zip(orders, [user] * 4, copies, strict=True)]
        writers = [threads.submit(write_at_random, service.url, user, seed) for seed in range(8)]
        time.sleep(1)
        assert leaving.stop() == 0
        for done in [*writers]:
            done.result()
        over.set()
        for done in streams:
            done.result()
        for page in pages:
            assert page.result()[0].tasks == listed(user)
    for copy in copies:
        assert copy.tasks == listed(user)
        assert copy.times == sorted(set(copy.times)), "in the order of the clock, and nothing twice"
    report("streams of eight writers", changes=len(copies[0].times))


def test_through_a_transaction_pooler_nobody_waits_for_a_notification(
    own_postgres: Postgres, own_database: Database
) -> None:
    with _pgbouncer(own_postgres) as port, ExitStack() as stack:
        url = f"postgresql://postgres@127.0.0.1:{port}/tasks"
        first, second = (stack.enter_context(serve(url, DB_POOLER="transaction")) for _ in range(2))
        with sign_up(first.url) as user, Reader(first.url, user) as here, Reader(second.url, user) as there:
            took = []
            for number in range(4):
                began_at = time.monotonic()
                user.create(str(number))
                here.until_events(number + 1)
                there.until_events(number + 1)
                took.append(time.monotonic() - began_at)
            assert here.titles() == there.titles() == [str(number) for number in range(4)]
            assert max(took) < 2
            assert first.metric("sync_notifications") == second.metric("sync_notifications") == 0
        assert run_sql(own_database.url, LISTENERS, own_database.name) == []


def test_a_restart_of_the_database_ends_no_stream_and_loses_nothing(own_postgres: Postgres) -> None:
    database = own_postgres.create("restarted")
    with ExitStack() as stack:
        first, second = (stack.enter_context(serve(database.url)) for _ in range(2))
        with sign_up(first.url) as user, Reader(first.url, user) as here, Reader(second.url, user) as there:
            user.create("before")
            there.until(lambda: there.events)
            own_postgres.stop()
            time.sleep(1)
            own_postgres.start()
            eventually(lambda: user.http.post(user.tasks, json={"title": "after"}).status_code == 201)
            for reader in (here, there):
                reader.until_events(2)
                assert reader.titles() == ["before", "after"]
                assert not reader.closed
            eventually(lambda: first.metric("sync_notifications") == second.metric("sync_notifications") == 1)


def test_changes_are_not_missed_while_nobody_is_notified(start_service: Callable[..., Service]) -> None:
    """The connection that listens is lost again and again, and changes happen all the time."""
    database = Database.with_schema(f"listeners_{random.randrange(10**9)}")
    first, second = start_service(database.url), start_service(database.url)
    with sign_up(first.url) as user, Reader(second.url, user) as reader:
        took = []
        for number in range(pick(12, 60)):
            if number % 3 == 0:
                for listener in database.query(LISTENERS, database.name):
                    database.query("SELECT pg_terminate_backend($1)", listener["pid"])
            began_at = time.monotonic()
            user.create(str(number))
            reader.until_events(number + 1)
            took.append(time.monotonic() - began_at)
        assert reader.titles() == [str(number) for number in range(len(took))]
        assert max(took) < 2
        eventually(lambda: first.metric("sync_notifications") == second.metric("sync_notifications") == 1)
        assert "listener_lost" in second.log()
    for process in (first, second):
        process.stop()
    database.drop()


def fill(database: Database, user: User, count: int) -> None:
    """Tasks of 20 kB each."""
    large = (
        "INSERT INTO tasks (id, user_id, title, description)"
        " SELECT gen_random_uuid(), $1, n::text, repeat('\u00e4', 10000) FROM generate_series(1, $2::int) n"
    )
    database.query(large, user.id, count)


def test_readers_that_do_not_read_are_cut_and_others_do_not_notice(
    start_service: Callable[..., Service], database: Database
) -> None:
    """What they are behind with stays in the database: it is some megabytes for each."""
    service = start_service(STREAMS_PER_USER_MAX="100")
    with sign_up(service.url) as user, sign_up(service.url) as other, ExitStack() as stack:
        beginning = Follower(user.http, user.tasks, limit=1).page()["next"]
        fill(database, user, 160)
        assert service.process is not None
        before = resident_bytes(service.process.pid)
        healthy = stack.enter_context(Reader(service.url, other))
        stuck = [Reader(service.url, user, since=beginning, receive_bytes=4096) for _ in range(60)]
        peak, took, number = before, [], 0
        began_at = time.monotonic()
        while service.metric('sync_streams_ended_total{reason="slow"}') < len(stuck):
            assert time.monotonic() - began_at < 40
            asked_at = time.monotonic()
            other.create(str(number))
            number += 1
            healthy.until_events(number)
            took.append(time.monotonic() - asked_at)
            peak = max(peak, resident_bytes(service.process.pid))
        assert peak - before < 40e6
        assert percentile(took, 0.5) < 1
        assert service.metric("sync_streams") == 1
        for reader in stuck:
            reader.close()
    report("readers that do not read", megabytes=(peak - before) / 1e6, delivery_p95=percentile(took, 0.95))


def test_a_slow_reader_gets_all_of_it(service: Service, database: Database) -> None:
    """Slow is not stuck: what it is sent waits for it in the database, not here."""
    with sign_up(service.url) as user:
        beginning = Follower(user.http, user.tasks, limit=1).page()["next"]
        fill(database, user, 60)
        reader = Reader(service.url, user, since=beginning, receive_bytes=4096)
        time.sleep(3)
        with reader:
            reader.until_events(60)
        assert reader.changes() == Follower(user.http, user.tasks).catch_up()


def test_nothing_is_left_of_readers_that_break_off(start_service: Callable[..., Service]) -> None:
    """At any moment: before the head, in the middle of it, after it, while events are written."""
    service, chance = start_service(DB_POOL_MAX="4", DB_POOL_MIN="2"), random.Random(13)
    with sign_up(service.url) as user, ThreadPoolExecutor(8) as threads:
        over = Event()

        def write() -> None:
            with httpx.Client(base_url=service.url, headers=user.http.headers, timeout=10, verify=False) as http:
                while not over.is_set():
                    http.post(user.tasks, json={"title": "x"})

        def break_off(_: int) -> None:
            with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
                connection.sendall(
                    f"GET {user.tasks}/changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
                    f"Authorization: Bearer {user.token}\r\n\r\n".encode()
                )
                time.sleep(chance.uniform(0, 0.03))
                if chance.random() < 0.5:  # half of them by a reset
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        writer = threads.submit(write)
        list(threads.map(break_off, range(pick(300, 3000))))
        over.set()
        writer.result()
        eventually(lambda: service.metric("sync_streams") == 0)
        eventually(lambda: service.metric('db_pool_connections{state="in_use"}') == 0)
        assert service.metric("http_requests_in_progress") == 0
        with Reader(service.url, user) as reader:
            user.create("last")
            reader.until(lambda: reader.titles() == ["last"])
        assert "_failed" not in service.log()
        assert "library" not in service.log()


def test_idle_streams_take_little_and_are_in_nobodys_way(start_service: Callable[..., Service]) -> None:
    """5,000 of them in 100 MB; here fewer, in their part of it."""
    count = pick(500, 5000)
    service = start_service(STREAMS_PER_USER_MAX="5000", STREAMS_MAX="5000")
    with sign_up(service.url) as user, sign_up(service.url) as other, ExitStack() as stack:
        stack.enter_context(Reader(service.url, user))
        assert service.process is not None
        before = resident_bytes(service.process.pid)
        for _ in range(count):
            stack.callback(Reader(service.url, user).close)
        more = resident_bytes(service.process.pid) - before
        assert service.metric("sync_streams") == count + 1
        took = []
        for _ in range(20):
            began_at = time.monotonic()
            other.create()
            took.append(time.monotonic() - began_at)
        assert more < 100e6 * count / 5000 + 5e6
        assert percentile(took, 0.5) < 0.5
    report("idle streams", count=count, megabytes=more / 1e6, request_p95=percentile(took, 0.95))
