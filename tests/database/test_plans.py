"""The plans behind the list: whatever is asked, PostgreSQL neither reads a whole table nor sorts a whole user."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.database.session import PLANNER
from service.database.statement import Statement
from service.tasks.changes import READ
from service.tasks.orders import ORDERS
from service.tasks.paging import ListParameters, TaskQuery
from service.tasks.store import CLOCK, SELECT
from service.tasks.trash import ERASE_SOME
from tests.support.database import Database, connected
from tests.support.drill import pick, report
from tests.support.users import User

TASKS = pick(5_000, 100_000)
OTHERS = pick(145_000, 9_900_000)
OTHER_USERS = pick(1_000, 100_000)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
INDEX_BLOCKS = 10
"""An index of 10 million entries is four levels deep, and its leaf may end in the middle of a page."""

USER_BLOCKS = 5
"""The user's row by its key, for the clock."""

SORTS = [f"{sign}{order}" for order in ORDERS for sign in ("", "-")]
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "open": {"completed": False},
    "done (one in a thousand)": {"completed": True},
    "created": {
        "created_from": NOW + timedelta(seconds=TASKS * 0.4),
        "created_to": NOW + timedelta(seconds=TASKS * 0.41),
    },
    "updated": {
        "updated_from": NOW + timedelta(seconds=TASKS * 0.4),
        "updated_to": NOW + timedelta(seconds=TASKS * 0.41),
    },
    "due": {
        "due_from": (NOW + timedelta(seconds=TASKS * 0.4)).isoformat(),
        "due_to": (NOW + timedelta(seconds=TASKS * 0.41)).isoformat(),
    },
    "priority": {"priority": ("high", "urgent")},
    "label (one in a thousand)": {"label": ("rare",)},
    "q, often": {"q": "task"},
    "q, never": {"q": "nowhere"},
    "q, beyond ASCII": {"q": "täsk"},
}

FILL = """
    INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at, due_at, priority, labels)
    SELECT gen_random_uuid(), $1, 'task ' || md5(n::text), 'all about ' || n, n % 1000 = 0,
        $2::timestamptz + n * interval '1 second', $2::timestamptz + ((n * 7919) % $3) * interval '1 second',
        CASE WHEN n % 10 > 0 THEN $2::timestamptz + ((n * 104729) % $3) * interval '1 second' END, n % 5,
        CASE WHEN n % 1000 = 0 THEN ARRAY['rare'] ELSE '{}' END
    FROM generate_series(1, $3) n"""
FILL_OTHERS = """
    INSERT INTO tasks (id, user_id, title, completed)
    SELECT gen_random_uuid(), users[1 + n % $1], 'task ' || md5(n::text), n % 2 = 0
    FROM generate_series(1, $2) n, (SELECT array_agg(id) AS users FROM users WHERE id <> $3) u"""


def place(sort: str, part: float) -> object:
    """The key of the task behind about this part of the user's tasks, from the order's lower end."""
    time = NOW + timedelta(seconds=TASKS * part)
    keys = {"title": f"task {max(1, int(part * 16)):x}", "due": time.isoformat(), "priority": int(part * 5)}
    return keys.get(sort.removeprefix("-"), time)


@pytest.fixture(scope="module")
def big_user(worker: str) -> Iterator[tuple[Database, UUID]]:
    """One user with many tasks among many users with few."""
    database = Database.with_schema(f"plans_{worker}")
    user_id = uuid4()
    users = (
        "INSERT INTO users (id, email, password_hash) SELECT {}, n || '@example.com', '' FROM generate_series(1, {}) n"
    )
    database.query(users.format("gen_random_uuid()", OTHER_USERS))
    database.query("INSERT INTO users (id, email, password_hash) VALUES ($1, 'big@example.com', '')", user_id)
    for portion in [500_000] * (OTHERS // 500_000) + [OTHERS % 500_000]:
        database.query(FILL_OTHERS, OTHER_USERS, portion, user_id)
    database.query(FILL, user_id, NOW, TASKS)
    database.query("VACUUM ANALYZE tasks")
    yield database, user_id
    database.drop()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


async def _explain(connection: asyncpg.Connection, query: TaskQuery, user_id: UUID) -> dict[str, Any]:
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.statement.sql}"
    text = await connection.fetchval(explain, *query.arguments(user_id))
    return dict(json.loads(text)[0])


async def _plan(connection: asyncpg.Connection, sql: str, arguments: Iterable[object]) -> dict[str, Any]:
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
    return dict(json.loads(text)[0]["Plan"])


def _blocks(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


@pytest.mark.drill
@pytest.mark.parametrize("cache_mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_order_or_filter_reads_the_table_or_sorts_the_user(
    big_user: tuple[Database, UUID], cache_mode: str
) -> None:
    """Both with the values known, and with the one plan for all values that a prepared statement may settle on."""
    database, user_id = big_user
    bad, times = [], {}
    async with connected(database.url) as connection:
        for name, value in (*PLANNER, ("plan_cache_mode", cache_mode)):
            await connection.execute(f"SET {name} = {value}")
        for sort, (name, filters), late in itertools.product(SORTS, FILTERS.items(), (False, True)):
            middle = place(sort, 0.5)
            parameters = ListParameters.model_validate({"sort": sort, **filters})
            query = TaskQuery(parameters, after=(middle, user_id) if late else None)
            plan = await _explain(connection, query, user_id)
            where = f"{sort}, {name}{', later page' if late else ''}"
            times[where] = plan["Execution Time"]
            for node in _nodes(plan["Plan"]):
                sorted_rows = sum(child["Actual Rows"] for child in node.get("Plans", []))
                # Which tasks have a priority is known to an index, and the planner may collect and sort those.
                sorts = node["Node Type"] == "Sort" and sorted_rows > TASKS / 20 and name != "priority"
                if node["Node Type"] == "Seq Scan" or sorts:
                    bad.append(f"{where}: {node['Node Type']} of {sorted_rows or node['Actual Rows']} rows")
    slowest = sorted(times, key=lambda where: times[where])[-4:]
    report(
        f"list plans, {cache_mode}",
        tasks=TASKS,
        others=OTHERS,
        median_ms=sorted(times.values())[len(times) // 2],
        **{f"{where} ms": times[where] for where in slowest},
    )
    assert bad == []


@pytest.mark.parametrize("sort", SORTS)
async def test_a_page_touches_its_tasks_and_no_more_however_many_there_are(
    big_user: tuple[Database, UUID], sort: str
) -> None:
    """In blocks, which a busy machine does not change: one for each task and some for the index, early and late."""
    database, user_id = big_user
    limit = 20
    async with connected(database.url) as connection:
        for name, value in PLANNER:
            await connection.execute(f"SET {name} = {value}")
        for after in (None, (place(sort, 0.05 if sort.startswith("-") else 0.95), user_id)):
            query = TaskQuery(ListParameters.model_validate({"sort": sort, "limit": str(limit)}), after=after)
            plan = (await _explain(connection, query, user_id))["Plan"]
            assert limit + 1 in {node["Actual Rows"] for node in _nodes(plan)}
            assert _blocks(plan) <= limit + 1 + INDEX_BLOCKS + USER_BLOCKS


@pytest.mark.parametrize("sort", [sort for sort in SORTS if ORDERS[sort.removeprefix("-")].can_be_missing])
async def test_those_without_a_key_are_found_in_its_index(big_user: tuple[Database, UUID], sort: str) -> None:
    database, user_id = big_user
    limit = 20
    async with connected(database.url) as connection:
        for name, value in PLANNER:
            await connection.execute(f"SET {name} = {value}")
        for place_of_id in (0x10, 0x80, 0xF0):
            after = (None, UUID(int=place_of_id << 120))
            query = TaskQuery(ListParameters.model_validate({"sort": sort, "limit": str(limit)}), after=after)
            plan = (await _explain(connection, query, user_id))["Plan"]
            assert {f"tasks_by_{sort.removeprefix('-')}"} == {
                node["Index Name"] for node in _nodes(plan) if "tasks" in node.get("Index Name", "")
            }
            assert _blocks(plan) <= limit + 1 + INDEX_BLOCKS + USER_BLOCKS


CALLERS = 8
SHARED: dict[str, tuple[Statement, Callable[[UUID], tuple[object, ...]]]] = {
    "list of 20": (TaskQuery(ListParameters(limit=20)).statement, lambda user_id: (user_id, 21, None)),
    "list of 100": (TaskQuery(ListParameters()).statement, lambda user_id: (user_id, 101, None)),
    "by due": (TaskQuery(ListParameters(sort="due")).statement, lambda user_id: (user_id, 101, None)),
    "clock": (CLOCK, lambda user_id: (user_id,)),
    "task": (SELECT, lambda user_id: (uuid4(), user_id)),
}


@pytest.mark.parametrize("cache_mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", SHARED)
async def test_a_statement_for_many_touches_what_each_would_alone(
    big_user: tuple[Database, UUID], name: str, cache_mode: str
) -> None:
    database, user_id = big_user
    statement, arguments = SHARED[name]
    assert statement.many is not None
    async with connected(database.url) as connection:
        for setting, value in (*PLANNER, ("plan_cache_mode", cache_mode)):
            await connection.execute(f"SET {setting} = {value}")
        others = await connection.fetch("SELECT id FROM users WHERE id <> $1 LIMIT $2", user_id, CALLERS - 1)
        asked = [arguments(user) for user in (user_id, *(UUID(int=row["id"].int) for row in others))]
        alone = [_blocks(await _plan(connection, statement.sql, given)) for given in asked]
        plan = await _plan(connection, statement.many, [list(values) for values in zip(*asked, strict=True)])
    assert "Seq Scan" not in {node["Node Type"] for node in _nodes(plan)}
    assert _blocks(plan) <= sum(alone)


@pytest.mark.parametrize("filters", [{}, {"q": "nowhere"}, {"sort": "-due", "limit": "500"}])
async def test_a_page_that_is_known_touches_no_task(big_user: tuple[Database, UUID], filters: dict[str, Any]) -> None:
    database, user_id = big_user
    query = TaskQuery(ListParameters.model_validate(filters))
    async with connected(database.url) as connection:
        clock = await connection.fetchval(CLOCK.sql, user_id)
        plan = await _plan(connection, query.statement.sql, query.arguments(user_id, clock))
        row = await connection.fetchrow(query.statement.sql, *query.arguments(user_id, clock))
        later = await connection.fetchrow(query.statement.sql, *query.arguments(user_id, clock + 0.000001))
    assert row is not None
    assert later is not None
    assert (row["documents"], row["lengths"]) == (None, None)
    assert (later["documents"] is None) == ("q" in filters)
    assert _blocks(plan) <= USER_BLOCKS


async def test_a_list_that_has_not_changed_costs_one_row(big_user: tuple[Database, UUID]) -> None:
    database, user_id = big_user
    async with connected(database.url) as connection:
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {CLOCK.sql}", user_id)
        plan = json.loads(text)[0]["Plan"]
    assert {node.get("Relation Name", "users") for node in _nodes(plan)} == {"users"}
    assert _blocks(plan) <= USER_BLOCKS


async def test_a_first_sync_walks_over_no_deletion(database: Database, user: User, other_user: User) -> None:
    """What was deleted before it is none of its business, however much that is."""
    deletions = (
        "INSERT INTO deleted_tasks (id, user_id, deleted_at)"
        " SELECT gen_random_uuid(), $1, now() + $2 * n * interval '1 second' FROM generate_series(1, 20000) n"
    )
    beginning, later = datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(seconds=1)
    async with connected(database.url) as connection:
        for name, value in PLANNER:
            await connection.execute(f"SET {name} = {value}")
        await connection.execute(deletions, user.id, -1)
        await connection.execute(deletions, other_user.id, 1)
        await connection.execute("UPDATE users SET tasks_clock = now() WHERE id = $1", user.id)
        await connection.execute("ANALYZE deleted_tasks")
        for first_sync in (None, later):
            plan = await _plan(connection, READ.sql, (user.id, beginning, UUID(int=0), first_sync, 101))
            assert _blocks(plan) <= 2 * INDEX_BLOCKS + USER_BLOCKS


async def test_a_portion_of_the_trash_is_erased_without_a_walk_over_those_before(
    database: Database, user: User
) -> None:
    rows = (
        "INSERT INTO deleted_tasks (id, user_id, deleted_at, title)"
        " SELECT gen_random_uuid(), $1, $2::timestamptz + n * interval '1 second', $3 FROM generate_series(1, $4) n"
    )
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    async with connected(database.url) as connection:
        for name, value in PLANNER:
            await connection.execute(f"SET {name} = {value}")
        await connection.execute(rows, user.id, begun, None, 20_000)
        await connection.execute(rows, user.id, begun + timedelta(days=1), "left", 10)
        await connection.execute("ANALYZE deleted_tasks")
        place = begun + timedelta(seconds=20_000)
        async with connection.transaction():
            portion = (user.id, place, UUID(int=2**128 - 1), begun + timedelta(days=2))
            plan = await _plan(connection, ERASE_SOME.sql, portion)
        left = await connection.fetchval(
            "SELECT count(*) FROM deleted_tasks WHERE user_id = $1 AND title = 'left'", user.id
        )
    assert left == 0
    assert _blocks(plan) < 200, "some for each of the ten, and none for those that were erased before"


@pytest.mark.parametrize("part", [0, 0.95])
async def test_changes_touch_what_they_tell_and_no_more(big_user: tuple[Database, UUID], part: float) -> None:
    database, user_id = big_user
    limit = 20
    since = NOW + timedelta(seconds=TASKS * part)
    async with connected(database.url) as connection:
        for name, value in PLANNER:
            await connection.execute(f"SET {name} = {value}")
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {READ.sql}"
        text = await connection.fetchval(explain, user_id, since, UUID(int=0), NOW, limit + 1)
        plan = json.loads(text)[0]["Plan"]
    assert plan["Actual Rows"] == limit + 1
    assert "Seq Scan" not in {node["Node Type"] for node in _nodes(plan)}
    assert _blocks(plan) <= limit + 1 + 2 * INDEX_BLOCKS + USER_BLOCKS


async def test_a_late_page_costs_what_the_first_one_costs(big_user: tuple[Database, UUID]) -> None:
    """However the planner is set."""
    database, user_id = big_user
    async with connected(database.url) as connection:
        for sort in ("created_at", "updated_at"):
            parameters = ListParameters.model_validate({"sort": sort})
            late = TaskQuery(parameters, after=(NOW + timedelta(seconds=TASKS * 0.95), user_id))
            plans = [await _explain(connection, query, user_id) for query in (TaskQuery(parameters), late)]
            assert _blocks(plans[1]["Plan"]) <= _blocks(plans[0]["Plan"]) * 2 + 20


async def test_the_longest_titles_fit_into_their_index(database: Database) -> None:
    """500 characters of four bytes that do not compress: PostgreSQL refuses index entries beyond 2,704 bytes."""
    user_id = uuid4()
    async with connected(database.url) as connection:
        await connection.execute(
            "INSERT INTO users (id, email, password_hash) VALUES ($1, $2, '')", user_id, str(user_id)
        )
        title = "".join(chr(0x1F300 + (n * 7919) % 700) for n in range(500))
        await connection.execute("INSERT INTO tasks (id, user_id, title) VALUES ($1, $2, $3)", uuid4(), user_id, title)
        assert await connection.fetchval("SELECT title FROM tasks WHERE user_id = $1", user_id) == title
