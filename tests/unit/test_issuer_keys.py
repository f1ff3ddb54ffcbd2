"""What is accepted of an issuer's documents, and how long its keys live."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.accounts import issuer as module
from service.accounts.discovery import ANSWER_BYTES_MAX, Exchange, KeySet, is_issuer
from service.accounts.issuer import IssuerKeys
from service.accounts.tokens import BadToken
from service.problems import IssuerUnavailable
from service.telemetry.background_metrics import BackgroundMetrics
from tests.support.issuer import CONFIGURATION, KEYS, Answer, Issuer, Key, send, until


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer(path="/realms/main") as running:
        yield running


def says(document: Any) -> Answer:
    return lambda handler: send(handler, document if isinstance(document, bytes) else json.dumps(document).encode())


def redirects(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", 302, Location=f"http://{handler.headers['Host']}{KEYS}")


FAULTS: dict[str, Callable[[Issuer], dict[str, Answer]]] = {
    "not JSON": lambda _: {KEYS: says(b"<html>")},
    "not UTF-8": lambda _: {KEYS: says(b'{"keys": "\xff"}')},
    "half of it": lambda _: {KEYS: says(b'{"keys": [')},
    "nested deep": lambda _: {KEYS: says(b"[" * 100_000)},
    "a list": lambda _: {KEYS: says([])},
    "huge": lambda _: {KEYS: says(b'{"keys": [' + b" " * ANSWER_BYTES_MAX + b"]}")},
    "no keys": lambda _: {KEYS: says({"keys": []})},
    "keys a number": lambda _: {KEYS: says({"keys": 5})},
    "keys absent": lambda _: {KEYS: says({})},
    "no usable key": lambda _: {KEYS: says({"keys": [{"kty": "EC"}, 5, None, {"kty": "oct", "k": "eA"}]})},
    "404": lambda _: {KEYS: lambda handler: send(handler, b"{}", 404)},
    "500": lambda _: {CONFIGURATION: lambda handler: send(handler, b"{}", 500)},
    "empty": lambda _: {CONFIGURATION: says(b"")},
    "no HTTP": lambda _: {CONFIGURATION: lambda handler: handler.wfile.write(b"SSH-2.0\r\n\r\n") and None},
    "configuration a list": lambda _: {CONFIGURATION: says([])},
    "configuration redirects": lambda _: {CONFIGURATION: redirects},
    "keys redirect": lambda _: {KEYS: redirects},
    "another issuer": lambda it: {CONFIGURATION: says({**it.configuration(), "issuer": it.url + "/"})},
    "issuer absent": lambda it: {CONFIGURATION: says({"jwks_uri": it.base + KEYS})},
    "jwks_uri absent": lambda it: {CONFIGURATION: says({"issuer": it.url})},
    "jwks_uri a number": lambda it: {CONFIGURATION: says({"issuer": it.url, "jwks_uri": 5})},
    "jwks_uri a file": lambda it: {CONFIGURATION: says({"issuer": it.url, "jwks_uri": "file:///etc/passwd"})},
    "jwks_uri not encrypted": lambda it: {CONFIGURATION: says({"issuer": it.url, "jwks_uri": "http://192.0.2.1/keys"})},
    "jwks_uri no URL": lambda it: {CONFIGURATION: says({"issuer": it.url, "jwks_uri": "http://[::1/keys"})},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_document_that_is_not_right_is_a_failed_fetch(issuer: Issuer, name: str) -> None:
    issuer.answers = FAULTS[name](issuer)
    with pytest.raises((OSError, ValueError)):
        Exchange(issuer.url).keys()


def test_documents_that_are_right_give_the_keys(issuer: Issuer) -> None:
    assert Exchange(issuer.url).keys().ids == {"one"}


def test_an_exchange_that_is_cut_ends_whatever_it_waits_for(issuer: Issuer) -> None:
    released = threading.Event()
    issuer.answers[KEYS] = until(released)
    exchange = Exchange(issuer.url)
    ended = threading.Event()

    def run() -> None:
        with suppress(OSError, ValueError):
            exchange.keys()
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    issuer.wait_for_hit(KEYS)
    began = monotonic()
    exchange.cut()
    assert ended.wait(10)
    assert monotonic() - began < 2.5  # its socket alone would wait for three seconds
    released.set()
    thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "https://accounts.google.com",
        "https://sts.windows.net/fa15d692-e9c7-4460-a743-29f29522229/",
        "https://login.example.com:8443/realms/main",
        "http://127.0.0.1:8080/realms/main",
        "http://localhost:8080",
        "http://[::1]:8080",
    ],
)
def test_these_can_be_issuers(url: str) -> None:
    assert is_issuer(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "accounts.google.com",
        "https://",
        "http://keycloak:8080/realms/main",
        "http://127.0.0.1.example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://user:secret@example.com",
        "https://example.com?x=1",
        "https://example.com#x",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://example.com:port",
        "https://[::1",
        "https://exämple.com",
    ],
)
def test_these_cannot(url: str) -> None:
    assert not is_issuer(url)


def test_a_key_is_used_for_what_it_is_meant_for() -> None:
    signing = Key.make("RS256", kid="a", alg="RS512")
    keys = KeySet({"keys": [signing.jwk, Key.make(kid="b", key_ops=["verify"]).jwk, Key.make(kid="c", use="enc").jwk]})
    assert keys.ids == {"a", "b"}
    assert keys.find("a", "RS512") is not None
    assert keys.find("a", "RS256") is None
    assert keys.find("b", "ES256") is not None
    assert keys.find(None, "ES256") is not None  # the only one for it
    private = {**signing.jwk, "d": "AQAB"}
    assert not KeySet({"keys": [private]})


@asynccontextmanager
async def running(issuer: Issuer) -> AsyncIterator[IssuerKeys]:
    keys = IssuerKeys(issuer.url, BackgroundMetrics(CollectorRegistry()))
    task = asyncio.create_task(keys.run())
    try:
        yield keys
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def refuses(keys: IssuerKeys, kind: type[Exception]) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await keys.key("one", "ES256")
            except kind:
                return
            await asyncio.sleep(0.02)


async def test_a_withdrawn_key_is_forgotten_at_the_next_regular_fetch(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.1)
    async with running(issuer) as keys:
        assert await keys.key("one", "ES256")
        version = keys.version
        issuer.rotate()
        await refuses(keys, BadToken)
        assert keys.version > version


async def test_keys_that_nobody_has_confirmed_for_too_long_are_forgotten(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(module, "STALE_MAX_SECONDS", 1.0)
    async with running(issuer) as keys:
        assert await keys.key("one", "ES256")
        issuer.answers[KEYS] = says({"keys": []})
        await asyncio.sleep(0.3)
        assert await keys.key("one", "ES256")
        version = keys.version
        await refuses(keys, IssuerUnavailable)
        assert keys.version > version
        issuer.answers.clear()


async def test_who_waits_is_bounded(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 5)
    released = threading.Event()
    issuer.answers[KEYS] = until(released)
    async with running(issuer) as keys:
        waiting = [asyncio.create_task(keys.key("one", "ES256")) for _ in range(8)]
        done, pending = await asyncio.wait(waiting, timeout=0.5)
        assert (len(done), len(pending)) == (3, 5)
        assert {type(task.exception()) for task in done} == {IssuerUnavailable}
        pending.pop().cancel()  # as when its client hangs up
        issuer.answers.clear()
        released.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} >= {IssuerUnavailable, asyncio.CancelledError}
        async with asyncio.timeout(15):
            while True:
                with suppress(IssuerUnavailable):
                    assert await keys.key("one", "ES256")
                    return
                await asyncio.sleep(0.1)
