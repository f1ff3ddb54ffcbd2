"""Clients that leave in the middle of a request hurt nobody."""

import asyncio
import random
import socket
import struct

import pytest

from tests.support.database import Database
from tests.support.drill import eventually, pick, report
from tests.support.server import Service, serve
from tests.support.users import User, sign_up

PARALLEL = 50
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


async def _post_and_leave(service: Service, request: bytes, chance: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(request)
    await asyncio.sleep(chance.uniform(0, 0.003))
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
    del reader


async def _storm(service: Service, user: User, count: int) -> None:
    gate, chance = asyncio.Semaphore(PARALLEL), random.Random(7)

    async def one(number: int) -> None:
        body = b'{"title":"left behind"}'
        # Every other request runs in a transaction of several statements.
        key = f"Idempotency-Key: left-{number}\r\n" if number % 2 else ""
        head = (
            f"POST {user.tasks} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {user.token}\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        async with gate:
            await _post_and_leave(service, head.encode() + body, chance)

    await asyncio.gather(*(one(number) for number in range(count)))


@pytest.mark.drill
def test_clients_that_reset_their_connections_take_none_of_the_pool(fresh_database: Database) -> None:
    count = pick(1500, 4000)
    with serve(fresh_database.url) as service, sign_up(service.url) as user:
        asyncio.run(_storm(service, user, count))

        settled = eventually(lambda: service.metric('db_pool_connections{state="in_use"}') == 0, within_seconds=30)
        idle = service.metric('db_pool_connections{state="idle"}')
        seen = service.connections()
        report("promise 1, disconnects", count=count, settled_after=settled, connections=len(seen))
        assert {state for state, _ in seen} == {"idle"}, "none is left in a transaction"
        assert len(seen) == idle
        assert idle >= 5
        assert user.create("served")["title"] == "served"
