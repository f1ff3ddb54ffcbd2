"""Start, drain, stop: what happens in which order."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread

import structlog
from sanic.server.async_server import AsyncioServer
from tortoise import Tortoise

from service import ports
from service.accounts.issuer import IssuerKeys
from service.accounts.passwords import Passwords
from service.admin import AdminApp, AdminProtocol, Readiness, watch_event_loop
from service.background import Background
from service.database import revisions, session, start
from service.database.orm import orm_config, tables
from service.database.pool import Pool, PoolOptions
from service.database.schema_watch import SchemaWatch
from service.http.admission import Admission
from service.http.requests import App
from service.purge import purge_regularly
from service.settings import Settings
from service.tasks.streaming import Streaming
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracer

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
"""Whoever runs the app blocks them in every thread; they stay so to the end, when a second one changes nothing."""

STOP_AGAIN_SECONDS = 0.01

BACKGROUND_STOP_SECONDS = 1.0
ADMIN_CLOSE_SECONDS = 0.5
TRACES_SECONDS = 2.0
"""What the end of a process gives a collector to take the last spans. With 3 s of draining and 4 s for requests under
way, a process is gone within 10 s."""

GARBAGE_THRESHOLD = 10_000
"""New objects between two runs of the garbage collector; Python's own 700 suits programs with far fewer of them."""

log = structlog.get_logger()


class Lifecycle:
    """Owns everything that is opened at start and must be closed at the end."""

    def __init__(
        self,
        app: App,
        admin: AdminApp,
        *,
        settings: Settings,
        pool: Pool,
        passwords: Passwords,
        issuer_keys: IssuerKeys | None,
        admission: Admission,
        background: Background,
        streaming: Streaming,
        metrics: Metrics,
        readiness: Readiness,
        tracer: Tracer | None,
    ) -> None:
        self._admin = admin
        self._settings = settings
        self._pool = pool
        self._passwords = passwords
        self._issuer_keys = issuer_keys
        self._admission = admission
        self._metrics = metrics
        self._readiness = readiness
        self._tracer = tracer
        self._background = background
        self._streaming = streaming
        self._admin_server: AsyncioServer | None = None
        self._stop_asked: Future[None] = Future()
        app.before_server_start(self.start)
        app.after_server_start(self.started)
        app.before_server_stop(self.drain)
        app.after_server_stop(self.stop)

    async def start(self, _: App) -> None:
        """The operations port first, so that liveness answers while the rest starts."""
        Thread(target=_wait_for_signal, args=[self._stop_asked], name="stop-signal", daemon=True).start()
        await self._open_admin()
        pool = self._pool
        async with start.told_in_a_sentence():  # the database may have gone since it was checked
            await pool.open()
            await Tortoise.init(config=orm_config(lambda: pool), _enable_global_fallback=True)
            await SchemaWatch(self._readiness.schema, pool, self._background, self._metrics).start()
        self._background.start("event_loop_watch", partial(watch_event_loop, self._metrics))
        purge_regularly(pool, self._background, trash_retention_seconds=self._settings.trash_retention_seconds)
        if self._issuer_keys is not None:
            self._background.start("issuer_keys", self._issuer_keys.run)
        self._streaming.start(self._background)

    async def started(self, app: App) -> None:
        _tune_garbage_collection()
        self._readiness.started = True
        # Sanic has set them to be ignored; not every system lets one wait for such a signal.
        for number in STOP_SIGNALS:
            signal.signal(number, lambda *_: None)
        loop = asyncio.get_running_loop()
        self._stop_asked.add_done_callback(lambda _: loop.call_soon_threadsafe(_stop, app))
        log.info("started", port=self._settings.port, admin_port=self._settings.admin_port)

    async def drain(self, app: App) -> None:
        """The socket still accepts: tell the balancer to stop sending, and clients to leave after their next answer."""
        self._readiness.draining = True
        app.config.KEEP_ALIVE = False
        self._admission.end()
        log.info("draining", seconds=self._settings.drain_seconds)
        await self._streaming.drain()
        await asyncio.sleep(self._settings.drain_seconds)

    async def stop(self, _: App) -> None:
        """After the last request: nothing may use the database any more. What fails here holds up nothing else."""
        await _attempt(self._streaming.stop)
        await _attempt(lambda: self._background.stop(BACKGROUND_STOP_SECONDS))
        await asyncio.gather(_attempt(self._end_traces), _attempt(self._close_database))
        self._passwords.close()
        await _attempt(self._close_admin)

    async def _close_database(self) -> None:
        await Tortoise.close_connections()
        await self._pool.close()

    async def _end_traces(self) -> None:
        if self._tracer is not None and not await self._tracer.shutdown(TRACES_SECONDS):
            log.warning("traces_lost", seconds=TRACES_SECONDS)

    async def _open_admin(self) -> None:
        listener = ports.bound(self._settings.host, self._settings.admin_port)
        server = await self._admin.create_server(
            sock=listener, protocol=AdminProtocol, return_asyncio_server=True, access_log=False
        )
        assert server is not None  # noqa: S101  that is what return_asyncio_server is for
        self._admin_server = server
        await server.startup()
        await server.before_start()
        await server.start_serving()
        await server.after_start()

    async def _close_admin(self) -> None:
        """Last, so that liveness answers to the end."""
        if (server := self._admin_server) is None:
            return
        closing = server.close()
        for connection in list(server.connections):  # scrapers keep theirs open
            connection.abort()
        async with asyncio.timeout(ADMIN_CLOSE_SECONDS):
            await closing


def _wait_for_signal(asked: "Future[None]") -> None:
    signal.sigwait(STOP_SIGNALS)
    asked.set_result(None)


def _stop(app: App) -> None:
    """Leave the server's loop: before it runs for good, that would only end the step of the start that is under way."""
    if app.state.is_running:
        app.stop(terminate=False)
    else:
        asyncio.get_running_loop().call_later(STOP_AGAIN_SECONDS, _stop, app)


async def _attempt(step: Callable[[], Awaitable[object]]) -> None:
    try:
        await step()
    except Exception:
        log.exception("stop_failed")


def _tune_garbage_collection() -> None:
    """What exists by now stays for good, and requests leave few cycles behind: collect those less often.

    With a thousand requests under way, the default would walk all of them every few milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, *gc.get_threshold()[1:])


def pool_options(settings: Settings) -> PoolOptions:
    """What the session is set to goes the way that is open: at its start, after it, or, in transactions, not at all."""
    ours = (*session.NEUTRAL, *session.limits(settings.db_statement_timeout_seconds), *session.PLANNER)
    direct, pooled = settings.db_pooler == "none", settings.db_pooler == "session"
    return PoolOptions(
        settings.database,
        minimum=settings.db_pool_min,
        maximum=settings.db_pool_max,
        acquire_timeout=settings.db_pool_acquire_timeout_seconds,
        connect_timeout=settings.db_connect_timeout_seconds,
        statement_timeout=settings.db_statement_timeout_seconds,
        max_age=settings.db_connection_max_age_seconds,
        max_idle=settings.db_connection_max_idle_seconds,
        prepared=settings.db_pooler != "transaction",
        server_settings=ours if direct else session.FORMATS,
        session_settings=ours if pooled else (),
        newer_settings=session.NEWER_WAITS if direct or pooled else (),
    )


@start.told_in_a_sentence()
async def check_database(settings: Settings) -> None:
    """Before anything listens: wait for the database, on a connection like the pool's, and see that all is there.

    Raises DatabaseFault, or MigrationError, which says what to run; a database that is ahead is served with a warning.
    """
    options = pool_options(settings)
    connection = await start.connect(options)
    try:
        if options.prepared:
            await start.check_pooler(connection, options)
        found = await revisions.state_of(connection)
        revisions.warn_ahead(found)
        if found.pending:
            raise revisions.MigrationError(
                f"The database lacks {', '.join(r.file for r in found.pending)}. Run: python -m service migrate upgrade"
            )
        await start.check_session(connection, tables())
    finally:
        await connection.end(1)
