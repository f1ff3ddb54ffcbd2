"""One way to open a transaction: a store is whole by itself, and becomes part of one that is open already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import ConnectionHandler
from tortoise.transactions import in_transaction

from service.accounts.model import RefreshToken, User
from service.accounts.store import AccountStore
from service.background import Background
from service.database.orm import orm_config, orm_on
from service.database.pool import Executor, Pool, PoolOptions, Statement
from service.database.url import parse_database_url
from service.problems import DatabaseBusy, EmailTaken
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics
from tests.support.database import Database

ISOLATION = Statement("isolation", "SELECT current_setting('transaction_isolation') AS level")


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Pool]:
    """A pool with the models on it, as the service has them."""
    registry = CollectorRegistry()
    background = Background(BackgroundMetrics(registry))
    pool = Pool(PoolOptions(parse_database_url(database.url)), DatabaseMetrics(registry), background)
    await pool.open()
    await Tortoise.init(config=orm_config(lambda: pool), _enable_global_fallback=True)
    try:
        yield pool
    finally:
        await Tortoise.close_connections()
        await pool.close()
        await background.stop(1)


def accounts(executor: Executor) -> AccountStore:
    return AccountStore(executor, refresh_ttl_seconds=60, refresh_leeway_seconds=30)


class Undone(Exception):
    pass


async def test_a_store_on_an_open_transaction_is_undone_with_it(fresh_database: Database) -> None:
    async def sign_up_and_fail(pool: Pool) -> None:
        async with pool.transaction() as transaction:
            session = await accounts(transaction).sign_up("ada@example.com", "hash", None)
            await accounts(transaction).rotate(session.refresh_token)
            assert await accounts(transaction).user(session.user.id) == session.user
            assert await accounts(pool).user(session.user.id) is None, "nobody else sees it yet"
            raise Undone

    async with opened(fresh_database) as pool:
        with pytest.raises(Undone):
            await sign_up_and_fail(pool)
        assert await accounts(pool).user_by_email("ada@example.com") is None


async def test_what_fails_in_a_store_on_the_pool_leaves_nothing(fresh_database: Database) -> None:
    async with opened(fresh_database) as pool:
        await accounts(pool).sign_up("ada@example.com", "hash", None)
        with pytest.raises(EmailTaken):
            await accounts(pool).sign_up("ada@example.com", "hash", None)
        assert await User.all().using_db(orm_on(pool)).count() == 1
        assert await RefreshToken.all().using_db(orm_on(pool)).count() == 1


async def test_a_transaction_inside_another_is_that_one(fresh_database: Database) -> None:
    async with opened(fresh_database) as pool, pool.transaction() as transaction:
        async with transaction.transaction() as inner:
            assert inner is transaction
        async with orm_on(transaction)._in_transaction() as nested:
            assert await nested.execute_query_dict("SELECT count(*) AS n FROM users") == [{"n": 0}]


async def test_the_models_own_transactions_are_the_pools(fresh_database: Database) -> None:
    """As Aerich uses them: what runs inside finds the transaction by itself, and faults leave it as problems."""

    async def add_and_fail() -> None:
        async with in_transaction():
            await User.create(email="ada@example.com", password_hash="hash")
            assert await User.all().count() == 1
            raise Undone

    async def rename(user: User) -> None:
        async with in_transaction() as transaction:
            await transaction.execute_script("SET LOCAL lock_timeout = 50")
            await User.filter(id=user.id).update(name="Ada")

    async with opened(fresh_database) as pool:
        with pytest.raises(Undone):
            await add_and_fail()
        assert await User.all().count() == 0
        user = await User.create(email="ada@example.com", password_hash="hash")
        async with pool.transaction() as transaction:
            await User.filter(id=user.id).using_db(orm_on(transaction)).select_for_update()
            with pytest.raises(DatabaseBusy):
                await rename(user)
        await rename(user)


@pytest.fixture(params=["repeatable read", "serializable"])
def strict_database(fresh_database: Database, request: pytest.FixtureRequest) -> Database:
    setting = f"default_transaction_isolation = '{request.param}'"
    fresh_database.query(f'ALTER DATABASE "{fresh_database.name}" SET {setting}')
    return fresh_database


async def test_a_stricter_default_of_the_database_makes_no_difference(strict_database: Database) -> None:
    async with opened(strict_database) as pool, pool.transaction() as transaction:
        row = await transaction.fetchrow(ISOLATION)
        assert row is not None
        assert row["level"] == "read committed"


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (AsyncpgDBClient, ("create_connection", "_close", "acquire_connection", "_in_transaction")),
        (TransactionWrapper, ("acquire_connection", "_in_transaction")),
        (ConnectionHandler, ("get", "set", "reset")),
    ],
)
def test_tortoises_private_parts_are_where_they_are_used(owner: type, names: tuple[str, ...]) -> None:
    for name in names:
        assert hasattr(owner, name), f"Tortoise's {owner.__name__} has no {name} any more: see service/database/orm.py"
