"""RFC 9110, section 13: every precondition, on every method that has something to compare it with."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.support.problems import assert_problem
from tests.support.server import Service
from tests.support.users import User, client

WRITES = ["PUT", "PATCH", "toggle", "DELETE"]
PAST, FUTURE = "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 06 Nov 2099 08:49:37 GMT"


def write(http: httpx.Client, verb: str, path: str, headers: Any) -> httpx.Response:
    body = {"title": "new"} if verb in ("PUT", "PATCH") else None
    method, target = ("PATCH", f"{path}/complete") if verb == "toggle" else (verb, path)
    return http.request(method, target, json=body, headers=headers)


def state(user: User, task: dict[str, Any]) -> tuple[str, str]:
    """Its path and its current tag."""
    path = user.path(task)
    return path, user.http.get(path).headers["etag"]


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("form", ["*", "{tag}", "W/{tag}", '"a,b" , {tag}', ',, {tag} ,"x"'])
def test_a_write_is_refused_in_a_state_that_it_excludes(user: User, verb: str, form: str) -> None:
    task = user.create()
    path, tag = state(user, task)
    answer = write(user.http, verb, path, {"If-None-Match": form.format(tag=tag)})
    assert_problem(answer, 412, "precondition_failed")
    assert answer.headers["etag"] == tag
    assert user.list() == [task]


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("form", ['"x"', "", '"*"', "nonsense", 'W/"x", "y"'])
def test_a_write_goes_through_in_any_other_state(user: User, verb: str, form: str) -> None:
    path, _ = state(user, user.create())
    assert write(user.http, verb, path, {"If-None-Match": form}).is_success


@pytest.mark.parametrize("verb", WRITES)
def test_both_conditions_have_to_hold(user: User, verb: str) -> None:
    task = user.create()
    path, tag = state(user, task)
    for match, none_match in ((tag, tag), ('"x"', '"y"'), (tag, "*"), ("*", tag)):
        answer = write(user.http, verb, path, {"If-Match": match, "If-None-Match": none_match})
        assert_problem(answer, 412, "precondition_failed")
    assert user.list() == [task]
    assert write(user.http, verb, path, {"If-Match": tag, "If-None-Match": '"x"'}).is_success


@pytest.mark.parametrize("verb", WRITES)
def test_conditions_do_not_count_where_there_is_no_task(user: User, verb: str) -> None:
    path = f"{user.tasks}/01890a5d-ac96-774b-bcce-b302099a8057"
    for fields in ({"If-None-Match": "*"}, {"If-None-Match": '"x"'}, {"If-Match": "*", "If-None-Match": "*"}):
        assert_problem(write(user.http, verb, path, fields), 404, "task_not_found")


@pytest.mark.parametrize("verb", WRITES)
def test_dates_are_ignored_where_no_date_of_change_is_told(user: User, verb: str) -> None:
    path, tag = state(user, user.create())
    assert "last-modified" not in user.http.get(path).headers
    fields = {"If-Unmodified-Since": PAST, "If-Modified-Since": FUTURE, "If-Match": tag}
    assert write(user.http, verb, path, fields).is_success


def targets(user: User) -> list[str]:
    return [user.path(user.create()), user.tasks, "/openapi.json", "/docs", "/docs/assets/docs.js"]


def test_a_read_is_refused_in_another_state_than_it_names(user: User) -> None:
    for target in targets(user):
        tag = user.http.get(target).headers["etag"]
        for form in ('"x"', f"W/{tag}", "", tag.strip('"'), '"*"'):
            answer = user.http.get(target, headers={"If-Match": form})
            assert_problem(answer, 412, "precondition_failed")
            assert answer.headers["etag"] == tag
        for form in ("*", tag, f'"x" ,{tag}'):
            assert user.http.get(target, headers={"If-Match": form}).status_code == 200


def test_what_a_read_must_match_is_looked_at_before_what_it_must_not(user: User) -> None:
    for target in targets(user):
        tag = user.http.get(target).headers["etag"]
        for match, none_match, status in (('"x"', tag, 412), (tag, tag, 304), (tag, '"x"', 200), ("*", "*", 304)):
            answer = user.http.get(target, headers={"If-Match": match, "If-None-Match": none_match})
            assert answer.status_code == status, (target, match, none_match)


def test_reads_ignore_dates(user: User) -> None:
    for target in targets(user):
        tag = user.http.get(target).headers["etag"]
        for fields, status in (
            ({"If-Modified-Since": FUTURE}, 200),
            ({"If-Modified-Since": FUTURE, "If-None-Match": '"x"'}, 200),
            ({"If-Modified-Since": PAST, "If-None-Match": tag}, 304),
            ({"If-Unmodified-Since": PAST}, 200),
            ({"If-Unmodified-Since": PAST, "If-Match": tag}, 200),
        ):
            assert user.http.get(target, headers=fields).status_code == status, (target, fields)


def test_a_create_is_measured_by_the_list_it_adds_to(user: User) -> None:
    user.create("first")
    tag = user.http.get(user.tasks).headers["etag"]
    for fields in ({"If-None-Match": "*"}, {"If-None-Match": tag}, {"If-Match": '"x"'}, {"If-Match": f"W/{tag}"}):
        assert_problem(user.http.post(user.tasks, json={"title": "x"}, headers=fields), 412, "precondition_failed")
    assert len(user.list()) == 1
    key = {"Idempotency-Key": "measured-by-the-list"}
    first = user.http.post(user.tasks, json={"title": "x"}, headers={"If-Match": tag, **key})
    again = user.http.post(user.tasks, json={"title": "x"}, headers={"If-Match": tag, **key})
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    stale = user.http.post(user.tasks, json={"title": "x"}, headers={"If-Match": tag})
    assert_problem(stale, 412, "precondition_failed")
    assert stale.headers["etag"] == user.http.get(user.tasks).headers["etag"]
    assert user.http.post(user.tasks, json={"title": "x"}, headers={"If-None-Match": '"x"'}).status_code == 201
    assert user.http.post(user.tasks, json={"title": "x"}, headers={"If-Match": "*"}).status_code == 201
    assert len(user.list()) == 4


def test_where_no_representation_is_selected_conditions_mean_nothing(user: User) -> None:
    fields = {"If-Match": '"x"', "If-None-Match": "*"}
    assert user.http.options(user.tasks, headers=fields).status_code == 204
    login = {"email": user.email, "password": "correct horse battery staple"}
    assert user.http.post("/api/auth/login", json=login, headers=fields).status_code == 200
    assert user.http.get("/", headers=fields).status_code == 302


@pytest.mark.parametrize("verb", WRITES)
def test_of_two_writers_that_exclude_a_state_neither_gets_through(service: Service, user: User, verb: str) -> None:
    """In the state that both exclude neither gets through, however close together they come."""
    with client(service.url, **user.http.headers) as one, client(service.url, **user.http.headers) as two:
        for _ in range(5):
            task = user.create()
            path, tag = state(user, task)
            start = Barrier(2)

            def race(http: httpx.Client, path: str = path, tag: str = tag, start: Barrier = start) -> httpx.Response:
                start.wait()
                return write(http, verb, path, {"If-None-Match": tag})

            with ThreadPoolExecutor(2) as threads:
                answers = list(threads.map(race, (one, two)))
            assert [answer.status_code for answer in answers] == [412, 412]
            assert user.http.get(path).json() == task
