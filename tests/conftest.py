"""One PostgreSQL for the run, a database for each worker, and real server processes in front of it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.database.embedded import EmbeddedPostgres
from tests.support.database import SERVER, TEMPLATE, Database, run_sql
from tests.support.postgres import tested
from tests.support.server import Service, serve
from tests.support.users import User, client, sign_up

_server = pytest.StashKey[EmbeddedPostgres]()
_folder = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """In the process that controls the workers: start the server and migrate a template once."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # it is about somebody else's server
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    _start_server(config)
    Database.create(os.environ[SERVER], TEMPLATE).upgrade()


def pytest_report_header(config: pytest.Config) -> str:
    return "" if config.option.collectonly else f"PostgreSQL {run_sql(os.environ[SERVER], 'SHOW server_version')[0][0]}"


def _start_server(config: pytest.Config) -> None:
    config.stash[_folder] = folder = tempfile.TemporaryDirectory(prefix="tasks-tests-")
    # Throw-away data: nothing needs to survive a power cut here; the tests of faults start servers of their own.
    server = EmbeddedPostgres(
        Path(folder.name) / "data",
        {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"},
        tested(),
    )
    server.start()
    config.stash[_server] = server
    os.environ[SERVER] = server.url("postgres")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _server in config.stash:
        config.stash[_server].stop()
        config.stash[_folder].cleanup()


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> str:
    workerinput = getattr(request.config, "workerinput", {})
    return str(workerinput.get("workerid", "main"))


@pytest.fixture(scope="session")
def database(worker: str) -> Database:
    """The worker's own database, with the current schema."""
    return Database.create(os.environ[SERVER], f"tasks_{worker}", template=TEMPLATE)


@pytest.fixture
def empty_database(worker: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without any schema, for this test alone."""
    database = Database.create(os.environ[SERVER], f"empty_{worker}_{abs(hash(request.node.nodeid)) % 10**9}")
    yield database
    database.drop()


@pytest.fixture
def fresh_database(worker: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with the current schema and no rows, for this test alone."""
    name = f"fresh_{worker}_{abs(hash(request.node.nodeid)) % 10**9}"
    database = Database.create(os.environ[SERVER], name, template=TEMPLATE)
    yield database
    database.drop()


@pytest.fixture(scope="session")
def service(database: Database) -> Iterator[Service]:
    """A server with default settings, shared by the worker's tests, but for one: all of them have the same address."""
    with serve(database.url, FAILED_LOGINS_PER_ADDRESS_PER_MINUTE="100000") as running:
        yield running


@pytest.fixture
def start_service(database: Database) -> Iterator[Callable[..., Service]]:
    """Start further servers, with settings of one's own as keyword arguments; all end with the test."""
    started: list[Service] = []

    def start(database_url: str = database.url, **settings: str) -> Service:
        running = Service(database_url, settings)
        started.append(running)
        running.start()
        return running

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def user(service: Service) -> Iterator[User]:
    """Somebody new, signed up and logged in."""
    with sign_up(service.url) as somebody:
        yield somebody


@pytest.fixture(scope="session")
def idle_user(service: Service) -> Iterator[User]:
    """Somebody who never changes anything, shared by the tests whose requests must all be refused."""
    with sign_up(service.url) as somebody:
        yield somebody


@pytest.fixture
def other_user(service: Service) -> Iterator[User]:
    with sign_up(service.url) as somebody:
        yield somebody


@pytest.fixture
def visitor(service: Service) -> Iterator[httpx.Client]:
    """A client without a token."""
    with client(service.url) as connection:
        yield connection
