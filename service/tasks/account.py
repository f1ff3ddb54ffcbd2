"""What belongs to an account: nothing any more once it has ended, although its rows may still be there."""

from uuid import UUID

import asyncpg

from service.database.pool import Executor, Statement
from service.problems import Unauthorized


def of_account(columns: str, rows: str, *, user_id: str = "$1") -> str:
    """`columns` of the user's row and of `rows`, which are named `found`.

    There is one row also where nothing was found, and none when the account is gone.
    """
    return (
        f"SELECT {columns} FROM users LEFT JOIN LATERAL ({rows}) AS found ON true"  # noqa: S608  fixed text
        f" WHERE users.id = {user_id} AND ended_at IS NULL"
    )


async def fetch_of_account(db: Executor, statement: Statement, user_id: UUID, *rest: object) -> list[asyncpg.Record]:
    """The rows of a statement made with `of_account`, one at least. Raises Unauthorized when the account is gone."""
    rows = await db.fetch(statement, user_id, *rest)
    if not rows:
        raise Unauthorized
    return rows
