"""What every error of the API looks like."""

import re
from typing import Any, Protocol

import httpx

from service.api import document as described
from service.description.openapi import PROBLEM_CODES

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}


class HasProblem(Protocol):
    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    def json(self) -> Any: ...


def assert_problem(response: HasProblem, status: int, code: str) -> dict[str, Any]:
    """Returns the problem document."""
    document = response.json()
    if isinstance(response, httpx.Response):
        assert_documented(response.request.method, response.request.url.path, status, code)
    assert (response.status_code, document["code"]) == (status, code), document
    assert response.headers["content-type"] == "application/problem+json"
    assert set(document) - {"errors"} == MEMBERS
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert "errors" in document or code != "validation_error"
    return dict(document)


def assert_documented(method: str, path: str, status: int, code: str) -> None:
    """Whatever a test provokes has to stand in the description; of paths and methods that it lacks it says nothing."""
    for template, operations in sorted(described()["paths"].items(), key=lambda item: str(item[0].count("{"))):
        operation = operations.get(method.lower())
        if operation is not None and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            assert code in codes(operation, status), f"{method} {template} does not say that it may be {status} {code}"
            return


def codes(operation: dict[str, Any], status: int) -> set[str]:
    """The codes that an operation's description has for a status."""
    return set(operation["responses"].get(str(status), {}).get(PROBLEM_CODES, ()))


def faults(response: HasProblem) -> set[tuple[str, str]]:
    """Where a validation error points, and why."""
    document = assert_problem(response, 422, "validation_error")
    return {(error["pointer"], error["code"]) for error in document["errors"]}


def comparable(response: HasProblem) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Everything that must be equal in two answers which tell nothing: all but the request's id, clock and quota."""
    passing = ("x-request-id", "date", "ratelimit")
    headers = {k.lower(): v for k, v in response.headers.items() if k.lower() not in passing}
    body = {k: v for k, v in response.json().items() if k != "request_id"}
    return response.status_code, headers, body
