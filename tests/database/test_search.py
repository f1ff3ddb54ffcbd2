"""`q` finds the same tasks whatever locale the database was created with."""

import os
import random
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from service.tasks.paging import ListParameters, TaskQuery
from service.tasks.search import search
from tests.support.database import SERVER, Database, connected, run_sql

LOCALES = {
    "c": "LOCALE_PROVIDER libc LOCALE 'C'",
    "c_utf8": "LOCALE_PROVIDER libc LOCALE 'C.UTF-8'",
    "builtin": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
}
BUILTIN_SINCE = 170000
FOUND = [
    ("abc", "xABCx"),
    ("ABC", "abc"),
    ("überprüfung", "die ÜBERPRÜFUNG!"),
    ("ÜBERPRÜFUNG", "überprüfung"),
    ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("σίσυφοσ", "ΣΊΣΥΦΟΣ"),
    ("жар", "ЖАР"),
    ("straße", "STRAẞE"),
    ("日本", "日本語"),
    ("100%_\\", "a 100%_\\ B"),
    ("É(x)*+?{2}|^$[a]-.\\", "é(X)*+?{2}|^$[A]-.\\"),
    ("***:é", "***:É"),
    ("é\n\t", "É\n\t."),
    ("ü{" * 100, "Ü{" * 100),
]
NOT_FOUND = [("ü", "u"), ("100%", "100 %"), ("a_c", "abc"), ("é.", "éx"), ("[é]", "é"), ("\u0131", "i")]


@pytest.fixture(params=LOCALES)
def database(request: pytest.FixtureRequest, worker: str) -> Iterator[Database]:
    """Created with that locale, with the current schema."""
    name = f"search_{request.param}_{worker}"
    server = os.environ[SERVER]
    if request.param == "builtin" and int(run_sql(server, "SHOW server_version_num")[0][0]) < BUILTIN_SINCE:
        pytest.skip("PostgreSQL has this locale since 17")
    run_sql(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    run_sql(server, f"CREATE DATABASE {name} {LOCALES[request.param]} ENCODING UTF8 TEMPLATE template0")
    made = Database(server.replace("/postgres?", f"/{name}?"), name, server)
    made.upgrade()
    yield made
    made.drop()


async def test_letters_are_found_in_any_case_and_nothing_else_is(database: Database) -> None:
    async with connected(database.url) as connection:

        async def found(q: str, title: str, description: str | None = None) -> int:
            user: UUID = uuid4()
            sign_up = "INSERT INTO users (id, email, password_hash) VALUES ($1, gen_random_uuid(), '')"
            await connection.execute(sign_up, user)
            add = "INSERT INTO tasks (id, user_id, title, description) VALUES ($1, $1, $2, $3)"
            await connection.execute(add, user, title, description)
            query = TaskQuery(ListParameters.model_validate({"q": q}))
            rows = await connection.fetch(query.statement.sql, *query.arguments(user))
            return len([row for row in rows if row[0] is not None])

        for q, text in FOUND:
            assert await found(q, text), (q, text)
            assert await found(q, "title", text), (q, text)
        for q, text in NOT_FOUND:
            assert not await found(q, text), (q, text)


async def test_any_text_finds_itself(database: Database) -> None:
    """No character means something else to PostgreSQL than itself."""
    chance = random.Random(3)
    clause, _ = search("é")
    async with connected(database.url) as connection:
        ranges = [(1, 0x80), (0x80, 0x600), (0x2000, 0xD800), (0xE000, 0x110000)]
        for _ in range(300):
            text = "".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(5)) + "é"
            sql = f"SELECT {clause.format('$1')} FROM (SELECT $2::text AS title, NULL::text AS description) AS task"
            assert await connection.fetchval(sql, search(text)[1], text), repr(text)
