"""What a page is looked for in: users with ever more tasks and deletions, and the tasks of many others."""

import asyncio
import os
from datetime import UTC, datetime
from uuid import UUID

from loadtests.database import connect
from loadtests.started import Started
from service.database.connection import Connection
from service.tasks.fields import CONTENT

PORTION = 500_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

# Ids in the order of time, as the service would have made them. Half of the tasks are due, half of these on a day.
TASKS = """
    INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at,
        due_on, due_at, priority, labels)
    SELECT encode(int8send((1767225600000 + n) << 16) || substr(uuid_send(gen_random_uuid()), 9), 'hex')::uuid,
        $1, 'task ' || md5(n::text), 'two litres of whole milk', n % 10 = 0,
        $2::timestamptz + n * interval '1 second', $2::timestamptz + (n * 7919 % $3) * interval '1 second',
        CASE n % 4 WHEN 1 THEN $2::timestamptz::date + (n * 7907 % 1000)::int END,
        CASE n % 4 WHEN 3 THEN $2::timestamptz + (n * 7907 % $3) * interval '1 minute' END,
        CASE WHEN n % 1000 = 0 THEN 4 ELSE n % 4 END,
        CASE WHEN n % 1000 = 0 THEN ARRAY['home', 'rare'] WHEN n % 10 = 0 THEN ARRAY['home']
            WHEN n % 3 = 0 THEN ARRAY['work', 'project ' || n % 100] ELSE '{}' END
    FROM generate_series(1::bigint, $3::bigint) n"""

# As many deletions as tasks, every second of them erased, all since the user's clock was as it is now.
DELETIONS = """
    INSERT INTO deleted_tasks (id, user_id, deleted_at, title, description, completed, created_at, updated_at, priority,
        labels)
    SELECT gen_random_uuid(), users.id, tasks_clock + n * interval '1 microsecond', title, title, title <> '',
        CASE WHEN title <> '' THEN created_at END, CASE WHEN title <> '' THEN created_at END,
        CASE WHEN title <> '' THEN 0 END, CASE WHEN title <> '' THEN '{}'::text[] END
    FROM users, generate_series(1::bigint, $2::bigint) n,
        LATERAL (SELECT CASE n % 2 WHEN 0 THEN 'task ' || md5(n::text) END AS title) t
    WHERE users.id = $1"""
ADVANCE = "UPDATE users SET tasks_clock = GREATEST(clock_timestamp(), tasks_clock + interval '1 hour') WHERE id = $1"
ERASE = f"UPDATE deleted_tasks SET {', '.join(f'{name} = NULL' for name in CONTENT)} WHERE title IS NOT NULL"  # noqa: S608  fixed text

OTHER_USERS = """
    INSERT INTO users (id, email, password_hash)
    SELECT gen_random_uuid(), 'other-' || n || '@example.com', '' FROM generate_series(1, $1::int) n"""
OTHERS = """
    INSERT INTO tasks (id, user_id, title, completed, due_on, priority)
    SELECT gen_random_uuid(), users[1 + n % cardinality(users)], 'task ' || md5(n::text), n % 10 = 0,
        CASE n % 2 WHEN 1 THEN '2026-01-01'::date + n % 1000 END, n % 5
    FROM generate_series(1, $1::int) n, (SELECT array_agg(id) AS users FROM users WHERE email LIKE 'other-%') u"""


async def fill_tasks(service: Started, user_id: UUID, count: int) -> None:
    connection = await connect(service.database_url)
    await connection.execute(TASKS, user_id, BEGIN, count)
    await connection.execute(DELETIONS, user_id, count)
    await connection.execute(ADVANCE, user_id)
    await connection.close()


async def fill_others(service: Started, tasks: int, users: int) -> None:
    connections = [await connect(service.database_url) for _ in range(os.cpu_count() or 1)]
    await connections[0].execute(OTHER_USERS, users)
    portions = iter([min(PORTION, tasks - filled) for filled in range(0, tasks, PORTION)])

    async def work(connection: Connection) -> None:
        await connection.execute("SET session_replication_role = replica")  # nobody's clock or count matters here
        for portion in portions:
            await connection.execute(OTHERS, portion)

    await asyncio.gather(*map(work, connections))
    for connection in connections:
        await connection.close()


async def empty_trash(service: Started) -> None:
    connection = await connect(service.database_url)
    await connection.execute(ERASE)
    await connection.close()


async def vacuum(service: Started) -> None:
    connection = await connect(service.database_url)
    await connection.execute("VACUUM ANALYZE tasks, deleted_tasks, users")
    await connection.close()
