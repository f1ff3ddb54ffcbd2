"""What every error of the API looks like."""

from typing import Any, Protocol

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
    assert (response.status_code, document["code"]) == (status, code), document
    assert response.headers["content-type"] == "application/problem+json"
    assert set(document) - {"errors"} == MEMBERS
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert ("errors" in document) == (code == "validation_error")
    return dict(document)


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
