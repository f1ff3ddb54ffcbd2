"""Answers whose body is rendered already: JSON, and `application/problem+json` (RFC 9457)."""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time

import orjson
from pydantic import BaseModel
from sanic.response import BaseHTTPResponse, HTTPResponse

from service.problems import Problem

JSON = "application/json"
MERGE_PATCH_JSON = "application/merge-patch+json"
PROBLEM_JSON = "application/problem+json"
ACCEPT_PATCH = f"{MERGE_PATCH_JSON}, {JSON}"
"""The formats in which a PATCH is understood, RFC 5789."""

READ = ["GET", "HEAD"]
"""What every route that reads answers to."""

OWN = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Prefer"}
"""For tasks: a client may keep them, and asks with `If-None-Match` each time whether they still hold."""

NO_STORE = {"Cache-Control": "no-store"}


_NO_BODY = frozenset({204, 304})
_PHRASES = {**{status.value: status.phrase for status in HTTPStatus}, 499: "Client Closed Request"}
_STATUS_LINES = {status: f"HTTP/1.1 {status} {phrase}\r\n" for status, phrase in _PHRASES.items()}
_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_COMMON_LINES = "".join(f"{name}: {value}\r\n" for name, value in _COMMON.items())


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """`Date`, rendered once a second."""
    return formatdate(second, usegmt=True)


def http_date() -> str:
    return _date(int(time()))


class Response(HTTPResponse):
    """A whole answer whose headers were made here: no line breaks to look for, and none of the common ones.

    An answer with a policy of its own is not one of these.
    """

    __slots__ = ()

    def head(self, request_id: str, *, keep_alive: bool) -> bytes:
        """Its status line and headers, the common ones too, as they are sent."""
        lines = [
            _STATUS_LINES[self.status],
            f"X-Request-Id: {request_id}\r\n",
            _COMMON_LINES,
            f"Date: {http_date()}\r\n",
            "Connection: keep-alive\r\n" if keep_alive else "Connection: close\r\n",
        ]
        if self.status not in _NO_BODY:
            lines.append(f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.body or b'')}\r\n")
        lines.extend([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        lines.append("\r\n")
        return "".join(lines).encode("utf-8", "surrogateescape")


def stream_head(response: BaseHTTPResponse, request_id: str, *, chunked: bool) -> bytes:
    """The head of an answer without a known end. It ends the connection too, and without chunks nothing else does."""
    lines = [
        _STATUS_LINES[response.status],
        f"X-Request-Id: {request_id}\r\n",
        _COMMON_LINES,
        f"Date: {http_date()}\r\nConnection: close\r\nContent-Type: {response.content_type}\r\n",
        "Transfer-Encoding: chunked\r\n" if chunked else "",
        *(f"{name}: {value}\r\n" for name, value in response.headers.items() if name.lower() != "content-type"),
        "\r\n",
    ]
    return "".join(lines).encode("utf-8", "surrogateescape")


def add_common_headers(response: BaseHTTPResponse, request_id: str) -> None:
    """What every answer carries; one that brings a policy of its own keeps it."""
    response.headers["X-Request-Id"] = request_id
    response.headers["Date"] = http_date()
    for name, value in _COMMON.items():
        response.headers.setdefault(name, value)
    if "PATCH" in response.headers.get("Allow", ""):  # the answer to OPTIONS
        response.headers["Accept-Patch"] = ACCEPT_PATCH


def json_bytes(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return Response(body, status, headers, JSON)


def json_model(model: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json_bytes(model.model_dump_json().encode(), status=status, headers=headers)


def json_value(value: object, *, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json_bytes(orjson.dumps(value), headers=headers)


def no_content() -> HTTPResponse:
    return Response(None, 204)


def unchanged(headers: dict[str, str]) -> HTTPResponse:
    """304 for JSON: the headers of the 200, and no body."""
    return Response(None, 304, headers)


def problem_response(problem: Problem, request_id: str) -> Response:
    """RFC 9457."""
    body = {
        "type": "about:blank" if problem.status == Problem.status else f"urn:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
        **problem.members(),
    }
    # Caches may keep some errors unasked, a 404 among them, which a restored task would contradict.
    headers = {"Cache-Control": "no-store", **problem.headers}
    return Response(orjson.dumps(body), problem.status, headers, PROBLEM_JSON)
