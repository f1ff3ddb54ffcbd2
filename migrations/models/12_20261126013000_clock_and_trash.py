from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True

# Expand: new columns with constant defaults, which rewrite no table, a new table, and triggers that set the clock for
# writes of the previous release. They hold locks on users and tasks for a moment each.
#
# The previous release knows nothing of the clock: its writes leave `clocked` as it is, and its deletions put nothing
# into `deleted_tasks`. Triggers see both and do what it leaves undone, so that the clock, the number of tasks and every
# sync token stay right while both releases run. They go in the contract step, when it cannot run any more.
#
# SQL beside the service (another application_name) keeps the times that it gives; two triggers keep the number right
# for it, with one update for each user and statement, so that tasks can be loaded in bulk.
#
# Users who exist get the time of this migration as their clock, read after its lock on tasks: every change so far is
# earlier.


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE;
        ALTER TABLE tasks ADD COLUMN completed_at timestamptz, ADD COLUMN clocked boolean NOT NULL DEFAULT false;
        DO $do$ BEGIN
            EXECUTE format('ALTER TABLE users ADD COLUMN tasks_clock timestamptz NOT NULL DEFAULT %L,'
                ' ADD COLUMN tasks_count int', clock_timestamp());
        END $do$;
        ALTER TABLE users ALTER COLUMN tasks_clock SET DEFAULT now(), ALTER COLUMN tasks_count SET DEFAULT 0;
        ALTER TABLE users SET (fillfactor = 80);
        CREATE TABLE deleted_tasks (
            id uuid NOT NULL PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            deleted_at timestamptz NOT NULL,
            title varchar(500),
            description text,
            completed boolean,
            created_at timestamptz,
            updated_at timestamptz,
            completed_at timestamptz
        );
        CREATE INDEX deleted_tasks_by_user ON deleted_tasks (user_id, deleted_at, id);
        CREATE INDEX deleted_tasks_by_deleted_at ON deleted_tasks (deleted_at);
        CREATE FUNCTION advance_tasks_clock(of_user uuid, counted int) RETURNS timestamptz LANGUAGE sql AS $fn$
            UPDATE users SET tasks_clock = GREATEST(clock_timestamp(), tasks_clock + interval '1 microsecond'),
                tasks_count = tasks_count + counted
            WHERE id = of_user AND ended_at IS NULL RETURNING tasks_clock
        $fn$;
        CREATE FUNCTION clock_unclocked_task() RETURNS trigger LANGUAGE plpgsql AS $fn$
        DECLARE
            moment timestamptz := advance_tasks_clock(NEW.user_id, CASE TG_OP WHEN 'INSERT' THEN 1 ELSE 0 END);
        BEGIN
            IF moment IS NOT NULL THEN
                NEW.updated_at := moment;
                NEW.completed_at := CASE WHEN NOT NEW.completed THEN NULL
                    WHEN TG_OP = 'UPDATE' THEN CASE WHEN OLD.completed THEN OLD.completed_at ELSE moment END
                    ELSE moment END;
            END IF;
            RETURN NEW;
        END $fn$;
        CREATE FUNCTION keep_deleted_task() RETURNS trigger LANGUAGE plpgsql AS $fn$
        DECLARE
            moment timestamptz;
        BEGIN
            -- What this release deletes is there already, with a later time than the task had
            IF NOT EXISTS (SELECT FROM deleted_tasks WHERE id = OLD.id AND deleted_at > OLD.updated_at) THEN
                moment := advance_tasks_clock(OLD.user_id, -1);
                IF moment IS NOT NULL THEN
                    DELETE FROM deleted_tasks WHERE id = OLD.id;
                    -- By the columns' names, so that one that comes later needs no other function
                    INSERT INTO deleted_tasks SELECT (jsonb_populate_record(
                        NULL::deleted_tasks, to_jsonb(OLD) || jsonb_build_object('deleted_at', moment))).*;
                END IF;
            END IF;
            RETURN NULL;
        END $fn$;
        CREATE FUNCTION count_tasks() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            -- What this release wrote is counted already, whatever its connections are called
            IF TG_OP = 'INSERT' THEN
                PERFORM advance_tasks_clock(user_id, n::int) FROM (SELECT user_id, count(*) AS n FROM changed
                    WHERE NOT clocked GROUP BY user_id ORDER BY user_id) AS users;
            ELSE
                PERFORM advance_tasks_clock(user_id, -n::int) FROM (SELECT user_id, count(*) AS n FROM changed
                    WHERE NOT EXISTS (SELECT FROM deleted_tasks d WHERE d.id = changed.id AND deleted_at > updated_at)
                    GROUP BY user_id ORDER BY user_id) AS users;
            END IF;
            RETURN NULL;
        END $fn$;
        CREATE TRIGGER tasks_clock_insert BEFORE INSERT ON tasks FOR EACH ROW
            WHEN (current_setting('application_name') = 'tasks-service' AND NOT NEW.clocked)
            EXECUTE FUNCTION clock_unclocked_task();
        CREATE TRIGGER tasks_clock_update BEFORE UPDATE ON tasks FOR EACH ROW
            WHEN (current_setting('application_name') = 'tasks-service' AND NEW.clocked = OLD.clocked)
            EXECUTE FUNCTION clock_unclocked_task();
        CREATE TRIGGER tasks_keep_deleted AFTER DELETE ON tasks FOR EACH ROW
            WHEN (current_setting('application_name') = 'tasks-service') EXECUTE FUNCTION keep_deleted_task();
        CREATE TRIGGER tasks_count_insert AFTER INSERT ON tasks REFERENCING NEW TABLE AS changed
            WHEN (current_setting('application_name') <> 'tasks-service') EXECUTE FUNCTION count_tasks();
        CREATE TRIGGER tasks_count_delete AFTER DELETE ON tasks REFERENCING OLD TABLE AS changed
            WHEN (current_setting('application_name') <> 'tasks-service') EXECUTE FUNCTION count_tasks();"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
        DROP TRIGGER tasks_count_delete ON tasks;
        DROP TRIGGER tasks_count_insert ON tasks;
        DROP TRIGGER tasks_keep_deleted ON tasks;
        DROP TRIGGER tasks_clock_update ON tasks;
        DROP TRIGGER tasks_clock_insert ON tasks;
        DROP FUNCTION count_tasks();
        DROP FUNCTION keep_deleted_task();
        DROP FUNCTION clock_unclocked_task();
        DROP FUNCTION advance_tasks_clock(uuid, int);
        DROP TABLE deleted_tasks;
        ALTER TABLE users RESET (fillfactor), DROP COLUMN tasks_count, DROP COLUMN tasks_clock;
        ALTER TABLE tasks DROP COLUMN clocked, DROP COLUMN completed_at;"""
