from tortoise import BaseDBAsyncClient
from tortoise.transactions import in_transaction

RUN_IN_TRANSACTION = False

# Move: count the tasks that users had before they were counted, some users at a time. Each portion locks the rows of its
# users first, as every writer does, and counts then: a writer waits as long as one portion takes, and none is missed.
# It can be interrupted and run again.

PORTION = 200


async def upgrade(db: BaseDBAsyncClient) -> str:
    last = "00000000-0000-0000-0000-000000000000"
    while True:
        async with in_transaction() as portion:
            users = await portion.execute_query_dict(
                "SELECT id FROM users WHERE id > $1 AND tasks_count IS NULL ORDER BY id LIMIT $2 FOR NO KEY UPDATE",
                [last, PORTION],
            )
            if not users:
                return "SELECT 'counted'"
            ids = [user["id"] for user in users]
            await portion.execute_query(
                "UPDATE users SET tasks_count = (SELECT count(*) FROM tasks WHERE user_id = users.id) WHERE id = ANY ($1)",
                [ids],
            )
        last = ids[-1]


async def downgrade(db: BaseDBAsyncClient) -> str:
    return "SELECT 'the numbers go with their column'"
