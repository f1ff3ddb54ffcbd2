"""The request: a head that can be read in one way only, its body within its route's limit, and its id."""

import random
import re
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from sanic import Request as SanicRequest
from sanic import Sanic
from sanic.compat import Header
from sanic.config import Config
from sanic.exceptions import BadRequest, PayloadTooLarge
from sanic.models.protocol_types import TransportProtocol

T = TypeVar("T")


class Services(SimpleNamespace):  # what Sanic's types ask of an application's context
    """What handlers use: for each feature one typed object, which is found by its type.

    Routes name the type, which is their own feature's, so that the type checker sees every call from there on, and
    nothing here has to know the features.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__()
        self._parts = {type(part): part for part in parts}

    def __getitem__(self, kind: type[T]) -> T:
        """Raises KeyError when the composition root has left it out."""
        return cast(T, self._parts[kind])


App = Sanic[Config, SimpleNamespace]

REQUEST_ID = rb"[A-Za-z0-9._:/+=@-]{1,128}"
"""What a caller's `X-Request-Id` may look like, as a pattern."""

_SANE = re.compile(REQUEST_ID.decode(), re.ASCII)

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

# A name is a token that the colon touches, and no line is a continuation. Sanic takes `Content-Length : 5` for a header
# of another name, and the body for the next request: whoever shares a connection could be handed a smuggled one.
FIELD = TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*"

# What a client may spell in either way, RFC 3986 section 6.2.2.2: letters, digits and four marks.
_UNRESERVED = re.compile(rb"%(2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|5[0-9AaFf]|7[0-9AaEe])")

_AUTHORITY = rb"(?:\[[0-9A-Za-z:.~!$&'()*+,;=_-]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
_HOST = re.compile(_AUTHORITY.decode(), re.ASCII)
_ABSOLUTE = re.compile(rb"(?i:https?)://(" + _AUTHORITY + rb")")
_REQUEST_LINE = (
    rb"(?:OPTIONS \*|" + TOKEN + rb" (?:/|(?i:https?)://" + _AUTHORITY + rb"(?=[/? ]))[\x21\x22\x24-\x7e]*)"
    rb" HTTP/1\.[01]"
)
_HEAD = re.compile(_REQUEST_LINE + rb"(?:\r\n" + FIELD + rb")*")
_TIDY_HEAD = re.compile(_REQUEST_LINE + rb"(?:\r\n" + FIELD + rb"(?<![ \t]))*")
"""No value has white space behind it: nobody sends that, but it would be allowed."""

# Sanic strips whatever Unicode takes for white space off a value, and then reads another length than a proxy did.
_DISGUISED = re.compile(rb"\r\n(?i:connection|content-length|expect|host|transfer-encoding):[ \t]*[\x80-\xff]")


class Request(SanicRequest):
    __slots__ = ("_request_id",)

    @property
    def services(self) -> Services:
        return cast(Services, self.app.ctx)

    def __init__(  # noqa: PLR0917  Sanic's signature
        self,
        url_bytes: bytes,
        headers: Header,
        version: str,
        method: str,
        transport: TransportProtocol,
        app: App,
        head: bytes = b"",
        stream_id: int = 0,
    ) -> None:
        """Raises BadRequest for a head that two servers could read in two ways."""
        if not head:  # Sanic's stand-in for a request that it could not read, whose URL may be the reason
            super().__init__(b"*", headers, version, method, transport, app, head, stream_id)
            return
        tidy = _TIDY_HEAD.fullmatch(head) is not None
        if not (tidy or _HEAD.fullmatch(head)) or (not head.isascii() and _DISGUISED.search(head)):
            raise BadRequest
        if url_bytes == b"*":  # the server itself, which must not be taken for the root
            url_bytes = b"/*"
        absolute = None if url_bytes.startswith(b"/") else _ABSOLUTE.match(url_bytes)
        if absolute is not None:
            url_bytes = url_bytes[absolute.end() :]
            url_bytes = url_bytes if url_bytes.startswith(b"/") else b"/" + url_bytes
        if b"%" in url_bytes or b"//" in url_bytes:
            path, mark, query = url_bytes.partition(b"?")
            if path.endswith(b"//"):  # the router takes one off and looks anew, each time one call deeper
                path = path.rstrip(b"/") + b"/"
            url_bytes = _UNRESERVED.sub(_character, path) + mark + query
        super().__init__(url_bytes, headers, version, method, transport, app, head, stream_id)
        if not tidy:
            self.headers = Header((name, value.rstrip(" \t")) for name, value in self.headers.items())
        _check_host(self.headers, version)
        if absolute is not None:
            self.headers["host"] = absolute[1].decode()  # what `Host` says then counts for nothing
        _check_framing(self.headers, version)

    async def receive_body(self) -> None:
        """As Sanic does; a body of known length that is here already, as most are, in one piece.

        Raises PayloadTooLarge, before the client is told to go on, when the length is beyond the route's limit.
        """
        exchange: Any = self.stream
        size = exchange.request_bytes_left
        assert self.route is not None  # noqa: S101  Sanic has found it before it asks for the body
        exchange.request_max_size = limit = getattr(self.route.ctx, "body_bytes_max", exchange.request_max_size)
        if size > limit:
            exchange.keep_alive = exchange.expecting_continue = False
            raise PayloadTooLarge
        whole = exchange.request_body is True and 0 < size <= len(exchange.recv_buffer)
        if not whole or exchange.expecting_continue:
            await super().receive_body()  # type: ignore[no-untyped-call]  # Sanic's has no annotation
            return
        self.body = bytes(exchange.recv_buffer[:size])
        del exchange.recv_buffer[:size]
        exchange.request_body, exchange.request_bytes_left = None, 0

    @property
    def id(self) -> str:
        """Up to 128 characters that are safe in a header and a log line."""
        known: str | None = getattr(self, "_request_id", None)
        if known is None:
            given = self.headers.getone("x-request-id", "")
            known = self._request_id = given if _SANE.fullmatch(given) else new_request_id()
        return known


def new_request_id() -> str:
    return random.randbytes(16).hex()  # noqa: S311  it need not be hard to guess


def _character(encoded: re.Match[bytes]) -> bytes:
    return bytes.fromhex(encoded[1].decode())


def _check_host(headers: Header, version: str) -> None:
    hosts = headers.getall("host", ())
    if len(hosts) != 1 and not (version == "1.0" and not hosts):
        raise BadRequest
    if hosts and not _is_host(hosts[0]):
        raise BadRequest


@lru_cache(maxsize=256)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _check_framing(headers: Header, version: str) -> None:
    """That both a length and a coding are given, or one of them twice, Sanic has refused already."""
    if version == "1.0":
        headers.popall("expect", None)  # such a client would not understand a 100
    coding = headers.getone("transfer-encoding", None)
    if coding is not None:
        if version == "1.0" or [c for c in (c.strip(" \t") for c in coding.lower().split(",")) if c] != ["chunked"]:
            raise BadRequest
        headers["transfer-encoding"] = "chunked"
    length = headers.getone("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest
