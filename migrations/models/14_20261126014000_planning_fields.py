from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True

# Expand: columns with constant defaults, which rewrite no table.


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        ALTER TABLE tasks ADD COLUMN due_on date, ADD COLUMN due_at timestamptz,
            ADD COLUMN priority smallint NOT NULL DEFAULT 0, ADD COLUMN labels text[] NOT NULL DEFAULT '{}';
        ALTER TABLE deleted_tasks ADD COLUMN due_on date, ADD COLUMN due_at timestamptz,
            ADD COLUMN priority smallint, ADD COLUMN labels text[];"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
        ALTER TABLE deleted_tasks DROP COLUMN labels, DROP COLUMN priority, DROP COLUMN due_at, DROP COLUMN due_on;
        ALTER TABLE tasks DROP COLUMN labels, DROP COLUMN priority, DROP COLUMN due_at, DROP COLUMN due_on;"""
