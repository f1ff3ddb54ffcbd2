"""Slow clients hold nobody: whatever they send or do not read, they are cut in time, and nobody else notices."""

import asyncio
import json
import socket
import statistics
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.support.database import Database, held
from tests.support.drill import eventually, pick, report
from tests.support.raw import SENTINEL, connect, exchange, parse_answers, read_to_end, request
from tests.support.server import Service, serve
from tests.support.users import User, sign_up

CUT_WITHIN_SECONDS = 15.0
IDLE_CONNECTIONS = 1000
CHUNKED = "Transfer-Encoding: chunked"
LONG = "Content-Length: 5000"
LOCK = "BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"


async def drip(service: Service, start: bytes, drop: bytes, *, port: int | None = None) -> tuple[float, bytes]:
    """Send `start`, then `drop` again and again. Returns when the server had enough, and what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port or service.port)
    writer.write(start)
    began = time.monotonic()
    answer = b""
    with suppress(ConnectionError):
        while time.monotonic() - began < CUT_WITHIN_SECONDS + 5:
            with suppress(TimeoutError):
                answer += await asyncio.wait_for(reader.read(4096), 0.2)
            if not drop and reader.at_eof():
                break
            # The end of the answers is not yet the end of the connection: that shows when writing fails.
            writer.write(drop)
            await writer.drain()
    writer.close()
    return time.monotonic() - began, answer


def drips(user: User) -> dict[str, tuple[bytes, bytes, int]]:
    """What is sent at first, what then drips, and the status of the one answer, 0 for none."""
    post = ["Content-Type: application/json", f"Authorization: Bearer {user.token}"]
    upgrade = ["Upgrade: websocket", "Connection: Upgrade"]
    return {
        "nothing at all": (b"", b"", 0),
        "empty lines": (b"\r\n", b"\r\n", 400),
        "a head": (request("GET", "/openapi.json")[:-2] + b"X-Drip: ", b"x", 408),
        "a body": (request("POST", user.tasks, *post, LONG), b"x", 408),
        "a chunked body": (request("POST", user.tasks, *post, CHUNKED), b"1\r\nx\r\n", 408),
        "a body with an upgrade": (request("POST", user.tasks, *post, *upgrade, LONG), b"x", 408),
        "a head with an upgrade": (request("GET", "/", *upgrade)[:-2] + b"X-Drip: ", b"x", 408),
        "a body after 404": (request("GET", "/nothing", LONG), b"x", 404),
        "a chunked body after 404": (request("POST", "/nothing", CHUNKED), b"1\r\nx\r\n", 404),
        "a body after 404 with an upgrade": (request("GET", "/nothing", *upgrade, LONG), b"x", 404),
        "a body after 401": (request("DELETE", f"{user.tasks}/x", LONG), b"x", 401),
        "a body after 405": (request("PUT", user.tasks, LONG), b"x", 405),
        "a body after 413": (request("POST", user.tasks, *post, "Content-Length: 5000000"), b"x" * 5000, 413),
        "a body before 200": (request("GET", "/.well-known/jwks.json", LONG), b"x", 408),
        "a body after 417": (request("POST", user.tasks, *post, LONG, "Expect: much"), b"x", 417),
        "a body that waits for 100": (request("POST", "/nothing", LONG, "Expect: 100-continue"), b"x", 404),
        "requests after a close": (request("GET", "/nothing", "Connection: close"), request("GET", "/nothing"), 404),
    }


async def test_whatever_drips_is_cut_in_time_with_one_answer(service: Service, user: User) -> None:
    cases = drips(user)
    found = await asyncio.gather(*(drip(service, start, drop) for start, drop, _ in cases.values()))
    for (name, (_, _, status)), (seconds, data) in zip(cases.items(), found, strict=True):
        assert seconds < CUT_WITHIN_SECONDS, name
        answers = parse_answers(data)
        assert [answer.status for answer in answers] == ([status] if status else []), name
        assert all(answer.headers["connection"] == "close" for answer in answers), name
    assert await asyncio.to_thread(user.list) == []
    assert service.metric("http_requests_in_progress") == 0


ADMIN_DRIPS = {
    "nothing at all": (b"", b""),
    "a head": (request("GET", "/livez")[:-2] + b"X-Drip: ", b"x"),
    "a head with an upgrade": (request("GET", "/livez", "Upgrade: websocket")[:-2] + b"X-Drip: ", b"x"),
    "a body before 200": (request("GET", "/metrics", LONG), b"x"),
    "a body with an upgrade": (request("GET", "/livez", "Upgrade: websocket", "Connection: Upgrade", LONG), b"x"),
    "a body after 404": (request("GET", "/nothing", LONG), b"x"),
    "a chunked body after 405": (request("POST", "/readyz", CHUNKED), b"1\r\nx\r\n"),
}


async def test_whatever_drips_into_the_admin_port_is_cut_in_time(service: Service) -> None:
    found = await asyncio.gather(*(drip(service, *case, port=service.admin_port) for case in ADMIN_DRIPS.values()))
    assert {name: s for name, (s, _) in zip(ADMIN_DRIPS, found, strict=True) if s > CUT_WITHIN_SECONDS} == {}


def test_a_scraper_keeps_its_connection_to_the_admin_port(service: Service) -> None:
    """Past the time that a first request has."""
    with socket.create_connection(("127.0.0.1", service.admin_port), timeout=8) as scraper:
        for pause in (0.0, 14.0):
            time.sleep(pause)
            scraper.sendall(request("GET", "/livez"))
            assert scraper.recv(65536).startswith(b"HTTP/1.1 200 OK")


EARLY = {
    "404": request("GET", "/nothing", "Content-Length: %d"),
    "404 to POST": request("POST", "/nothing", "Content-Length: %d"),
    "405": request("PUT", "/openapi.json", "Content-Length: %d"),
}


@pytest.mark.parametrize("early", EARLY)
@pytest.mark.parametrize("apart", [False, True])
def test_a_body_after_its_answer_is_never_a_request(service: Service, early: str, *, apart: bool) -> None:
    """Sent at once it is read past; sent later it finds the connection closed for requests."""
    head = EARLY[early].replace(b"%d", b"%d" % len(SENTINEL))
    with connect(service) as connection:
        connection.sendall(head if apart else head + SENTINEL)
        if apart:
            first = connection.recv(65536)
            with suppress(OSError):
                connection.sendall(SENTINEL)
            answers = parse_answers(first + read_to_end(connection))
        else:
            connection.sendall(SENTINEL)
            answers = parse_answers(read_to_end(connection))
    assert answers[0].status == int(early[:3])
    if apart:
        assert len(answers) == 1
        assert answers[0].headers["connection"] == "close"
    else:
        assert [answer.is_sentinel for answer in answers] == [False, True]


def test_a_chunked_body_after_its_answer_is_never_a_request(service: Service) -> None:
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SENTINEL), SENTINEL)
    (answer,) = exchange(service, request("POST", "/nothing", CHUNKED) + chunk + SENTINEL)
    assert (answer.status, answer.headers["connection"]) == (404, "close")


def test_a_client_that_is_still_sending_gets_the_answer(service: Service, user: User) -> None:
    """Closed at once, what it sends would be answered with a reset, and the answer be lost with it."""
    head = request("POST", user.tasks, f"Authorization: Bearer {user.token}", "Content-Length: 4000000")
    with connect(service) as connection:
        connection.sendall(head)
        for _ in range(40):
            connection.sendall(b"x" * 100_000)
        (answer,) = parse_answers(read_to_end(connection))
    assert (answer.status, answer.json()["code"]) == (413, "too_large")


def test_no_upgrade_is_taken(service: Service) -> None:
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="]
    for answer in exchange(service, request("GET", "/.well-known/jwks.json", *upgrade) + SENTINEL):
        assert answer.status == 200


def test_bytes_of_a_body_are_no_request_while_the_service_is_full(fresh_database: Database) -> None:
    """The kind of request that is refused without being parsed, in the place of a body."""
    times = {"DB_POOL_ACQUIRE_TIMEOUT_SECONDS": "1", "DB_STATEMENT_TIMEOUT_SECONDS": "4"}
    plain = b"GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"
    with serve(fresh_database.url, DB_POOL_MIN="1", DB_POOL_MAX="1", **times) as service, sign_up(service.url) as user:
        early = connect(service), connect(service)
        with held(fresh_database.url, LOCK), early[0], early[1]:
            early[0].sendall(request("GET", "/nothing", LONG))
            early[1].sendall(request("POST", "/nothing", CHUNKED))
            first = [connection.recv(65536) for connection in early]
            crowd = [connect(service) for _ in range(30)]
            for connection in crowd:
                connection.sendall(request("GET", user.tasks, f"Authorization: Bearer {user.token}"))
            eventually(lambda: service.metric("http_requests_queued") > 10)
            for connection in early:
                with suppress(OSError):
                    connection.sendall(plain)
            eventually(lambda: service.metric("http_requests_queued") == 0)
            data = [answer + read_to_end(c) for answer, c in zip(first, early, strict=True)]
            for connection in crowd:
                connection.close()
        assert [len(parse_answers(one)) for one in data] == [1, 1]
        assert "smuggled" not in service.log()


# Clients that do not read

TASKS, CONTROL = 500, 10_000
PAGE_BYTES_MAX = 1024 * 1024
MEMORY_MAX = 256 * 1024 * 1024
LIVENESS_SECONDS_MAX = pick(1.0, 0.15)
"""The promise, where nothing else runs beside it."""


def fill(database: Database, user: User) -> None:
    """Tasks that are as long as they can be, of characters that take six bytes each in JSON."""
    database.query(
        "INSERT INTO tasks (id, user_id, title, description) SELECT gen_random_uuid(), $1, 'long ' || n,"
        " repeat(E'\\x01', $3) FROM generate_series(1, $2) n",
        *(UUID(user.id), TASKS, CONTROL),
    )


def silent(service: Service, data: bytes) -> socket.socket:
    """A connection that sends and never reads, with the smallest receive buffer there can be."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(8)
    connection.connect(("127.0.0.1", service.port))
    connection.sendall(data)
    return connection


def peak_bytes(service: Service) -> int:
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def slowest_liveness(service: Service, seconds: float) -> float:
    slowest, end = 0.0, time.monotonic() + seconds
    with httpx.Client(base_url=service.admin_url, verify=False) as admin:
        while time.monotonic() < end:
            began = time.monotonic()
            assert admin.get("/livez").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.01)
    return slowest


@pytest.mark.parametrize("limit", [500, 100, 32])
def test_clients_that_do_not_read_leave_memory_and_liveness_alone_and_are_cut(
    fresh_database: Database, limit: int
) -> None:
    """Pages of up to 100 can be read together; of up to 32 the whole page comes here, to be cut here."""
    with serve(fresh_database.url) as service, sign_up(service.url) as user, sign_up(service.url) as other:
        fill(fresh_database, user)
        quiet = slowest_liveness(service, 1)  # what the rest of the machine does to it
        asking = request("GET", f"{user.tasks}?limit={limit}", f"Authorization: Bearer {user.token}")
        crowd = [silent(service, asking * 3) for _ in range(100)]
        began = time.monotonic()
        slowest = slowest_liveness(service, 3)
        assert other.http.get(other.tasks).status_code == 200, "others are served meanwhile"
        assert peak_bytes(service) < MEMORY_MAX
        assert slowest < max(LIVENESS_SECONDS_MAX, 5 * quiet)
        eventually(lambda: service.metric("http_unsent_bytes") == 0, CUT_WITHIN_SECONDS)
        assert time.monotonic() - began < CUT_WITHIN_SECONDS + 3
        assert service.metric('http_connections_cut_total{reason="not_reading"}') > 0
        assert user.http.get(user.tasks).status_code == 200, "and so is the user when the answers are gone"
        report(
            f"clients that do not read, {limit} a page",
            peak_mb=peak_bytes(service) / 1e6,
            slowest_liveness_seconds=slowest,
        )
        for connection in crowd:
            connection.close()


async def test_a_client_that_reads_slowly_gets_all_of_it(service: Service, user: User, database: Database) -> None:
    await asyncio.to_thread(fill, database, user)
    connection = silent(service, request("GET", user.tasks, f"Authorization: Bearer {user.token}", "Connection: close"))
    with connection:
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
            await asyncio.sleep(0.05)
    (answer,) = parse_answers(data)
    assert 15 <= len(json.loads(answer.body)) < 100


async def test_a_thousand_idle_connections_change_nothing_for_the_others(service: Service, user: User) -> None:
    async def median() -> float:
        async with httpx.AsyncClient(base_url=service.url, headers=dict(user.http.headers), verify=False) as client:
            times = []
            for _ in range(60):
                began = time.perf_counter()
                assert (await client.get(user.tasks)).status_code == 200
                times.append(time.perf_counter() - began)
        return statistics.median(times)

    alone = await median()
    idle = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(IDLE_CONNECTIONS)]
    try:
        among_idle = await median()
    finally:
        for _, writer in idle:
            writer.close()
    assert among_idle < 3 * alone + 0.005
