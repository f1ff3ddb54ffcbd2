"""More connections than a process is to have: the next ones are reset, and those that are open do not notice."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx

from tests.support.drill import eventually
from tests.support.server import Service
from tests.support.users import client

MAXIMUM = 5


def is_reset(connection: socket.socket) -> bool:
    connection.settimeout(5)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_connection_too_many_is_reset(start_service: Callable[..., Service]) -> None:
    service = start_service(CONNECTIONS_MAX=str(MAXIMUM))
    address = (urlsplit(service.url).hostname, urlsplit(service.url).port)
    with ExitStack() as stack, client(service.url) as kept:
        assert kept.get("/openapi.json").status_code == 200
        opened = [stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(MAXIMUM - 1)]
        for _ in range(3):
            with socket.create_connection(address, timeout=5) as refused:
                assert is_reset(refused)
        assert service.metric("http_connections_refused_total") == 3
        assert kept.get("/openapi.json").status_code == 200
        assert service.ready(), "its probes come in by another port"
        opened.pop().close()

        def is_served() -> bool:
            try:
                return httpx.get(f"{service.url}/openapi.json", verify=False).status_code == 200
            except httpx.TransportError:
                return False

        eventually(is_served)
    assert "Traceback" not in service.log()
