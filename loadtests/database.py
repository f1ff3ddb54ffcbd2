"""Connections to the database of a run, beside the service."""

from service.database.connection import Connection, Connector, PoolOptions
from service.database.session import Settings
from service.database.url import parse_database_url


async def connect(url: str, settings: Settings = (), *, name: str = "loadtests") -> Connection:
    """Under the service's own `name`, triggers take what is written for an old release's."""
    options = PoolOptions(parse_database_url(url), connect_timeout=10, server_settings=settings, application_name=name)
    return await Connector(options).connect()
