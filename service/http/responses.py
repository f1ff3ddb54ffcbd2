"""Answers that carry JSON which is rendered already."""

from functools import lru_cache

import orjson
from pydantic import BaseModel
from sanic.response import HTTPResponse

JSON = "application/json"
READ = ["GET", "HEAD"]
"""What every route that reads answers to."""

OWN = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Prefer"}
"""For tasks: a client may keep them, and asks with `If-None-Match` each time whether they still hold."""

NO_STORE = {"Cache-Control": "no-store"}


class Response(HTTPResponse):
    """Sends its headers as they are. Sanic looks through each value for line breaks; those made here hold none."""

    __slots__ = ()

    @property
    def processed_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]  # it is only iterated over
        if self.content_type is not None:
            self.headers.setdefault("content-type", self.content_type)
        return [(_bytes(name), _bytes(value)) for name, value in self.headers.items()]


@lru_cache(4096)
def _bytes(text: object) -> bytes:
    """Names recur in every answer, and most values in many."""
    return str(text).encode("utf-8", "surrogateescape")


def json_bytes(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return Response(body, status, headers, JSON)


def json_model(model: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json_bytes(model.model_dump_json().encode(), status=status, headers=headers)


def json_value(value: object, *, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json_bytes(orjson.dumps(value), headers=headers)


def unchanged(headers: dict[str, str]) -> HTTPResponse:
    """304: the headers of the 200, and no body."""
    return Response(None, 304, headers)
