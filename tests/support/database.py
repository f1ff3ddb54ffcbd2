"""A database of its own, and SQL beside the service."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg

SERVER = "TASKS_TEST_POSTGRES"
"""Where in the environment the URL of the run's server is."""

TEMPLATE = "template_tasks"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Database:
    url: str
    name: str
    server: str

    @classmethod
    def create(cls, server: str, name: str, template: str = "template1") -> Self:
        """`server` is the URL of its database "postgres"."""
        run_sql(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        run_sql(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return cls(server.replace("/postgres?", f"/{name}?"), name, server)

    @classmethod
    def with_schema(cls, name: str) -> Self:
        """A copy of the run's migrated template."""
        return cls.create(os.environ[SERVER], name, template=TEMPLATE)

    def drop(self) -> None:
        run_sql(self.server, f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    def upgrade(self) -> None:
        self.migrate("upgrade", check=True)

    def migrate(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """`python -m service migrate …` on this database."""
        return run_command("migrate", *arguments, check=check, DATABASE_URL=self.url)

    def query(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        return run_sql(self.url, sql, *arguments)

    def value(self, sql: str, *arguments: object) -> Any:
        return self.query(sql, *arguments)[0][0]


def run_command(*arguments: str, check: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m service …`, with only `env` of the service's settings in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env={**bare_environment(), **env},
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )


def bare_environment() -> dict[str, str]:
    """The environment without anything that the service would read as a setting."""
    return {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")}


@contextmanager
def held(url: str, sql: str) -> Iterator[None]:
    """Keep open what `sql` began, a transaction with its locks, until the block ends."""
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as thread:
        connection = thread.submit(loop.run_until_complete, asyncpg.connect(url, loop=loop)).result(10)
        try:
            thread.submit(loop.run_until_complete, connection.execute(sql)).result(10)
            yield
        finally:
            thread.submit(loop.run_until_complete, connection.close()).result(10)
    loop.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def run_sql(url: str, sql: str, *arguments: object) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(sql, *arguments)  # type: ignore[no-any-return]  # asyncpg ships no types
        finally:
            await connection.close()

    return asyncio.run(run())
