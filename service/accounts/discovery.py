"""What an OpenID Connect issuer publishes: its discovery document, and the keys that verify its tokens."""

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import jwt
import orjson

ANSWER_BYTES_MAX = 256 * 1024
"""Entra ID publishes the largest sets of keys, with their certificates: some 40 KiB."""

SOCKET_TIMEOUT_SECONDS = 3.0
"""For one step, such as to connect; `Exchange.cut` bounds all of them together."""

_ALGORITHMS = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
ALGORITHMS = frozenset(name for names in _ALGORITHMS.values() for name in names)
"""Asymmetric ones only: with HS256 the issuer's public key would be a secret that everybody knows."""


class KeySet:
    """The issuer's keys for signatures, each with the algorithms that it may be used with."""

    def __init__(self, jwks: object = None) -> None:
        """Of a JWK Set, RFC 7517; what is not understood in it is left out, as section 5 asks."""
        found = jwks.get("keys") if isinstance(jwks, dict) else None
        usable = [(jwk, keys) for jwk in found if (keys := _by_algorithm(jwk))] if isinstance(found, list) else []
        self._jwks = [jwk for jwk, _ in usable]
        self._keys = [(jwk.get("kid"), keys) for jwk, keys in usable]
        self.ids = frozenset(key_id for key_id, _ in self._keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and self._jwks == other._jwks

    def __hash__(self) -> int:
        return hash(self.ids)

    def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """A token that names no key is for the only one there is: OpenID Connect Core, section 10.1."""
        fitting = [
            keys[algorithm]
            for known_id, keys in self._keys
            if algorithm in keys and (key_id is None or known_id == key_id)
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None


class Exchange:
    """One reading of the issuer's keys, for a thread of its own; any other thread can `cut` it short."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._sockets: list[socket.socket] = []
        self._over = False

    def keys(self) -> KeySet:
        """Raises OSError or ValueError in words that help whoever reads the log."""
        try:
            return self._read_keys()
        finally:
            for connected in self._sockets:
                connected.close()

    def cut(self) -> None:
        """End whatever the exchange waits for: a socket's own timeout begins anew with each byte of an answer."""
        self._over = True
        for connected in list(self._sockets):
            with suppress(OSError):  # it was closed already
                connected.shutdown(socket.SHUT_RDWR)

    def _read_keys(self) -> KeySet:
        # OpenID Connect Discovery, sections 4.1 and 4.3.
        configuration = self._get(f"{self._issuer.removesuffix('/')}/.well-known/openid-configuration")
        if configuration.get("issuer") != self._issuer:
            raise ValueError(f"the discovery document is of another issuer: {configuration.get('issuer')!r:.200}")
        found = KeySet(self._get(configuration.get("jwks_uri")))
        if not found:
            raise ValueError("the issuer has published no key that can be used")
        return found

    def _get(self, url: object) -> dict[str, Any]:
        if not isinstance(url, str) or not is_safe_url(url) or (is_https(self._issuer) and not is_https(url)):
            raise ValueError(f"the URL is not to be trusted: {url!r:.200}")
        request = urllib.request.Request(  # noqa: S310  `is_safe_url` has seen its scheme
            url, headers={"Accept": "application/json", "User-Agent": "tasks-service"}
        )
        try:
            with _opener(self._opened).open(request, timeout=SOCKET_TIMEOUT_SECONDS) as response:
                body = response.read(ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            error.close()
            raise ValueError(f"{url:.200} answered {error.code}") from error
        except http.client.HTTPException as error:
            raise ValueError(f"{url:.200} does not speak HTTP: {error!r:.200}") from error
        if len(body) > ANSWER_BYTES_MAX:
            raise ValueError(f"{url:.200} answered more than {ANSWER_BYTES_MAX} bytes")
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise ValueError(f"{url:.200} answered JSON that is no object")
        return document

    def _opened(self, connected: socket.socket) -> None:
        self._sockets.append(connected.dup())  # TLS takes the original over
        if self._over:
            raise TimeoutError("the exchange is over")


def is_issuer(url: str) -> bool:
    """Whether it can name an issuer: OpenID Connect Discovery, section 3."""
    return is_safe_url(url) and re.fullmatch(r"[!-~]+", url) is not None and not set("?#@\\") & set(url)


def is_https(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def is_safe_url(url: str) -> bool:
    """HTTPS; without encryption only to this very machine, as for an issuer in a test or a sidecar. Never raises."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises for what is no port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host or "")))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _by_algorithm(jwk: Any) -> dict[str, jwt.PyJWK]:
    """The key for each algorithm that it may be used with: none if it is not for signatures, or not what it says."""
    try:
        names = _ALGORITHMS.get((jwk.get("kty"), None if jwk.get("kty") == "RSA" else jwk.get("crv")), ())
        verifies = jwk.get("use") in {None, "sig"} and "verify" in (jwk.get("key_ops") or ["verify"])
        private = "d" in jwk  # published by mistake: PyJWT would take it for a key that signs
        if not verifies or private or not isinstance(jwk.get("kid"), str | None):
            return {}
        return {name: jwt.PyJWK(jwk, name) for name in names if jwk.get("alg") in {None, name}}
    except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
        return {}


class _Connection(http.client.HTTPConnection):
    opened: Callable[[socket.socket], None]

    def connect(self) -> None:
        super().connect()
        self.opened(self.sock)


class _TLSConnection(http.client.HTTPSConnection, _Connection):
    """Calls `_Connection.connect` before its handshake: that is where HTTPSConnection's own `super()` leads."""


def _connection(
    kind: type[_Connection], opened: Callable[[socket.socket], None], *arguments: Any, **options: Any
) -> _Connection:
    """As urllib makes one. HTTPSConnection takes no argument that it does not know."""
    made = kind(*arguments, **options)
    made.opened = opened
    return made


class _HTTP(urllib.request.HTTPHandler):
    def __init__(self, opened: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self._opened = opened

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection: Any = partial(_connection, _Connection, self._opened)  # typeshed asks for a class
        return self.do_open(connection, req)


class _HTTPS(urllib.request.HTTPSHandler):
    def __init__(self, opened: Callable[[socket.socket], None]) -> None:
        super().__init__(context=_tls())
        self._opened = opened

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection: Any = partial(
            _connection, _TLSConnection, self._opened, context=_tls()
        )  # typeshed asks for a class
        return self.do_open(connection, req)


@lru_cache
def _tls() -> ssl.SSLContext:
    """Reads the system's certificates, or those of SSL_CERT_FILE, which takes some 30 ms: once."""
    return ssl.create_default_context()


def _opener(opened: Callable[[socket.socket], None]) -> urllib.request.OpenerDirector:
    """Proxies as the environment has them; no redirects, no file: or ftp:, which urllib's own opener would follow."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _HTTP(opened),
        _HTTPS(opened),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
