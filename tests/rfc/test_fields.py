"""RFC 9110, 5789, 6750 and 9457: the fields that answers have to carry."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx
import pytest

from service.http.admission import refusal
from service.http.responses import problem_response
from service.problems import Unexpected
from tests.support.problems import assert_problem
from tests.support.raw import Answer, exchange, parse_answers, request
from tests.support.server import Service
from tests.support.users import PASSWORD, User, client

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
PROBES = ("/livez", "/readyz", "/version", "/metrics")


def assert_dated(answer: httpx.Response | Answer) -> None:
    """Rendered as RFC 9110 prefers it, and now."""
    date = answer.headers["date"]
    assert date.endswith(" GMT")
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 5


def test_every_answer_is_dated(service: Service, user: User) -> None:
    path = user.path(user.create())
    for method, target, status in (
        ("GET", path, 200),
        ("HEAD", path, 200),
        ("GET", user.tasks, 200),
        ("PATCH", f"{path}/complete", 200),
        ("OPTIONS", path, 204),
        ("DELETE", path, 204),
        ("DELETE", path, 404),
        ("GET", "/", 302),
        ("GET", "/docs", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/docs", 405),
    ):
        answer = user.http.request(method, target)
        assert answer.status_code == status
        assert_dated(answer)
    unchanged = user.http.get(user.tasks, headers={"If-None-Match": "*"})
    assert unchanged.status_code == 304
    assert_dated(unchanged)


def test_refusals_of_what_could_not_be_read_are_dated(service: Service) -> None:
    for data in (
        b"no HTTP at all\r\n\r\n",
        request("GET", "/" + "x" * 40_000),
        request("POST", "/", "Expect: x", body=b"x"),
    ):
        assert_dated(exchange(service, data)[0])


def test_a_refusal_without_being_read_is_dated_as_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for second in (1_800_000_000, 1_800_000_001):
        monkeypatch.setattr("service.http.responses.time", lambda second=second: second + 0.9)
        refused = refusal(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert refused is not None
        [answer] = parse_answers(refused[2])
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert parsedate_to_datetime(answer.headers["date"]).timestamp() == second


def test_the_operations_port_dates_its_answers_too(service: Service) -> None:
    with client(service.admin_url) as admin:
        for method, path, status in (("GET", "/livez", 200), ("GET", "/nowhere", 404), ("POST", "/livez", 405)):
            answer = admin.request(method, path)
            assert answer.status_code == status
            assert_dated(answer)
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_probes_answer_head_as_get(service: Service) -> None:
    with client(service.admin_url) as admin:
        for path in PROBES:
            get, head = admin.get(path), admin.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == get.headers["content-type"]
            assert "content-length" in head.headers


def test_the_operations_port_names_the_methods_it_has(service: Service) -> None:
    with client(service.admin_url) as admin:
        for method in ("POST", "DELETE", "TRACE", "PROPFIND"):
            answer = admin.request(method, "/livez")
            assert_problem(answer, 405, "method_not_allowed")
            assert {"GET", "HEAD"} <= {name.strip() for name in answer.headers["allow"].split(",")}


def test_every_401_carries_a_challenge(service: Service, user: User, visitor: httpx.Client) -> None:
    wrong = {"email": user.email, "password": PASSWORD + "!"}
    answers = [
        visitor.get(user.tasks),
        visitor.post("/api/auth/login", json=wrong),
        visitor.post("/api/auth/refresh", json={"refresh_token": "x"}),
        user.http.put("/api/auth/password", json={"current_password": "x" * 9, "new_password": PASSWORD}),
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="tasks-service"', answer.url


def test_the_challenge_names_an_error_only_where_a_token_was_sent(service: Service, user: User) -> None:
    challenges = []
    for sent in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer x"}):
        with client(service.url, **sent) as visitor:
            challenges.append(visitor.get(user.tasks).headers["www-authenticate"])
    assert user.http.delete("/api/auth/me").status_code == 204
    challenges.append(user.http.get("/api/auth/me").headers["www-authenticate"])
    plain, faulty = 'Bearer realm="tasks-service"', 'Bearer realm="tasks-service", error="invalid_token"'
    assert challenges == [plain, plain, faulty, faulty]


def test_a_415_says_what_would_do(user: User) -> None:
    path = user.path(user.create())
    for method, target, name, accepted in (
        ("POST", user.tasks, "accept", {JSON}),
        ("PUT", path, "accept", {JSON}),
        ("PATCH", path, "accept-patch", {JSON, MERGE_PATCH}),
        ("POST", "/api/auth/login", "accept", {JSON}),
    ):
        answer = user.http.request(method, target, content=b"<x/>", headers={"Content-Type": "application/xml"})
        assert_problem(answer, 415, "unsupported_media_type")
        assert set(answer.headers[name].split(", ")) == accepted
    coded = user.http.post(user.tasks, content=b"", headers={"Content-Type": JSON, "Content-Encoding": "gzip"})
    assert_problem(coded, 415, "unsupported_media_type")
    assert coded.headers["accept-encoding"] == "identity"


def test_options_says_in_which_formats_one_may_patch(user: User) -> None:
    answer = user.http.options(f"{user.tasks}/01890a5d-ac96-774b-bcce-b302099a8057")
    assert set(answer.headers["accept-patch"].split(", ")) == {JSON, MERGE_PATCH}
    assert "accept-patch" not in user.http.options(user.tasks).headers


def test_an_answer_to_a_change_says_whose_state_it_holds(user: User) -> None:
    """Its tag is that of the task in the answer, which is not what the client has sent."""
    created = user.http.post(user.tasks, json={"title": " x "})
    path = created.headers["location"]
    key = {"Idempotency-Key": "content-location"}
    changes = (
        ("PUT", path, {"title": " y "}),
        ("PATCH", path, {"completed": True}),
        ("PATCH", f"{path}/complete", None),
    )
    for method, target, body in (*changes, changes[2]):
        answer = user.http.request(method, target, json=body, headers=key if body is None else {})
        assert answer.headers["content-location"] == path
        current = user.http.get(path)
        assert (current.headers["etag"], current.json()) == (answer.headers["etag"], answer.json())
    assert created.headers["etag"] != current.headers["etag"]


def test_a_304_has_the_fields_of_the_200(user: User) -> None:
    user.create()
    path = user.path(user.create())
    # Of a list's 304 nobody has read the page, so that it has no `Link`; section 15.4.5 does not ask for one.
    changing = {"date", "x-request-id", "content-length", "content-type", "link"}
    for target in (path, user.tasks, f"{user.tasks}?limit=1", "/docs", "/docs/assets/docs.js", "/openapi.json"):
        full = user.http.get(target)
        again = user.http.get(target, headers={"If-None-Match": full.headers["etag"]})
        assert (full.status_code, again.status_code) == (200, 304)
        expected = {name: value for name, value in full.headers.items() if name not in changing}
        assert {name: value for name, value in again.headers.items() if name not in changing} == expected, target


def test_no_cache_may_keep_an_error_or_a_token(user: User, visitor: httpx.Client) -> None:
    for answer in (user.http.get(f"{user.tasks}/{user.id}"), visitor.get("/nowhere"), visitor.get(user.tasks)):
        assert answer.headers["cache-control"] == "no-store"
    for path in (user.tasks, user.path(user.create())):
        answer = user.http.get(path)
        assert answer.headers["cache-control"] == "private, no-cache"
        assert {name.strip() for name in answer.headers["vary"].split(",")} >= {"Authorization", "Prefer"}


def test_ranges_are_ignored(user: User) -> None:
    path = user.path(user.create())
    whole = user.http.get(path)
    part, tag = {"Range": "bytes=0-3"}, whole.headers["etag"]
    for fields in (part, {**part, "If-Range": tag}, {**part, "If-Range": '"x"'}, {"If-Range": tag}):
        answer = user.http.get(path, headers=fields)
        assert (answer.status_code, answer.content) == (200, whole.content)
        assert "content-range" not in answer.headers


def test_a_part_cannot_be_put_in_place_of_the_whole(user: User) -> None:
    task = user.create()
    answer = user.http.put(user.path(task), json={"title": "part"}, headers={"Content-Range": "bytes 0-3/10"})
    assert_problem(answer, 400, "bad_request")
    assert user.list() == [task]


def test_what_cannot_be_negotiated_is_not_refused(user: User) -> None:
    """There is one representation of everything; who cannot take it gets it nevertheless."""
    task = user.create()
    for fields in ({"Accept": "text/html"}, {"Accept": "application/json;q=0"}, {"Accept-Language": "xx"}):
        assert user.http.get(user.path(task), headers=fields).json() == task


def test_a_body_of_a_read_means_nothing(user: User) -> None:
    task = user.create()
    for method in ("GET", "DELETE"):
        answer = user.http.request(method, user.path(task), content=b"{not JSON", headers={"Content-Type": JSON})
        assert answer.is_success


def test_the_problem_and_its_answer_have_one_status(user: User) -> None:
    for answer in (user.http.get("/nowhere"), user.http.post(user.tasks), user.http.put(user.tasks)):
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["type"] == f"urn:problem:{answer.json()['code']}"
    ours = httpx.Response(500, content=problem_response(Unexpected(), "x").body).json()
    assert (ours["type"], ours["title"]) == ("about:blank", HTTPStatus(500).phrase)


@pytest.mark.parametrize("prefer", ["count=exact", "COUNT=exact", 'count="exact"', "a, count=exact; x"])
def test_preferences_are_read_as_a_list(user: User, prefer: str) -> None:
    answer = user.http.get(user.tasks, headers=[("Prefer", "return=minimal"), ("Prefer", prefer)])
    assert answer.headers["preference-applied"] == "count=exact"


def test_a_refused_guess_says_when_to_come_back(start_service: Callable[..., Service], user: User) -> None:
    service = start_service(LOGIN_ATTEMPTS_PER_MINUTE="1")
    wrong = {"email": user.email, "password": "x" * 9}
    limited = 'auth_failures_total{reason="limited"}'
    with client(service.url) as visitor:
        assert visitor.post("/api/auth/login", json=wrong).status_code == 401
        assert service.metric(limited) == 0
        answer = visitor.post("/api/auth/login", json=wrong)
    assert_problem(answer, 429, "too_many_requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert service.metric(limited) == 1
