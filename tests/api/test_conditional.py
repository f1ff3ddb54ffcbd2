"""Entity tags: 304 for those who poll, 412 for those who would overwrite."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.support.database import Database
from tests.support.problems import assert_problem
from tests.support.server import Service
from tests.support.users import User, client

WRITES = ["PUT", "PATCH", "toggle", "DELETE"]


def write(http: httpx.Client, verb: str, path: str, if_match: str | None, title: str = "new") -> httpx.Response:
    headers = {} if if_match is None else {"If-Match": if_match}
    body: Any = {"title": title} if verb in ("PUT", "PATCH") else None
    method, target = ("PATCH", f"{path}/complete") if verb == "toggle" else (verb, path)
    return http.request(method, target, json=body, headers=headers)


def tag_of(user: User, task: dict[str, Any]) -> str:
    return str(user.http.get(user.path(task)).headers["etag"])


def is_304(response: httpx.Response, tag: str) -> bool:
    assert "content-type" not in response.headers
    return (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)


def test_a_task_that_has_not_changed_is_a_304(user: User) -> None:
    task = user.create()
    path, tag = user.path(task), tag_of(user, task)
    assert tag.startswith('"')
    for sent in (tag, f"W/{tag}", f'"x", {tag}', f'"x",W/{tag} , "y"', "*", f'"a,b", {tag}'):
        assert is_304(user.http.get(path, headers={"If-None-Match": sent}), tag), sent
        assert is_304(user.http.head(path, headers={"If-None-Match": sent}), tag), sent
    for sent in ('"x"', tag.strip('"'), f'"{tag}"', '""', "", tag.upper() + "x", '"*"'):
        assert user.http.get(path, headers={"If-None-Match": sent}).status_code == 200, sent


def test_a_list_that_has_not_changed_is_a_304_until_it_does(user: User) -> None:
    task = user.create()
    changes: list[Callable[[], object]] = [
        lambda: user.create("another"),
        lambda: user.http.patch(f"{user.path(task)}/complete"),
        lambda: user.http.delete(user.path(task)),
    ]
    for change in changes:
        tag = user.http.get(user.tasks).headers["etag"]
        assert is_304(user.http.get(user.tasks, headers={"If-None-Match": tag}), tag)
        assert is_304(user.http.get(user.tasks, headers={"If-None-Match": f'"x", W/{tag}'}), tag)
        change()
        response = user.http.get(user.tasks, headers={"If-None-Match": tag})
        assert response.status_code == 200
        assert response.headers["etag"] != tag


def test_a_304_of_a_list_has_the_fields_that_keep_the_stored_page_right(user: User) -> None:
    """`Link` stands in the page that the client has: rendering it anew would need the page."""
    user.create()
    user.create()
    first = user.http.get(f"{user.tasks}?limit=1")
    again = user.http.get(f"{user.tasks}?limit=1", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    for name in ("etag", "cache-control", "vary"):
        assert again.headers[name] == first.headers[name]


def test_two_tag_fields_count_as_one_list(user: User) -> None:
    task = user.create()
    tag = tag_of(user, task)
    for name, status in (("If-None-Match", 304), ("If-Match", 200)):
        headers = [(name, '"x"'), (name, tag)]
        method, path = ("GET", user.path(task)) if status == 304 else ("PATCH", f"{user.path(task)}/complete")
        assert user.http.request(method, path, headers=headers).status_code == status


@pytest.mark.parametrize("verb", WRITES)
def test_a_stale_if_match_leaves_the_task_alone(user: User, verb: str) -> None:
    task = user.create()
    path, stale = user.path(task), tag_of(user, task)
    current = user.http.patch(path, json={"title": "changed by another"})
    tag = current.headers["etag"]
    for sent in (stale, f"W/{tag}", '"x"', f'{stale}, W/{tag}, "y"', "", "nonsense", tag.strip('"'), '""', '"*"'):
        response = write(user.http, verb, path, sent)
        assert_problem(response, 412, "precondition_failed")
        assert response.headers["etag"] == tag
    assert user.http.get(path).json() == current.json()


@pytest.mark.parametrize("disguise", ['"0x{}"', '"0{}"', '"+{}"', '"{}_0"', '"-{}"', '" {}"'])
def test_a_tag_is_compared_character_by_character(user: User, disguise: str) -> None:
    task = user.create()
    while tag_of(user, task).strip('"').isdecimal():  # now and then a tag has no letter that could be upper case
        task = user.http.patch(f"{user.path(task)}/complete").json()
    forged = disguise.format(tag_of(user, task).strip('"'))
    assert_problem(write(user.http, "PUT", user.path(task), forged), 412, "precondition_failed")
    upper = tag_of(user, task).upper()
    assert upper != tag_of(user, task)
    assert_problem(write(user.http, "PUT", user.path(task), upper), 412, "precondition_failed")
    assert user.list() == [task]


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("form", ["{}", "*", '{} , "x"', '"x",{}'])
def test_an_if_match_that_holds_lets_the_write_through(user: User, verb: str, form: str) -> None:
    task = user.create()
    tag = tag_of(user, task)
    response = write(user.http, verb, user.path(task), form.format(tag))
    assert response.status_code == (204 if verb == "DELETE" else 200)
    if verb != "DELETE":
        assert response.headers["etag"] == tag_of(user, task) != tag


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("sent", ["*", '"x"', ""])
def test_a_task_that_is_gone_is_a_404_and_no_412(user: User, verb: str, sent: str) -> None:
    task = user.create()
    user.http.delete(user.path(task))
    assert_problem(write(user.http, verb, user.path(task), sent), 404, "task_not_found")


@pytest.mark.parametrize(
    "tag", ['"' + "f" * 5000 + '"', '"7' + "f" * 15 + '"', '"-1"', '"' + "9" * 30 + '"', '"\u00ff"']
)
def test_an_absurd_tag_is_a_412(user: User, tag: str) -> None:
    task = user.create()
    response = user.http.put(user.path(task), json={"title": "x"}, headers={b"If-Match": tag.encode("latin-1")})
    assert_problem(response, 412, "precondition_failed")
    assert user.list() == [task]


@pytest.mark.parametrize("verb", WRITES)
def test_of_two_writers_with_one_tag_exactly_one_wins(service: Service, user: User, verb: str) -> None:
    with client(service.url, **user.http.headers) as first, client(service.url, **user.http.headers) as second:
        for http in (first, second):
            http.get(user.tasks)  # both have their connection before the race begins
        for number in range(8):
            task = user.create()
            path, tag, start = user.path(task), tag_of(user, task), Barrier(2)

            def race(http: httpx.Client, path: str = path, tag: str = tag, start: Barrier = start) -> httpx.Response:
                start.wait()
                return write(http, verb, path, tag, title=f"by {id(http)}")

            with ThreadPoolExecutor(2) as threads:
                answers = sorted(threads.map(race, (first, second)), key=lambda answer: answer.status_code)
            won, lost = answers
            assert won.status_code == (204 if verb == "DELETE" else 200), number
            if verb == "DELETE":
                assert_problem(lost, 404, "task_not_found")
            else:
                assert_problem(lost, 412, "precondition_failed")
                assert lost.headers["etag"] == won.headers["etag"]
                assert user.http.get(path).json() == won.json()


def test_writers_without_a_tag_all_take_effect(service: Service, user: User, database: Database) -> None:
    task = user.create()

    def toggle(_: int) -> str:
        with client(service.url, **user.http.headers) as http:
            return str(http.patch(f"{user.path(task)}/complete").json()["updated_at"])

    with ThreadPoolExecutor(5) as threads:
        times = list(threads.map(toggle, range(15)))
    assert len(set(times)) == 15
    after = user.http.get(user.path(task)).json()
    assert (after["completed"], after["updated_at"]) == (True, max(times))
