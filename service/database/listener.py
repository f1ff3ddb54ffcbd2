"""LISTEN and NOTIFY on a connection of its own: the pool's move between requests, and one is enough for a process.

A notification is a hint and may get lost, with the connection or before there is one. `gap` says when that may have
happened.
"""

import asyncio
from collections.abc import Callable

import structlog

from service.database import errors
from service.database.connection import Backoff, Connection, Connector, PoolOptions

KEEPALIVE_SECONDS = 5.0
"""Between two questions whether the connection still lives: a firewall, or a failover, can end it without a word."""

TIMEOUT_SECONDS = 1.0

log = structlog.get_logger()


class Listener:
    def __init__(
        self, options: PoolOptions, channel: str, *, heard: Callable[[str], None], gap: Callable[[], None]
    ) -> None:
        """`heard` gets what others have notified; `gap` is called when there is a connection, or no longer one."""
        self._connector = Connector(options)
        self._channel = channel
        self._heard = heard
        self._gap = gap
        self._connection: Connection | None = None
        self._statement = asyncio.Lock()  # asyncpg takes one at a time

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def run(self) -> None:
        """Keep a connection open, for as long as the process lives."""
        backoff = Backoff()
        while True:
            try:
                connection = await self._connector.connect()
            except Exception as error:
                if not errors.of_database(error):
                    raise
                if not backoff.failures:
                    log.warning("listener_connect_failed", error=type(error).__name__, sqlstate=errors.sqlstate(error))
                await asyncio.sleep(backoff.failed())
                continue
            try:
                if await self._listen(connection):
                    backoff = Backoff()
            finally:
                await connection.end(TIMEOUT_SECONDS)
            await asyncio.sleep(backoff.failed())  # also after one that was opened, and could not be used

    async def notify(self, payload: str) -> None:
        """Tell the other processes, if that is possible; at most 7,999 bytes. Does not raise."""
        if self._connection is not None:
            await self._execute(self._connection, "SELECT pg_notify($1, $2)", self._channel, payload)

    async def _listen(self, connection: Connection) -> bool:
        """Until the connection is lost; whether it has worked at all."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await connection.add_listener(self._channel, self._received)
        except Exception as error:
            if not errors.of_database(error):
                raise
            return False
        self._connection = connection
        log.info("listener_connected")
        self._gap()
        try:
            await self._watch(connection, lost)
        finally:
            self._connection = None
            self._gap()
        log.warning("listener_lost")
        return True

    async def _watch(self, connection: Connection, lost: asyncio.Event) -> None:
        while not lost.is_set():
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    await lost.wait()
            except TimeoutError:
                # A server that became a standby keeps its connections in some set-ups, and notifies nobody.
                if not await self._execute(connection, "SELECT WHERE NOT pg_is_in_recovery()"):
                    return

    async def _execute(self, connection: Connection, statement: str, *arguments: object) -> bool:
        """Whether there was a row, or at least the right answer to it."""
        try:
            async with self._statement, asyncio.timeout(TIMEOUT_SECONDS):
                return bool(await connection.fetch(statement, *arguments))
        except Exception as error:
            if not errors.of_database(error):
                raise
            return False

    def _received(self, connection: Connection, pid: int, _channel: str, payload: str) -> None:
        if pid != connection.get_server_pid():  # what this process has said itself is known here already
            self._heard(payload)
