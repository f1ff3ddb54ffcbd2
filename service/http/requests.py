"""The request's identity: the caller's `X-Request-Id` if it is a sane one, else one of ours."""

import random
import re
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from sanic import Request as SanicRequest
from sanic import Sanic
from sanic.compat import Header
from sanic.config import Config
from sanic.exceptions import BadRequest
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

# A name is a token that the colon touches, and no line is a continuation. Sanic takes `Content-Length : 5` for a header
# of another name, and the body for the next request: whoever shares a connection could be handed a smuggled one.
FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*"
_HEAD = re.compile(rb"[^\r\n]*(?:\r\n" + FIELD + rb")*")


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
            url_bytes = b"*"
        elif not _unambiguous(head, headers, version):
            raise BadRequest
        super().__init__(url_bytes, headers, version, method, transport, app, head, stream_id)

    async def receive_body(self) -> None:
        """As Sanic does; a body of known length that is here already, as most are, in one piece."""
        exchange: Any = self.stream
        size = exchange.request_bytes_left
        whole = exchange.request_body is True and 0 < size <= min(len(exchange.recv_buffer), exchange.request_max_size)
        if not whole or exchange.expecting_continue:
            await super().receive_body()  # type: ignore[no-untyped-call]
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


def _unambiguous(head: bytes, headers: Header, version: str) -> bool:
    length = headers.getone("content-length", "0")
    hosts = len(headers.getall("host", ()))
    return (
        _HEAD.fullmatch(head) is not None
        and length.isascii()
        and length.isdigit()
        and (hosts == 1 or (hosts == 0 and version == "1.0"))
    )
