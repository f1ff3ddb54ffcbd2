"""How a process hears that a user's tasks have changed: from itself, from the others, and by asking.

A signal is a hint and says only whose tasks. It is given after the commit, and may get lost. What is asked every
`POLL_SECONDS` is the truth: the clocks of all users with open streams.
"""

import asyncio
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from service.background import Background
from service.database.listener import Listener
from service.database.pool import Pool, PoolOptions, Statement
from service.tasks.delivery import Delivery
from service.tasks.streams import Reader, Streams

CHANNEL = "tasks_changed"

POLL_SECONDS = 0.75
"""A change that nobody has signalled is on its streams within a second, the reading included."""

POLL_PORTION = 1000

NOTIFY_INTERVAL_SECONDS = 0.05
"""A NOTIFY takes a lock of the whole server's at its commit: at most 20 a second from each process, for many users."""

USERS_PER_NOTIFICATION = 370
"""16 bytes of each as base64 are 7,896 bytes; PostgreSQL takes 7,999."""

ALL = "*"
"""Instead of more users than that: everybody asks for the clocks of theirs."""

# $1 users, $2 their clocks as they are known, in seconds since the epoch
CLOCKS = Statement(
    "task_clocks",
    "SELECT known.id FROM unnest($1::uuid[], $2::float8[]) AS known (id, clock)"
    " LEFT JOIN users ON users.id = known.id AND ended_at IS NULL"
    " WHERE users.id IS NULL OR date_part('epoch', tasks_clock) <> known.clock",
    reads=True,
)


class Signals:
    def __init__(self, pool: Pool, streams: Streams, delivery: Delivery, *, listen: PoolOptions | None) -> None:
        """`listen` is how to connect for notifications; None where a pooler would lose them."""
        self._pool = pool
        self._streams = streams
        self._delivery = delivery
        self._background: Background | None = None
        self._listener: Listener | None = None
        if listen is not None:
            self._listener = Listener(listen, CHANNEL, heard=self._heard, gap=self._poll_now)
        self._unsaid: set[UUID] = set()
        self._said = asyncio.Event()

    def start(self, background: Background) -> None:
        self._background = background
        background.every("stream_poll", self._poll, seconds=POLL_SECONDS)
        if self._listener is not None:
            background.start("stream_listener", self._listener.run)
            background.start("stream_notifier", partial(self._notify, self._listener))

    def listening(self) -> bool:
        return self._listener is not None and self._listener.connected

    def changed(self, user_id: UUID) -> None:
        """Say that this process has changed the user's tasks, and that the change is committed."""
        self._wake(user_id)
        if self._listener is not None and len(self._unsaid) <= USERS_PER_NOTIFICATION:
            self._unsaid.add(user_id)
            self._said.set()

    async def _notify(self, listener: Listener) -> None:
        while True:
            await self._said.wait()
            self._said.clear()
            users, self._unsaid = self._unsaid, set()
            await listener.notify(_payload(users))
            await asyncio.sleep(NOTIFY_INTERVAL_SECONDS)

    def _heard(self, payload: str) -> None:
        if payload == ALL:
            self._poll_now()
            return
        for user_id in _users(payload):
            self._wake(user_id)

    def _wake(self, user_id: UUID) -> None:
        reader = self._streams.reader(user_id)
        if reader is not None:
            self._delivery.wake(reader)

    def _poll_now(self) -> None:
        if self._background is not None:
            self._background.spawn("stream_poll", self._poll)

    async def _poll(self) -> None:
        readers = [reader for reader in self._streams.readers() if reader.streams]
        for start in range(0, len(readers), POLL_PORTION):
            await self._poll_some(readers[start : start + POLL_PORTION])

    async def _poll_some(self, readers: list[Reader]) -> None:
        clocks = [reader.clock / 1_000_000 for reader in readers]  # exactly as the database divides
        users = {reader.user_id: reader for reader in readers}
        for row in await self._pool.fetch(CLOCKS, list(users), clocks):
            self._delivery.wake(users[row[0]])
        refresh_before = asyncio.get_running_loop().time() - self._delivery.refresh_seconds
        for reader in readers:
            if reader.read_at < refresh_before:
                self._delivery.wake(reader)


def _payload(users: Iterable[UUID]) -> str:
    together = [user_id.bytes for user_id in users]
    return ALL if len(together) > USERS_PER_NOTIFICATION else b64encode(b"".join(together)).decode()


def _users(payload: str) -> list[UUID]:
    """None for what is no notification of ours: anybody with access to the database can send one."""
    try:
        raw = b64decode(payload, validate=True)
        return [UUID(bytes=raw[start : start + 16]) for start in range(0, len(raw), 16)]
    except (Error, ValueError):
        return []
