"""What is deleted beside the requests, in small portions that let them go first; several pods doing so is harmless."""

import asyncio
from functools import partial

from service.accounts import limits
from service.accounts import store as accounts
from service.background import Background
from service.database.pool import Pool, Statement
from service.rest import idempotency
from service.tasks import trash
from service.telemetry.background_metrics import BackgroundTask

EXPIRED_INTERVAL_SECONDS = 300.0
EXPIRED: tuple[tuple[BackgroundTask, Statement], ...] = (
    ("session_purge", accounts.PURGE),
    ("idempotency_purge", idempotency.PURGE),
    ("rate_limit_purge", limits.PURGE),
)
"""Each on its own, so that one that fails leaves the others alone and is seen."""

ENDED_INTERVAL_SECONDS = 5.0
"""Where no account has ended, a round reads one page of an empty index."""

JITTER = 0.5
PORTION = 1000
PAUSE_SECONDS = 0.1


def _of_account(table: str) -> Statement:
    # What another pod is deleting right now is left to it: two that wait for each other would be a deadlock.
    portion = f"SELECT id FROM {table} WHERE user_id = $1 LIMIT {PORTION} FOR UPDATE SKIP LOCKED"  # noqa: S608  our own names
    return Statement("account_purge", f"DELETE FROM {table} WHERE id IN ({portion}) RETURNING id")  # noqa: S608  our own names


OF_ACCOUNTS = {
    "tasks": _of_account("tasks"),
    "deleted_tasks": _of_account("deleted_tasks"),
    "idempotency_keys": idempotency.PURGE_ACCOUNT,
    "refresh_tokens": _of_account("refresh_tokens"),
}
"""Tables that may hold more of one account than a statement can delete; what else refers to it goes with its row."""


def purge_regularly(pool: Pool, background: Background, *, trash_retention_seconds: float) -> None:
    for name, statement in EXPIRED:
        background.every(name, partial(_purge, pool, statement), seconds=EXPIRED_INTERVAL_SECONDS, jitter=JITTER)
    forget = partial(_purge, pool, trash.PURGE, trash_retention_seconds)
    background.every("trash_purge", forget, seconds=EXPIRED_INTERVAL_SECONDS, jitter=JITTER)
    background.every("account_purge", partial(_purge_accounts, pool), seconds=ENDED_INTERVAL_SECONDS, jitter=JITTER)


async def _purge_accounts(pool: Pool) -> None:
    """All that accounts which have ended still have, and then they themselves."""
    for account in await pool.fetch(accounts.ENDED):
        for portion in OF_ACCOUNTS.values():
            await _purge(pool, portion, account["id"])
        await pool.fetch(accounts.REMOVE, account["id"])


async def _purge(pool: Pool, statement: Statement, *arguments: object) -> None:
    while await pool.fetch(statement, *arguments):  # noqa: ASYNC110  there is no event to wait for: it lets requests go first
        await asyncio.sleep(PAUSE_SECONDS)
