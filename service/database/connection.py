"""One connection: how it is opened, on which of several hosts, and how it is repaired after a cancellation."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from random import sample, uniform
from time import monotonic

import asyncpg

from service.database.faults import passing
from service.database.session import NEUTRAL, NEWER_MAJOR, NEWER_WAITS, Settings, set_sql
from service.database.tls import TlsFileError
from service.database.url import DatabaseUrl, Host, KeepAlive

FAULTS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    TlsFileError,
)
"""All that can come of an attempt to connect."""

NOT_LIKE_THIS = ("28000", "08P01", "08003", "08006")
"""SQLSTATEs of a server or a pooler that takes no such connection, but perhaps one with or without TLS."""

BACKOFF_FIRST_SECONDS = 0.05
BACKOFF_MAX_SECONDS = 0.5
CLOCK_SECONDS = 0.001
"""A timer of the loop may fire so much before its time."""

AGE_JITTER = 0.1
"""Connections that were opened together end up to this part of their age apart, not all in one moment."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Times in seconds. `prepared` is off behind a pooler that runs statements on one server connection or another.

    `statement_timeout` bounds all that one request does on a connection at a time, the wait for it included.
    """

    database: DatabaseUrl
    minimum: int = 0
    maximum: int = 2
    acquire_timeout: float = 1.0
    connect_timeout: float = 2.0
    statement_timeout: float | None = 2.0
    max_age: float = 3600.0
    max_idle: float = 300.0
    prepared: bool = True
    application_name: str = "tasks-service"
    server_settings: Settings = NEUTRAL
    """Sent at the start of a session."""

    session_settings: Settings = ()
    """Set once the session is there: a pooler refuses them at its start, and leaves the session to us."""

    newer_settings: Settings = NEWER_WAITS
    """Set once the session is there and the server's version is known."""


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """An asyncpg connection that knows its own history."""

    __slots__ = ("commits_since", "expires_at", "generation", "used_at")

    commits_since: float | None
    """When what is running on it began, if that ends with a commit."""

    expires_at: float
    used_at: float
    generation: int

    async def repair(self, timeout_seconds: float) -> None:
        """Wait until the server is done with what was given up, and roll back what that left open.

        Raises whatever shows that this connection cannot be trusted any more.
        """
        self._top_xact = None  # type: ignore[misc]  # asyncpg would take the next transaction for a nested one
        await self.execute("ROLLBACK" if self.is_in_transaction() else "SELECT", timeout=timeout_seconds)
        if self.is_in_transaction():  # the BEGIN that was given up came through after all
            await self.execute("ROLLBACK", timeout=timeout_seconds)

    def _cancel_current_command(self, waiter: asyncio.Future[None], cancel_waiter: asyncio.Future[None]) -> None:
        """The driver's own, for whatever was given up.

        A commit that waits for a synchronous standby and is told to stop has happened, but on this server alone: all
        see it, and a failover loses it. PostgreSQL itself ends everything before that wait by statement_timeout.
        """
        if self.commits_since is not None:
            waiter.set_result(None)
        else:
            super()._cancel_current_command(waiter, cancel_waiter)

    def keep_alive(self, how: KeepAlive) -> None:
        """What libpq asks of the kernel, as far as this kernel has it."""
        tcp: socket.socket = self._transport.get_extra_info("socket")
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(how.on))
        wanted = {"TCP_USER_TIMEOUT": how.user_timeout}
        if how.on:
            wanted |= {"TCP_KEEPIDLE": how.idle, "TCP_KEEPINTVL": how.interval, "TCP_KEEPCNT": how.count}
        for name, value in wanted.items():
            if value is not None and hasattr(socket, name):
                tcp.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def end(self, timeout_seconds: float) -> None:
        """Close it; the server is told, if it still answers in time."""
        try:
            await self.close(timeout=timeout_seconds)
        except Exception:  # noqa: BLE001  it is gone either way
            self.terminate()


class Backoff:
    """After failed attempts one connection is tried at a time, ever further apart, and callers hear of it at once."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0

    def failed(self) -> float:
        """Returns in how many seconds the next attempt is due."""
        seconds = min(BACKOFF_FIRST_SECONDS * 2.0 ** min(self.failures, 10), BACKOFF_MAX_SECONDS)
        seconds *= uniform(0.75, 1)  # noqa: S311  jitter
        self.failures += 1
        self.until = monotonic() + seconds
        return seconds + CLOCK_SECONDS


_SET = "SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS given (name, value)"


class Connector:
    """Opens connections. Of several hosts, the one that served last is asked first."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._hosts = list(options.database.hosts)

    async def connect(self) -> Connection:
        """Raises the driver's error of a host whose fault may pass, if there is one: another may be back in time.

        The time is divided among the hosts: asyncpg would spend all of it on the first one, even if that is down.
        """
        failures: list[Exception] = []
        for host in self._in_order():
            try:
                connection = await self._connect_to(host)
            except FAULTS as error:
                failures.append(error)
                continue
            self._hosts.remove(host)
            self._hosts.insert(0, host)
            return connection
        raise next((failure for failure in failures if passing(failure)), failures[-1])

    def _in_order(self) -> list[Host]:
        return sample(self._hosts, len(self._hosts)) if self._options.database.any_order else list(self._hosts)

    async def _connect_to(self, host: Host) -> Connection:
        o = self._options
        seconds = o.database.connect_timeout or o.connect_timeout / len(self._hosts)
        connection = await self._try_each(host, monotonic() + seconds)
        try:
            if not host.is_socket:
                connection.keep_alive(o.database.keepalive)
            if o.session_settings:
                await connection.fetch(_SET, *zip(*o.session_settings, strict=True), timeout=seconds)
            if o.newer_settings and connection.get_server_version().major >= NEWER_MAJOR:
                # One message: a transaction that waited for a second one could already be too old.
                await connection.execute(set_sql(o.newer_settings), timeout=seconds)
        except BaseException:
            connection.terminate()
            raise
        connection.commits_since = None
        connection.used_at = monotonic()
        connection.expires_at = connection.used_at + o.max_age * uniform(1 - AGE_JITTER, 1)  # noqa: S311  jitter
        return connection

    async def _try_each(self, host: Host, deadline: float) -> Connection:
        """With TLS and without, as `sslmode` has it: only what TLS itself may have caused leads to the next try."""
        ways = [None] if host.is_socket else self._options.database.tls.attempts(host.name)
        for way in ways[:-1]:
            try:
                return await self._open(host, way, deadline)
            except FAULTS as error:
                if not _about_tls(error):
                    raise
        return await self._open(host, ways[-1], deadline)

    async def _open(self, host: Host, way: ssl.SSLContext | None, deadline: float) -> Connection:
        """Every argument is given, so that the driver asks neither the environment nor files in the home folder."""
        o, d = self._options, self._options.database
        named = {"application_name": d.application_name or o.application_name}
        asked = {} if d.options is None else {"options": d.options}
        connection: Connection = await asyncpg.connect(
            host=host.address,
            port=host.port,
            user=d.user,
            password=d.password,
            database=d.database,
            ssl=way or False,
            direct_tls=way is not None and d.tls.direct,
            target_session_attrs=d.target,
            krbsrvname="postgres",
            gsslib="gssapi",
            connection_class=Connection,
            timeout=max(deadline - monotonic(), 0.001),
            statement_cache_size=100 if o.prepared else 0,
            server_settings={**named, **asked, **dict(o.server_settings)},
        )
        return connection


def _about_tls(error: Exception) -> bool:
    """The server takes no TLS, or only TLS, or the handshake failed; not: nobody is there, or the password is wrong."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate in NOT_LIKE_THIS
    return isinstance(error, (ssl.SSLError, ConnectionError)) and not isinstance(error, ConnectionRefusedError)
