"""Answers that carry JSON which is rendered already."""

import orjson
from pydantic import BaseModel
from sanic.response import HTTPResponse

JSON = "application/json"
READ = ["GET", "HEAD"]
"""What every route that reads answers to."""

OWN = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Prefer"}
"""For tasks: a client may keep them, and asks with `If-None-Match` each time whether they still hold."""

NO_STORE = {"Cache-Control": "no-store"}


def json_bytes(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return HTTPResponse(body, status, headers, JSON)


def json_model(model: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json_bytes(model.model_dump_json().encode(), status=status, headers=headers)


def json_value(value: object, *, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json_bytes(orjson.dumps(value), headers=headers)


def unchanged(headers: dict[str, str]) -> HTTPResponse:
    """304: the headers of the 200, and no body."""
    return HTTPResponse(status=304, headers=headers)
