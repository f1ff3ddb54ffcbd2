"""What several modules need: a database of their own, and a service that trusts an issuer with keys of every kind."""

from collections.abc import Iterator

import pytest

from tests.support.database import Database
from tests.support.issuer import AUDIENCE
from tests.support.provider import API, GOOGLE_CLIENT, Provider
from tests.support.server import Service, serve


@pytest.fixture(scope="module")
def own_database(worker: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database for the tests of one module alone."""
    database = Database.with_schema(f"{request.module.__name__.rpartition('.')[2]}_{worker}")
    yield database
    database.drop()


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def oidc_service(provider: Provider, database: Database) -> Iterator[Service]:
    audiences = f"{AUDIENCE}, {API},{GOOGLE_CLIENT}"
    with serve(database.url, OIDC_ISSUER=provider.url, OIDC_AUDIENCE=audiences) as running:
        yield running
