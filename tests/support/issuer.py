"""An OpenID Connect issuer: discovery and keys over HTTP, and tokens signed as the test asks."""

import base64
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/keys"
ABSENT: Any = object()
AUDIENCE = "tasks-service"

Answer = Callable[[BaseHTTPRequestHandler], None]


@cache
def _rsa() -> rsa.RSAPrivateKey:
    """The same each time: to make one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


_MAKE: dict[str, Callable[[], Any]] = {
    "RS": _rsa,
    "PS": _rsa,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@dataclass(frozen=True)
class Key:
    """`jwk` is what the issuer publishes of it."""

    algorithm: str
    private: Any
    jwk: dict[str, Any]

    @classmethod
    def make(cls, algorithm: str = "ES256", **fields: Any) -> Self:
        """`fields` change the published key; one that is ABSENT is left out."""
        private = (_MAKE.get(algorithm) or _MAKE[algorithm[:2]])()
        algorithm = "EdDSA" if algorithm == "Ed448" else algorithm
        public: Any = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        jwk = {**public, "kid": "one", "alg": algorithm, "use": "sig", **fields}
        return cls(algorithm, private, {name: value for name, value in jwk.items() if value is not ABSENT})

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A header field that is ABSENT is left out."""
        fields = {"kid": self.jwk.get("kid", ABSENT), "typ": "JWT", "alg": self.algorithm, **header}
        given = {name: value for name, value in fields.items() if value is not ABSENT}
        signed = f"{b64(json.dumps(given).encode())}.{b64(json.dumps(claims).encode())}"
        algorithm = get_default_algorithms()[self.algorithm]
        return f"{signed}.{b64(algorithm.sign(signed.encode(), algorithm.prepare_key(self.private)))}"


class Issuer:
    """`answers` has, by path, what takes the place of the right answer; `hits` counts what was asked for."""

    def __init__(self, *keys: Key, path: str = "", tls: ssl.SSLContext | None = None) -> None:
        """`path` is that of the issuer's URL, such as /realms/main; with `tls` that begins with https."""
        self.keys = list(keys) or [Key.make()]
        self.more_keys: list[Any] = []
        self.answers: dict[str, Answer] = {}
        self.hits: Counter[str] = Counter()
        self.hit = threading.Condition()
        self.port = 0
        self.path = path
        self._tls = tls
        self.open()

    @property
    def base(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self.base + self.path

    @property
    def key(self) -> Key:
        return self.keys[0]

    def configuration(self) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": self.base + KEYS}

    def jwks(self) -> dict[str, Any]:
        return {"keys": [*(key.jwk for key in self.keys), *self.more_keys]}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What OpenID Connect and RFC 9068 both require; a claim that is ABSENT is left out."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300, **changed}
        return {name: value for name, value in claims.items() if value is not ABSENT}

    def token(self, subject: str = "ada", *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        return self.key.sign(self.claims(**{"sub": subject, **claims}), **(header or {}))

    def rotate(self, **fields: Any) -> None:
        """Another key in place of all others."""
        self.keys = [Key.make(**{"kid": "two", **fields})]

    def open(self) -> None:
        """Listen, on the port of before if there was one."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer._answer(self)

            def log_message(self, *_: object) -> None:
                """The test says what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_for_hit(self, path: str, count: int = 1) -> None:
        """Until `path` has been asked for so often, in all."""
        with self.hit:
            assert self.hit.wait_for(lambda: self.hits[path] >= count, 15), f"nobody asked for {path}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = CONFIGURATION if handler.path == self.path.removesuffix("/") + CONFIGURATION else handler.path
        with self.hit:
            self.hits[path] += 1
            self.hit.notify_all()
        right = {CONFIGURATION: self.configuration, KEYS: self.jwks}
        try:
            if path in self.answers:
                self.answers[path](handler)
            elif path in right:
                send(handler, json.dumps(right[path]()).encode())
            else:
                send(handler, b"{}", 404)
        except OSError:
            """The service hung up."""


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **fields: str) -> None:
    handler.send_response(status)
    for name, value in fields.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def until(event: threading.Event) -> Answer:
    """Let the service wait until the test says, and then hang up without an answer."""

    def wait(_: BaseHTTPRequestHandler) -> None:
        event.wait(30)

    return wait


def public_pem(key: Key) -> bytes:
    return bytes(key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
