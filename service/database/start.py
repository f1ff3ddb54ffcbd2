"""The first connection: waited for while that can help, and refused in a sentence where it cannot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import asyncpg
import structlog
from tortoise.exceptions import BaseORMException

from service.database.connection import FAULTS, Connection, Connector, PoolOptions
from service.database.faults import DatabaseFault, passing, sentence
from service.database.session import ISOLATION, PLANNER, role_sql
from service.problems import Problem

log = structlog.get_logger()

WAIT_SECONDS = 60.0
INTERVAL_SECONDS = 0.2
VERSION_MIN = 15
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")

_SETTINGS = """
    SELECT name, current_setting(name) AS value FROM unnest(ARRAY['default_transaction_isolation',
        'transaction_read_only', 'statement_timeout', 'random_page_cost', 'enable_bitmapscan']) AS name
    UNION ALL SELECT 'role', current_user::text UNION ALL SELECT 'login', session_user::text"""
_MISSING = "SELECT string_agg(name, ', ' ORDER BY name) FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL"
_DENIED = """
    SELECT name, array_agg(privilege ORDER BY privilege) AS privileges
    FROM unnest($1::text[]) AS name, unnest($2::text[]) AS privilege
    WHERE to_regclass(name) IS NOT NULL AND NOT has_table_privilege(to_regclass(name), privilege)
    GROUP BY name ORDER BY name"""


async def connect(options: PoolOptions, wait_seconds: float = WAIT_SECONDS) -> Connection:
    """A connection of one's own, waiting for a database that is still starting. Raises DatabaseFault."""
    connector, deadline, told = Connector(options), monotonic() + wait_seconds, ""
    while True:
        try:
            connection = await connector.connect()
        except FAULTS as error:
            reason = sentence(error, options.database)
            if not passing(error) or monotonic() > deadline:
                raise DatabaseFault(f"The database cannot be used: {reason}") from error
            if reason != told:
                log.info("database_awaited", reason=reason, seconds=wait_seconds)
                told = reason
        else:
            return await _fit(connection)
        await asyncio.sleep(INTERVAL_SECONDS)


async def _fit(connection: Connection) -> Connection:
    """A server that nothing here was tested with is refused before anything is read or written."""
    version, encoding = connection.get_server_version(), connection.get_settings().server_encoding
    fault = ""
    if version.major < VERSION_MIN:
        fault = f"it is PostgreSQL {version.major}, and {VERSION_MIN} is the oldest that the service works with"
    elif encoding != "UTF8":
        fault = f"its encoding is {encoding}, and text needs UTF8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    if fault:
        await connection.end(1)
        raise DatabaseFault(f"The database cannot be used: {fault}")
    return connection


async def check_pooler(connection: Connection, options: PoolOptions) -> None:
    """That sessions are ours alone, which prepared statements, settings and LISTEN rest on. Raises DatabaseFault.

    While another connection is in a transaction, neither of the two may turn up in a session that the other has had.
    """
    session = await _session(connection)
    try:
        other = await Connector(options).connect()
    except FAULTS:
        return  # the database has no room for a second one
    try:
        async with other.transaction():
            shared = session == await _session(other) or session != await _session(connection)
    finally:
        await other.end(1)
    if shared:
        raise DatabaseFault(
            "The database cannot be used: a pooler in between lends another session with each transaction;"
            " set DB_POOLER=transaction, or let it pool by session"
        )


async def _session(connection: Connection) -> asyncpg.Record:
    return await connection.fetchrow("SELECT pg_backend_pid(), pg_postmaster_start_time()")


async def check_session(connection: Connection, tables: list[str]) -> None:
    """What a pooler may have kept from the server, and what the role may do with the tables. Raises DatabaseFault."""
    found = {row["name"]: row["value"] for row in await connection.fetch(_SETTINGS)}
    fault = _isolation(found) or await _tables(connection, tables, found["role"])
    if fault:
        raise DatabaseFault(f"The database cannot be used: {fault}")
    if found["transaction_read_only"] == "on":
        log.warning("database_read_only")
    unset = [name for name, wanted in PLANNER if found[name] != wanted]
    unset += ["statement_timeout"] if found["statement_timeout"] == "0" else []
    if unset:
        log.warning("role_settings_missing", role=found["login"], settings=unset)


def _isolation(found: dict[str, str]) -> str:
    (name, wanted) = ISOLATION[0]
    if found[name] == wanted:
        return ""
    (statement,) = role_sql(found["login"], ((name, wanted),))
    return f"{name} is {found[name]}, and a pooler keeps the service from setting it. Run: {statement}"


async def _tables(connection: Connection, tables: list[str], role: str) -> str:
    missing = await connection.fetchval(_MISSING, tables)
    if missing:
        return (
            f"its revisions are applied, yet it lacks {missing}; restore it, or let migrations make it anew in an"
            " empty one"
        )
    denied = await connection.fetch(_DENIED, tables, PRIVILEGES)
    lacking = "; ".join(f"{', '.join(row['privileges'])} on {row['name']}" for row in denied)
    return f"the role {role} lacks {lacking}" if lacking else ""


@asynccontextmanager
async def told_in_a_sentence() -> AsyncIterator[None]:
    """Faults of the database in the middle of a command. Raises DatabaseFault."""
    try:
        yield
    except (*FAULTS, BaseORMException, Problem) as error:
        cause = error.__cause__ if isinstance(error, Problem) else error
        raise DatabaseFault(f"The database cannot be used: {sentence(cause) if cause else error}") from error
