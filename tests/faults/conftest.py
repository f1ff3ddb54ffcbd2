"""Servers that tests may break: never the one that the other tests share."""

from collections.abc import Iterator

import pytest

from tests.support.database import Database
from tests.support.postgres import Postgres, postgres


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[Postgres]:
    """A test leaves it running."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def own_database(own_postgres: Postgres) -> Database:
    return own_postgres.create()
