"""The release before the schema of this one, and many tasks in its schema."""

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from loadtests.database import connect
from loadtests.started import ROOT
from service.database.connection import Connection

COMMIT = "ccbc30b"
"""The last one whose schema ends with revision 10."""

TASKS_PER_USER = 100
PORTION = 500_000

USERS = """
    INSERT INTO users (id, email, password_hash)
    SELECT gen_random_uuid(), 'somebody-' || n || '@example.com', '' FROM generate_series(1, $1::int) n"""
TASKS = """
    INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at)
    SELECT gen_random_uuid(), users[1 + n % cardinality(users)], 'task ' || md5(n::text), 'two litres of whole milk',
        n % 10 = 0, now() - n * interval '1 second', now() - (n * 7919 % $2) * interval '1 second'
    FROM generate_series($1::bigint + 1, least($1 + $3, $2)) n, (SELECT array_agg(id) AS users FROM users) u"""
INDEXES = """
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
    WHERE indrelid = 'tasks'::regclass AND NOT indisprimary"""
COUNTED = "SELECT FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'tasks_count'"
COUNT = """
    UPDATE users SET tasks_count = n FROM (SELECT user_id, count(*) AS n FROM tasks GROUP BY user_id) AS counted
    WHERE users.id = user_id"""


def unpack(folder: Path) -> Path:
    """Ends the program when this clone does not have it."""
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=False)  # noqa: S603, S607  git, wherever PATH has it
    if archive.returncode:
        sys.exit(f"{COMMIT}, the old release, is not in this clone's history; get it with: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


async def fill(url: str, tasks: int) -> None:
    """As many tasks, of a hundredth as many users beside those who are there."""
    connections = [await connect(url) for _ in range(os.cpu_count() or 1)]
    first = connections[0]
    await first.execute(USERS, max(tasks // TASKS_PER_USER, 1))
    indexes = await first.fetch(INDEXES)
    for index in indexes:  # to build one in the end takes a fraction of the time
        await first.execute(f"DROP INDEX {index['name']}")
    begins = iter(range(0, tasks, PORTION))

    async def work(connection: Connection) -> None:
        await connection.execute("SET session_replication_role = replica")
        for begin in begins:
            await connection.execute(TASKS, begin, tasks, PORTION)

    async def build(connection: Connection) -> None:
        await connection.execute("SET maintenance_work_mem = '1GB'")
        for index in missing:
            await connection.execute(index["definition"])

    await asyncio.gather(*map(work, connections))
    missing = iter(indexes)
    await asyncio.gather(*map(build, connections))
    if await first.fetchrow(COUNTED) is not None:
        await first.execute(COUNT)
    await first.execute("VACUUM ANALYZE tasks, users")
    await first.execute("CHECKPOINT")
    for connection in connections:
        await connection.close()
