from tortoise import BaseDBAsyncClient

from service.database.indexes import build_index, drop_index

RUN_IN_TRANSACTION = False

# Expand: an index for an order of the list, built while everybody reads and writes.


async def upgrade(db: BaseDBAsyncClient) -> str:
    await build_index(
        db,
        "tasks_by_due",
        "tasks (user_id, (coalesce(due_at, ((due_on + 1)::timestamp - interval '1 microsecond') AT TIME ZONE 'UTC')), id,"
        " completed)",
    )
    return "SELECT 'built'"


async def downgrade(db: BaseDBAsyncClient) -> str:
    await drop_index(db, "tasks_by_due")
    return "SELECT 'dropped'"
