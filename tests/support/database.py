"""A database of its own, and SQL beside the service."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg

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


def run_sql(url: str, sql: str, *arguments: object) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(sql, *arguments)  # type: ignore[no-any-return]
        finally:
            await connection.close()

    return asyncio.run(run())
