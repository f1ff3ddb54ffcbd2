"""An external issuer on https, as every real one is: whose certificate counts, and through which proxy."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.support.authority import Authority, server_context
from tests.support.database import Database
from tests.support.drill import eventually
from tests.support.issuer import Issuer
from tests.support.server import Service
from tests.support.users import me

HOST = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def issuer(authority: Authority) -> Iterator[Issuer]:
    with Issuer(tls=server_context(authority.make("issuer", address=HOST))) as running:
        yield running


@pytest.fixture
def start(issuer: Issuer, database: Database, start_service: Callable[..., Service]) -> Callable[..., Service]:
    return lambda **settings: start_service(database.url, OIDC_ISSUER=issuer.url, **settings)


def test_a_private_authority(issuer: Issuer, authority: Authority, start: Callable[..., Service]) -> None:
    service = start(SSL_CERT_FILE=str(authority.root))
    assert me(service, issuer.token()).status_code == 200


def test_a_certificate_of_nobody_we_know(issuer: Issuer, start: Callable[..., Service]) -> None:
    service = start()
    assert me(service, issuer.token()).status_code == 503
    assert "CERTIFICATE_VERIFY_FAILED" in service.log()
    assert not issuer.hits


def test_through_a_proxy(issuer: Issuer, authority: Authority, start: Callable[..., Service]) -> None:
    with Proxy() as proxy:
        service = start(SSL_CERT_FILE=str(authority.root), HTTPS_PROXY=f"http://{HOST}:{proxy.port}")
        assert me(service, issuer.token()).status_code == 200
    assert {line.rpartition(" ")[0] for line in proxy.asked} == {f"CONNECT {HOST}:{issuer.port}"}


def test_an_issuer_that_never_shakes_hands_holds_nobody_up(
    authority: Authority, database: Database, start_service: Callable[..., Service]
) -> None:
    with socket.create_server((HOST, 0)) as silent:
        service = start_service(database.url, OIDC_ISSUER=f"https://{HOST}:{silent.getsockname()[1]}")
        eventually(lambda: "issuer_keys_failed" in service.log(), 15)
        assert "TypeError" not in service.log()
        assert service.stop() == 0


class Proxy:
    """Takes CONNECT, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as head:
            self.asked.append(head.readline().decode().strip())
            while head.readline().strip():
                pass
            host, _, port = self.asked[-1].split()[1].partition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=[server, client], daemon=True)
                back.start()
                _copy(client, server)
                back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        """The other side is gone."""
