"""Tortoise ORM on the service's own pool: one place then bounds, counts and times every connection."""

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import get_connections

from service.background import Background
from service.database.pool import Connection, Lease, Pool, PoolOptions
from service.database.url import database_dsn
from service.telemetry.metrics import BackgroundMetrics, DatabaseMetrics

APP = "models"
MODELS = ["service.accounts.model", "service.tasks.model", "service.rest.model"]
AERICHS_MODELS = ["aerich.models"]
"""What migrations have beside them. The server need not load Aerich for that: a tenth of its memory."""

OPERATION = "orm"
"""What the metrics call a statement of the ORM's making."""

MIGRATION_LOCK_TIMEOUT_MS = 200
"""How long a migration's statement waits for a table lock: everyone who comes after it waits as long."""


class PooledClient(AsyncpgDBClient):
    """Takes its connections from a `Pool`, and opens transactions that survive cancellation in any await."""

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002, FBT001  Tortoise's signature
        self._pool = self.extra["pool"]()

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None and self.extra.get("owns_pool"):
            await pool.close()

    def acquire_connection(self) -> "_OrmLease":  # type: ignore[override]  # used only as `async with`
        return _OrmLease(self)

    def _in_transaction(self) -> "_OrmTransaction":  # type: ignore[override]
        return _OrmTransaction(self)


client_class = PooledClient


def orm_config(pool: Callable[[], Pool], *, owns_pool: bool = False, migrates: bool = False) -> dict[str, Any]:
    """What `Tortoise.init` takes; `pool` is called when the first connection is needed."""
    models = [*MODELS, *AERICHS_MODELS] if migrates else MODELS
    return {
        "connections": {"default": {"engine": __name__, "credentials": {"pool": pool, "owns_pool": owns_pool}}},
        "apps": {APP: {"models": models, "default_connection": "default"}},
        "use_tz": True,
        "timezone": "UTC",
    }


def migration_config() -> dict[str, Any]:
    """For Aerich: two connections of its own, statements without a time limit, locks with a short one."""
    return orm_config(_migration_pool, owns_pool=True, migrates=True)


def _migration_pool() -> Pool:
    options = PoolOptions(
        dsn=database_dsn(),
        statement_timeout=None,
        acquire_timeout=10.0,
        connect_timeout=10.0,
        server_settings=(
            ("lock_timeout", f"{MIGRATION_LOCK_TIMEOUT_MS}ms"),
            # A killed migration's statement ends soon, or the one that comes after it would wait for a ghost.
            ("client_connection_check_interval", "1s"),
            ("application_name", "tasks-migrate"),
        ),
    )
    registry = CollectorRegistry()
    return Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))


def __getattr__(name: str) -> Any:
    # `aerich` reads this name from the module (pyproject.toml); made on demand, so that importing does nothing.
    if name == "TORTOISE_ORM":
        return migration_config()
    raise AttributeError(name)


class _OrmLease:
    """A `Lease` on the client's pool, in the form that Tortoise's executor expects."""

    __slots__ = ("_client", "_lease", "_lent_at")

    def __init__(self, client: PooledClient) -> None:
        self._client = client

    async def __aenter__(self) -> Connection:
        if self._client._pool is None:  # noqa: SLF001  Tortoise's own wrapper does the same
            await self._client.create_connection(with_db=True)
        self._lease: Lease = self._client._pool.lease()  # type: ignore[union-attr]  # noqa: SLF001  it has one now
        connection: Connection = await self._lease.__aenter__()
        self._lent_at = monotonic()
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client._pool.observe(OPERATION, monotonic() - self._lent_at)  # type: ignore[union-attr]  # noqa: SLF001  as above
        await self._lease.__aexit__(kind, error, trace)


class _OrmTransaction:
    """Tortoise's `in_transaction()`. Its own version loses the connection when BEGIN is cancelled."""

    __slots__ = ("_client", "_lease", "_token", "_wrapper")

    def __init__(self, client: PooledClient) -> None:
        self._client = client
        self._lease = _OrmLease(client)

    async def __aenter__(self) -> TransactionWrapper:
        self._wrapper = TransactionWrapper(self._client)
        self._wrapper._connection = await self._lease.__aenter__()  # noqa: SLF001
        try:
            await self._wrapper.begin()
        except BaseException as error:
            await self._lease.__aexit__(type(error), error, error.__traceback__)
            raise
        self._token = get_connections().set(self._client.connection_name, self._wrapper)
        return self._wrapper

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure = error
        try:
            if not self._wrapper._finalized:  # noqa: SLF001
                await (self._wrapper.commit() if error is None else self._wrapper.rollback())
        except BaseException as late:
            failure = late
            raise
        finally:
            get_connections().reset(self._token)
            await self._lease.__aexit__(type(failure) if failure else None, failure, trace)
