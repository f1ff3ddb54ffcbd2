"""The request's identity: the caller's `X-Request-Id` if it is a sane one, else one of ours."""

import random
import re
from types import SimpleNamespace

from sanic import Request as SanicRequest
from sanic import Sanic
from sanic.config import Config

App = Sanic[Config, SimpleNamespace]

REQUEST_ID_HEADER = "x-request-id"
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


class Request(SanicRequest):
    __slots__ = ("_request_id",)

    @property
    def id(self) -> str:
        """Up to 128 characters that are safe in a header and a log line."""
        known: str | None = getattr(self, "_request_id", None)
        if known is None:
            given = self.headers.getone(REQUEST_ID_HEADER, "")
            known = self._request_id = given if _SANE.fullmatch(given) else f"{random.getrandbits(128):032x}"
        return known
