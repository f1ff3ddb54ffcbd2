from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True

# Expand: columns with constant defaults, which rewrite no table. The previous release's deletions keep them, too: the
# trigger's function is made anew.


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        ALTER TABLE tasks ADD COLUMN due_on date, ADD COLUMN due_at timestamptz,
            ADD COLUMN priority smallint NOT NULL DEFAULT 0, ADD COLUMN labels text[] NOT NULL DEFAULT '{}';
        ALTER TABLE deleted_tasks ADD COLUMN due_on date, ADD COLUMN due_at timestamptz,
            ADD COLUMN priority smallint, ADD COLUMN labels text[];
        CREATE OR REPLACE FUNCTION keep_deleted_task() RETURNS trigger LANGUAGE plpgsql AS $fn$
        DECLARE
            moment timestamptz;
        BEGIN
            IF NOT EXISTS (SELECT FROM deleted_tasks WHERE id = OLD.id) THEN
                moment := advance_tasks_clock(OLD.user_id, -1);
                IF moment IS NOT NULL THEN
                    INSERT INTO deleted_tasks
                        (id, user_id, deleted_at, title, description, completed, created_at, updated_at, completed_at,
                        due_on, due_at, priority, labels)
                    VALUES (OLD.id, OLD.user_id, moment, OLD.title, OLD.description, OLD.completed, OLD.created_at,
                        OLD.updated_at, OLD.completed_at, OLD.due_on, OLD.due_at, OLD.priority, OLD.labels);
                END IF;
            END IF;
            RETURN NULL;
        END $fn$;"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
        CREATE OR REPLACE FUNCTION keep_deleted_task() RETURNS trigger LANGUAGE plpgsql AS $fn$
        DECLARE
            moment timestamptz;
        BEGIN
            IF NOT EXISTS (SELECT FROM deleted_tasks WHERE id = OLD.id) THEN
                moment := advance_tasks_clock(OLD.user_id, -1);
                IF moment IS NOT NULL THEN
                    INSERT INTO deleted_tasks
                        (id, user_id, deleted_at, title, description, completed, created_at, updated_at, completed_at)
                    VALUES (OLD.id, OLD.user_id, moment, OLD.title, OLD.description, OLD.completed, OLD.created_at,
                        OLD.updated_at, OLD.completed_at);
                END IF;
            END IF;
            RETURN NULL;
        END $fn$;
        ALTER TABLE deleted_tasks DROP COLUMN labels, DROP COLUMN priority, DROP COLUMN due_at, DROP COLUMN due_on;
        ALTER TABLE tasks DROP COLUMN labels, DROP COLUMN priority, DROP COLUMN due_at, DROP COLUMN due_on;"""
