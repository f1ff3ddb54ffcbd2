"""Entity tags, problems and bodies, without a server."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sanic.compat import Header
from sanic.exceptions import MethodNotAllowed, NotFound, PayloadTooLarge, SanicException, ServerError

from service import problems
from service.http.errors import to_problem
from service.http.requests import Request
from service.http.responses import problem_response
from service.problems import Invalid, NotJson, Problem, Unexpected, UnsupportedMediaType
from service.rest.bodies import Body, parse
from service.rest.conditional import body_tag, not_modified, preconditions, task_tag

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
TAG = task_tag(NOW.timestamp())


def headers(*values: str, name: str) -> Header:
    return Header([(name, value) for value in values])


def test_a_tag_names_one_microsecond() -> None:
    assert TAG == task_tag(NOW.astimezone().timestamp()) != task_tag((NOW + timedelta(microseconds=1)).timestamp())
    assert body_tag(b"a") != body_tag(b"b")
    assert preconditions(headers(TAG, name="if-match")).allowed == [NOW]


@pytest.mark.parametrize("year", [1970, 2026, 2241])
def test_no_microsecond_is_lost_on_the_way_to_a_tag_and_back(year: int) -> None:
    for microsecond in (0, 1, 2, 499_999, 500_000, 999_998, 999_999):
        time = datetime(year, 12, 31, 23, 59, 59, microsecond, tzinfo=UTC)
        seconds = float(f"{(time - EPOCH) // MICROSECOND}e-6")  # as PostgreSQL gives them
        assert preconditions(headers(task_tag(seconds), name="if-match")).allowed == [time]


@pytest.mark.parametrize(
    ("field", "times"),
    [
        (TAG, [NOW]),
        (f'"x", {TAG}', [NOW]),
        (f"{TAG},{TAG}", [NOW, NOW]),
        (f"W/{TAG}", []),
        (f'w/{TAG}, "a, b"', []),
        (TAG.strip('"'), []),
        (TAG.upper(), []),
        ('"0x1"', []),
        ('"1_0"', []),
        ('"-0"', []),
        (f'"{"f" * 4000}"', []),
        ("", []),
        ("*", None),
        (" * ", None),
        ('"*"', []),
    ],
)
def test_if_match_allows_what_it_names(field: str, times: list[datetime] | None) -> None:
    assert preconditions(headers(field, name="if-match")) == (times, None)


def test_no_if_match_allows_anything() -> None:
    assert preconditions(Header([])) == (None, None)
    assert preconditions(headers('"x"', TAG, name="if-match")) == ([NOW], None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], False),
        (['"a"'], True),
        (['W/"a"'], True),
        (['"b", "a"'], True),
        (['"b"', '"a"'], True),
        (["*"], True),
        (['"b"'], False),
        (["a"], False),
        (['"a'], False),
        (['"ab", "ba"'], False),
        ([""], False),
    ],
)
def test_if_none_match_compares_weakly(fields: list[str], expected: bool) -> None:  # noqa: FBT001  a table's column
    assert not_modified(headers(*fields, name="if-none-match"), '"a"') is expected


def all_problems(kind: type[Problem] = Problem) -> list[type[Problem]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in all_problems(sub))]


def test_every_problem_has_a_status_a_code_and_a_title_of_its_own() -> None:
    kinds = {k for k in all_problems() if k.__module__ == problems.__name__}
    assert len(kinds) > 20
    for kind in kinds:
        assert 400 <= kind.status <= 503
        assert kind.code.replace("_", "").isalnum()
        assert kind.code.islower()
        assert kind.title[0].isupper()
    shared = [kind.code for kind in kinds if kind not in (Problem, Unexpected, problems.Retryable)]
    assert len(shared) == len(set(shared))


def test_a_problem_is_rendered_as_rfc_9457_has_it() -> None:
    response = problem_response(Invalid.field("/title", "is <wrong>", "wrong"), "request-1")
    assert response.content_type == "application/problem+json"
    assert json.loads(response.body or b"") == {
        "type": "urn:problem:validation_error",
        "title": "The input is not valid",
        "status": 422,
        "detail": "/title: is <wrong>",
        "code": "validation_error",
        "request_id": "request-1",
        "errors": [{"pointer": "/title", "message": "is <wrong>", "code": "wrong"}],
    }


def test_what_can_be_tried_again_says_when() -> None:
    for kind in all_problems(problems.Retryable):
        assert int(kind().headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("/secret/path not found"), 404, "not_found"),
        (MethodNotAllowed("x", "PUT", ["GET"]), 405, "method_not_allowed"),
        (PayloadTooLarge("Request body exceeds the size limit"), 413, "too_large"),
        (PayloadTooLarge("Request header exceeds the size limit"), 431, "headers_too_large"),
        (SanicException("teapot", status_code=418), 400, "bad_request"),
        (ServerError("secret"), 500, "internal_error"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
        (KeyError("secret"), 500, "internal_error"),
        (ConnectionRefusedError("secret"), 503, "database_unavailable"),
        (TimeoutError("secret"), 503, "database_timeout"),
    ],
)
def test_any_exception_becomes_a_problem_that_tells_nothing(error: Exception, status: int, code: str) -> None:
    problem = to_problem(error)
    assert (problem.status, problem.code) == (status, code)
    assert b"secret" not in (problem_response(problem, "x").body or b"")


class Note(Body):
    text: str
    number: int = 0


class FakeRequest:
    method = "POST"

    def __init__(self, body: bytes, **fields: str) -> None:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        self.headers = Header({"content-type": "application/json", **named})
        self.body = body


def read(body: bytes, **fields: str) -> Note:
    return parse(Note, cast(Request, FakeRequest(body, **fields)))


def test_a_body_is_read_strictly() -> None:
    assert read(b'{"text": "x", "number": 5}') == Note(text="x", number=5)
    for wrong in (b'{"text": "x", "number": "5"}', b'{"text": "x", "number": 5.5}', b'{"text": "x", "number": true}'):
        with pytest.raises(Invalid):
            read(wrong)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", NotJson),
        (b"\xff", NotJson),
        (b'{"text": "x"', NotJson),
        (b'{"text": "x", "number": NaN}', NotJson),
        (b'{"text": "x", "number": Infinity}', NotJson),
        (b"[" * 100_000, NotJson),
        (b'{"text": "\\ud800"}', Invalid),
        (b'{"text": 1}', Invalid),
        (b'{"text": "x", "number": 1e5}', Invalid),
        (b"[]", Invalid),
    ],
)
def test_what_is_wrong_with_a_body_is_told_apart(body: bytes, problem: type[Problem]) -> None:
    with pytest.raises(problem):
        read(body)


@pytest.mark.parametrize(
    "fields",
    [{"content_type": "text/plain"}, {"content_type": ""}, {"content_encoding": "gzip"}, {"content_encoding": "br"}],
)
def test_what_is_not_plain_json_by_name_is_not_read(fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedMediaType):
        read(b'{"text": "x"}', **fields)
