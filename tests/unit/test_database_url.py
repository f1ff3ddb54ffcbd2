"""`DATABASE_URL` as libpq has it."""

import pytest

from service.database.url import parse_database_url


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql://u:p%40ss@h/d", "postgresql://u:p%40ss@h/d"),
        ("postgresql://h1:5432,h2:5433/d", "postgresql://h1:5432,h2:5433/d"),
    ],
)
def test_urls_are_taken_in_every_usual_form(url: str, dsn: str) -> None:
    assert parse_database_url(url) == dsn


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "u:hunter2@h/d",
        "mysql://u:hunter2@h/d",
        "postgres:/u:hunter2@h/d",
        "postgresql://",
        "postgresql://u:hunter2@/d",
        "postgresql://u:hunter2@h/d?sslmode=hunter2",
        "postgresql://u:hunter2@[::1/d",
        "postgresql://h/d?hunter2",
    ],
)
def test_a_mistake_is_told_without_the_url(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_database_url(url)
    assert "hunter2" not in str(caught.value)
