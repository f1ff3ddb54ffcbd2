"""Methods, media types and headers: HTTP to the letter."""

import json
import socket
import time

import httpx
import pytest

from tests.support.problems import assert_problem
from tests.support.raw import SENTINEL, connect, exchange, parse_answers, read_to_end
from tests.support.server import Service
from tests.support.users import User

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
ALLOWED = {
    "/api/auth/signup": {"POST"},
    "/api/auth/login": {"POST"},
    "/api/auth/refresh": {"POST"},
    "/api/auth/logout": {"POST"},
    "/api/auth/me": {"GET", "HEAD", "DELETE"},
    "/api/auth/password": {"PUT"},
    "/.well-known/jwks.json": {"GET", "HEAD"},
    "/openapi.json": {"GET", "HEAD"},
    "{tasks}": {"GET", "HEAD", "POST"},
    "{tasks}/" + UNKNOWN: {"GET", "HEAD", "PUT", "PATCH", "DELETE"},
    "{tasks}/" + UNKNOWN + "/complete": {"PATCH"},
}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"}


def methods(header: str) -> set[str]:
    return {method.strip() for method in header.split(",")}


@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_is_not_supported_is_a_405_that_lists_the_others(idle_user: User, path: str) -> None:
    target = path.format(tasks=idle_user.tasks)
    for method in sorted(METHODS - ALLOWED[path]):
        response = idle_user.http.request(method, target)
        assert response.status_code == 405, method
        if method != "HEAD":
            assert_problem(response, 405, "method_not_allowed")
        assert methods(response.headers["allow"]) == ALLOWED[path] | {"OPTIONS"}, method


@pytest.mark.parametrize("path", ALLOWED)
def test_options_lists_the_methods_and_needs_no_token(visitor: httpx.Client, idle_user: User, path: str) -> None:
    response = visitor.options(path.format(tasks=idle_user.tasks))
    assert (response.status_code, response.content) == (204, b"")
    assert methods(response.headers["allow"]) == ALLOWED[path] | {"OPTIONS"}


@pytest.mark.parametrize("path", ["/nowhere", "/api", "/api/auth", "/API/AUTH/ME", "/api/x/y/z", "/metrics", "/livez"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_does_not_exist_is_a_404(visitor: httpx.Client, method: str, path: str) -> None:
    assert_problem(visitor.request(method, path), 404, "not_found")


@pytest.mark.parametrize("slashes", [2, 5000])
def test_slashes_at_the_end_of_a_path_are_none_of_its_parts(user: User, slashes: int) -> None:
    task, end = user.create(), "/" * slashes
    assert user.http.get(user.path(task) + end).content == user.http.get(user.path(task)).content
    listed = user.http.get(f"{user.tasks}{end}?limit=1&q={task['title'].replace(' ', '+')}")
    assert [found["id"] for found in listed.json()] == [task["id"]]
    assert_problem(user.http.get(f"{user.tasks}{end}x{end}"), 404, "not_found")


def test_a_path_of_slashes_leads_where_one_does(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(b"GET " + b"/" * 7000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = connection.makefile("rb").readline()
    assert head.split()[1] in {b"302", b"307", b"308"}


def test_head_answers_as_get_does_without_the_body(user: User) -> None:
    task = user.create()
    for path in (user.tasks, user.path(task), "/api/auth/me", "/.well-known/jwks.json", "/openapi.json", "/nowhere"):
        get, head = user.http.get(path), user.http.head(path)
        assert head.status_code == get.status_code
        assert head.content == b""
        changing = ("x-request-id", "date")
        assert {k: v for k, v in head.headers.items() if k not in changing} == {
            k: v for k, v in get.headers.items() if k not in changing
        }, path


def test_every_answer_carries_the_common_headers_once(service: Service, user: User) -> None:
    task, tag = user.path(user.create()), {"If-None-Match": "*"}
    answers = [
        user.http.request(method, path, headers=headers)
        for method, path, headers in (
            ("GET", user.tasks, {}),
            ("HEAD", user.tasks, {}),
            ("GET", task, tag),
            ("PATCH", f"{task}/complete", {}),
            ("DELETE", task, {}),
            ("DELETE", task, {}),
            ("OPTIONS", user.tasks, {}),
            ("GET", "/docs", {}),
            ("GET", "/docs", tag),
            ("GET", "/openapi.json", {}),
            ("GET", "/nowhere", {}),
        )
    ]
    assert [a.status_code for a in answers] == [200, 200, 304, 200, 204, 404, 204, 200, 304, 200, 404]
    for answer in answers:
        names = [name.lower() for name, _ in answer.headers.multi_items()]
        assert len(names) == len(set(names)), answer.request.url
        assert {"x-request-id", "x-content-type-options", "content-security-policy"} < set(names), answer.request.url
        assert ("content-length" in names) == (answer.status_code not in {204, 304}), answer.request.url
    (unreadable,) = exchange(service, b"no HTTP at all\r\n\r\n")
    assert {"x-request-id", "x-content-type-options", "content-security-policy"} < set(unreadable.headers)


@pytest.mark.parametrize(
    ("method", "path", "accepted"),
    [
        ("POST", "{tasks}", {"application/json"}),
        ("PUT", "{task}", {"application/json"}),
        ("PATCH", "{task}", {"application/json", "application/merge-patch+json"}),
        ("POST", "/api/auth/signup", {"application/json"}),
        ("POST", "/api/auth/login", {"application/json"}),
        ("POST", "/api/auth/refresh", {"application/json"}),
        ("POST", "/api/auth/logout", {"application/json"}),
        ("PUT", "/api/auth/password", {"application/json"}),
    ],
)
def test_other_media_types_are_a_415(user: User, method: str, path: str, accepted: set[str]) -> None:
    task = user.create()
    target = path.format(tasks=user.tasks, task=user.path(task))
    types = {
        "application/json",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/json",
        "application/xml",
        "application/jsonx",
        "nonsense",
        "",
    }
    for media_type in sorted(types - accepted):
        response = user.http.request(method, target, content=b"{}", headers={"Content-Type": media_type})
        assert_problem(response, 415, "unsupported_media_type")
    without = user.http.build_request(method, target, content=b"{}")
    assert "content-type" not in without.headers
    assert_problem(user.http.send(without), 415, "unsupported_media_type")
    for media_type in accepted:
        response = user.http.request(method, target, content=b"[]", headers={"Content-Type": media_type})
        assert_problem(response, 422, "validation_error")
    assert user.list() == [task]


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"])
def test_a_media_type_is_read_in_any_case_and_with_parameters(user: User, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    assert user.http.post(user.tasks, content=b'{"title": "x"}', headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["{tasks}", "/api/auth/login"])
def test_a_body_over_160_kib_is_a_413(idle_user: User, path: str) -> None:
    body = b'{"title": "' + b"x" * 160 * 1024 + b'"}'
    target = path.format(tasks=idle_user.tasks)
    response = idle_user.http.post(target, content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 413, "too_large")
    assert idle_user.list() == []


def test_the_longest_task_fits_however_its_characters_are_spelt(user: User) -> None:
    longest = {"title": "\U0001f600" * 500, "description": "\U0001f600" * 10_000}
    for body in (json.dumps(longest), json.dumps(longest, ensure_ascii=False)):
        answer = user.http.post(user.tasks, content=body.encode(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 201
        assert {name: answer.json()[name] for name in longest} == longest


@pytest.mark.parametrize("sent", ["a", "0f8fad5b-d9cb-469f-a165-70867728950e", "a.b_c:d/e+f=g@h-1", "x" * 128])
def test_a_sane_request_id_is_kept(visitor: httpx.Client, sent: str) -> None:
    response = visitor.get("/nowhere", headers={"X-Request-Id": sent})
    assert response.headers["x-request-id"] == response.json()["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", 'a"b', "a{b}", "<script>", "a;b", "a,b", "%0d%0a", "a\tb"])
def test_any_other_request_id_is_replaced(visitor: httpx.Client, sent: str) -> None:
    response = visitor.get("/nowhere", headers={"X-Request-Id": sent})
    made = response.headers["x-request-id"]
    assert made == response.json()["request_id"] != sent
    assert len(made) == 32
    assert set(made) <= set("0123456789abcdef")


def test_two_requests_have_two_ids(visitor: httpx.Client) -> None:
    ids = {visitor.get("/nowhere").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize("cut", ["nowhere", "before the body", "in the body", "in the next head"])
def test_bodies_are_taken_whole_and_no_further(service: Service, user: User, cut: str) -> None:
    """Two requests sent as one piece, or in two with a pause between: each gets its own body."""
    bodies = [b'{"title": "the first one"}', b'{"title": "the second one, which is longer"}']
    requests = [
        f"POST {user.tasks} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n".encode()
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for body in bodies
    ]
    first = len(requests[0])
    place = {
        "nowhere": 0,
        "before the body": first - len(bodies[0]),
        "in the body": first - 3,
        "in the next head": first + 9,
    }
    data = b"".join(requests) + SENTINEL
    with connect(service) as connection:
        connection.sendall(data[: place[cut]])
        time.sleep(0.1)
        connection.sendall(data[place[cut] :])
        answers = parse_answers(read_to_end(connection))
    assert [answer.status for answer in answers] == [201, 201, 200]
    assert [answer.json()["title"] for answer in answers[:2]] == [json.loads(body)["title"] for body in bodies]
    assert answers[2].is_sentinel
    assert sorted(task["title"] for task in user.list()) == ["the first one", "the second one, which is longer"]
