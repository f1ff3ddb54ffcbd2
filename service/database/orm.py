"""Tortoise ORM on the service's own pool: one place then bounds, counts and times every connection.

What is used of Tortoise's private parts stands here and nowhere else.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from importlib import import_module
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry
from tortoise import BaseDBAsyncClient
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import get_connections
from tortoise.models import Model

from service.background import Background
from service.database.pool import Connection, Executor, Pool, PoolOptions, Transaction
from service.database.session import NEUTRAL, NO_LIMITS
from service.database.url import DatabaseUrl, KeepAlive, database_url
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics

APP = "models"
MODELS = ["service.accounts.model", "service.tasks.model", "service.rest.model"]
AERICHS_MODELS = ["aerich.models"]
"""What migrations have beside them. The server need not load Aerich for that: a tenth of its memory."""

OPERATION = "orm"
"""What the metrics call a statement of the ORM's making."""

MIGRATION_LOCK_TIMEOUT_MS = 200
"""How long a migration's statement waits for a table lock: everyone who comes after it waits as long."""

KEEPALIVE = KeepAlive(idle=20, interval=10, count=4)
"""A migration's statement may be silent for as long as it likes; a peer that is gone is noticed within a minute."""

CONNECTION = "default"


class PooledClient(AsyncpgDBClient):
    """Takes its connections from a `Pool`, each for one statement."""

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002, FBT001  Tortoise's signature
        self._pool = self.extra["pool"]()

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None and self.extra.get("owns_pool"):
            await pool.close()

    @asynccontextmanager
    async def acquire_connection(self) -> AsyncIterator[Connection]:  # type: ignore[override]  # used only as `async with`
        async with (await self.pool()).lease() as connection:
            lent_at = monotonic()
            try:
                yield connection
            finally:
                self._pool.observe(OPERATION, monotonic() - lent_at)  # type: ignore[union-attr]  # ours, and there

    def _in_transaction(self) -> "AbstractAsyncContextManager[BoundClient]":  # type: ignore[override]  # used only as `async with`
        return _transaction(self)

    async def pool(self) -> Pool:
        if self._pool is None:
            await self.create_connection(with_db=True)
        pool: Pool = self._pool  # type: ignore[assignment]  # Tortoise's own has another kind
        return pool


class BoundClient(TransactionWrapper):
    """Runs the ORM's statements in one open `Transaction`, and leaves its end to whoever began it."""

    def __init__(self, parent: AsyncpgDBClient, transaction: Transaction) -> None:
        super().__init__(parent)
        self._open = transaction

    def acquire_connection(self) -> AbstractAsyncContextManager[Connection]:  # type: ignore[override]  # used only as `async with`
        return self._open.lease(OPERATION)

    @asynccontextmanager
    async def _in_transaction(self) -> "AsyncIterator[BoundClient]":  # type: ignore[override]  # used only as `async with`
        yield self


client_class = PooledClient


def orm_on(executor: Executor) -> BaseDBAsyncClient:
    """What a query's `using_db` takes, so that it runs there and nowhere else."""
    client: AsyncpgDBClient = get_connections().get(CONNECTION)  # type: ignore[assignment]  # as in `orm_config`
    return BoundClient(client, executor) if isinstance(executor, Transaction) else client


@asynccontextmanager
async def _transaction(client: PooledClient) -> AsyncIterator[BoundClient]:
    """Tortoise's `in_transaction()`, for Aerich: the models' statements inside the block find it by themselves."""
    async with (await client.pool()).transaction() as transaction:
        bound = BoundClient(client, transaction)
        token = get_connections().set(client.connection_name, bound)
        try:
            yield bound
        finally:
            get_connections().reset(token)


def orm_config(pool: Callable[[], Pool], *, owns_pool: bool = False, migrates: bool = False) -> dict[str, Any]:
    """What `Tortoise.init` takes; `pool` is called when the first connection is needed."""
    models = [*MODELS, *AERICHS_MODELS] if migrates else MODELS
    return {
        "connections": {CONNECTION: {"engine": __name__, "credentials": {"pool": pool, "owns_pool": owns_pool}}},
        "apps": {APP: {"models": models, "default_connection": CONNECTION}},
        "use_tz": True,
        "timezone": "UTC",
    }


def tables() -> list[str]:
    """Those that the service works on."""
    return sorted(model._meta.db_table for model in _models())  # noqa: SLF001  Tortoise has no other way to ask


def columns() -> tuple[list[str], list[str]]:
    """Those that the service works on: the table of each, and its name."""
    found = [(m._meta.db_table, name) for m in _models() for name in m._meta.fields_db_projection_reverse]  # noqa: SLF001  as above
    return [table for table, _ in found], [name for _, name in found]


def _models() -> list[type[Model]]:
    modules = [import_module(name) for name in MODELS]
    found = {member for module in modules for member in vars(module).values() if isinstance(member, type)}
    return [m for m in found if issubclass(m, Model) and m._meta.db_table]  # noqa: SLF001  as above


def migration_config() -> dict[str, Any]:
    """For Aerich: two connections of its own, statements without a time limit, locks with a short one."""
    return orm_config(_migration_pool, owns_pool=True, migrates=True)


def migration_options(database: DatabaseUrl) -> PoolOptions:
    given = database.keepalive
    watched = replace(given, idle=given.idle or KEEPALIVE.idle, interval=given.interval or KEEPALIVE.interval)
    return PoolOptions(
        replace(database, keepalive=replace(watched, count=given.count or KEEPALIVE.count)),
        statement_timeout=None,
        acquire_timeout=10.0,
        connect_timeout=10.0,
        prepared=False,  # a migration changes what a prepared statement returns
        application_name="tasks-migrate",
        server_settings=(
            *NEUTRAL,
            *NO_LIMITS,
            ("lock_timeout", f"{MIGRATION_LOCK_TIMEOUT_MS}ms"),
            # A killed migration's statement ends soon, or the next one would wait for locks that no client needs.
            ("client_connection_check_interval", "1s"),
            # The server's side of KEEPALIVE, or a session that a firewall has forgotten keeps its locks for two hours.
            ("tcp_keepalives_idle", str(KEEPALIVE.idle)),
            ("tcp_keepalives_interval", str(KEEPALIVE.interval)),
            ("tcp_keepalives_count", str(KEEPALIVE.count)),
        ),
    )


def _migration_pool() -> Pool:
    registry = CollectorRegistry()
    background = Background(BackgroundMetrics(registry))
    return Pool(migration_options(database_url()), DatabaseMetrics(registry), background)


def __getattr__(name: str) -> Any:
    # `aerich` reads this name from the module (pyproject.toml); made on demand, so that importing does nothing.
    if name == "TORTOISE_ORM":
        return migration_config()
    raise AttributeError(name)
