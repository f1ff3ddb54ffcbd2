"""From the driver's errors to ours, by SQLSTATE: one table, read top to bottom, the longest prefix wins."""

import ssl
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import asyncpg
from tortoise.exceptions import BaseORMException

from service.problems import (
    DatabaseBusy,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseSlow,
    DatabaseUnavailable,
    Invalid,
    Problem,
    SchemaBehind,
)

BY_SQLSTATE: dict[str, type[Problem]] = {
    "08": DatabaseUnavailable,  # connection exception
    "57P": DatabaseUnavailable,  # admin shutdown, crash shutdown, cannot connect now, database dropped
    "53300": DatabaseUnavailable,  # too many connections
    "53200": DatabaseUnavailable,  # out of memory
    "53": DatabaseUnavailable,  # insufficient resources
    "53100": DatabaseFull,  # disk full: reads still work
    "25006": DatabaseReadOnly,  # a standby answered: a failover is under way
    "57014": DatabaseSlow,  # statement_timeout
    "25P03": DatabaseSlow,  # idle_in_transaction_session_timeout
    "55P03": DatabaseBusy,  # lock_timeout
    "40P01": DatabaseBusy,  # deadlock
    "40001": DatabaseBusy,  # serialization failure
    "28": DatabaseUnavailable,  # our credentials are refused: not the caller's fault
    "42501": DatabaseUnavailable,  # a privilege was taken from our role: not the caller's fault either
    "42P01": SchemaBehind,  # a table
    "42703": SchemaBehind,  # a column
    "42883": SchemaBehind,  # a function
    "42P10": SchemaBehind,  # the unique index that an ON CONFLICT names
    "26000": DatabaseUnavailable,  # a statement that was prepared in another session: see SESSION_CHANGED
    "42P05": DatabaseUnavailable,  # one of this name is prepared in this session already
    "3D": DatabaseUnavailable,  # the database does not exist
    "58": DatabaseUnavailable,  # I/O error of the server
    "XX": DatabaseUnavailable,  # internal error of the server
}

READ_ONLY = "25006"
TOO_MANY_CONNECTIONS = "53300"

# A pooler lends another session with each transaction, which DB_POOLER says nothing of.
SESSION_CHANGED = frozenset({"26000", "42P05"})

# The statement was refused or rolled back and nothing of it remains: running it again is safe.
NOTHING_DONE = frozenset({"55P03", "40P01", "40001", READ_ONLY})

DATA_EXCEPTION = "22"

# A migration changed what a prepared statement returns; prepared anew, it will work.
STALE_PLAN = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)

_LOST = (
    OSError,
    ssl.SSLError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


def cause_of(error: BaseException) -> BaseException:
    """The driver's error, also where the ORM has wrapped it."""
    while isinstance(error, BaseORMException) and error.__cause__ is not None:
        error = error.__cause__
    return error


def sqlstate(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def schema_lacking(error: BaseException) -> bool:
    """The statement names something that the schema no longer has."""
    return isinstance(error, SchemaBehind) or BY_SQLSTATE.get(sqlstate(error)) is SchemaBehind


def connection_lost(error: BaseException) -> bool:
    """The connection went away under the statement; whether a write took effect is not known."""
    return isinstance(error, _LOST) and not isinstance(error, TimeoutError) and not _unsendable(error)


def of_database(error: BaseException) -> bool:
    """Something that the database or the way to it can do to anybody, and no mistake in this program."""
    return isinstance(error, (asyncpg.PostgresError, TimeoutError, *_LOST))


def _unsendable(error: BaseException) -> bool:
    """The driver could not put an argument on the wire, such as half of a surrogate pair."""
    return isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)


def translate(error: BaseException) -> Problem | None:
    """The answer for a fault of the database, or None for an error that is none (a bug of ours, a constraint)."""
    error = cause_of(error)
    if isinstance(error, Problem):
        return error
    if isinstance(error, TimeoutError):
        return DatabaseSlow()
    if isinstance(error, STALE_PLAN):
        return DatabaseBusy()
    state = sqlstate(error)
    if state.startswith(DATA_EXCEPTION) or _unsendable(error):
        return Invalid.field("", "The database cannot hold this value", "not_storable")
    for length in (5, 3, 2):
        if problem := BY_SQLSTATE.get(state[:length] if len(state) >= length else "-"):
            return problem()
    return DatabaseUnavailable() if isinstance(error, _LOST) else None


P = ParamSpec("P")
T = TypeVar("T")


def translating(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For code that goes through the ORM: faults of the database leave it as problems."""

    @wraps(work)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await work(*args, **kwargs)
        except Exception as error:
            if (problem := translate(error)) is not None and problem is not error:
                raise problem from error
            raise

    return translated
