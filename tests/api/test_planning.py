"""The fields that people plan with: due days and moments, priorities, labels."""

import itertools
import random
from typing import Any

import httpx
import pytest

from tests.support.database import Database
from tests.support.problems import assert_problem, faults
from tests.support.users import User

PLAN: dict[str, Any] = {"due_on": "2026-12-24", "priority": "high", "labels": ["home", "Étage 2"]}
ORDER = ["none", "low", "medium", "high", "urgent"]


def titles(tasks: list[dict[str, Any]]) -> str:
    return "".join(task["title"] for task in tasks)


def patched(user: User, task: dict[str, Any], **patch: object) -> dict[str, Any]:
    response = user.http.patch(user.path(task), json=patch)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_a_task_without_a_plan_is_as_it_always_was(user: User) -> None:
    task = user.create()
    assert list(task) == [
        *("id", "user_id", "title", "description", "completed", "created_at", "updated_at"),
        *("completed_at", "due_on", "due_at", "priority", "labels"),
    ]
    assert [task[name] for name in ("completed_at", "due_on", "due_at")] == [None] * 3
    assert (task["priority"], task["labels"]) == ("none", [])


def test_a_plan_is_kept_in_order_and_spelling(user: User) -> None:
    task = user.create(**PLAN)
    assert {name: task[name] for name in PLAN} == PLAN
    assert user.http.get(user.path(task)).json() == task
    replaced = user.http.put(user.path(task), json={"title": "other"}).json()
    assert {name: replaced[name] for name in PLAN} == PLAN, "what is left out stays"


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00.000000Z"),
        ("2026-12-24T18:00:00.5+05:30", "2026-12-24T12:30:00.500000Z"),
        ("2026-12-24t18:00:00z", "2026-12-24T18:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("2026-12-24T18:00:00.123456789Z", "2026-12-24T18:00:00.123456Z"),
    ],
)
def test_a_moment_is_answered_in_utc(user: User, given: str, answered: str) -> None:
    task = user.create(due_at=given)
    assert (task["due_at"], task["due_on"]) == (answered, None)
    assert user.http.get(user.path(task)).json() == task


def test_setting_one_due_clears_the_other(user: User) -> None:
    task = user.create(due_on="2026-12-24")
    task = patched(user, task, due_at="2026-12-24T10:00:00Z")
    assert (task["due_on"], task["due_at"]) == (None, "2026-12-24T10:00:00.000000Z")
    task = patched(user, task, due_on=None)
    assert task["due_at"] is not None, "clearing what is not set leaves the other"
    task = patched(user, task, due_on="2026-12-25", due_at=None)
    assert (task["due_on"], task["due_at"]) == ("2026-12-25", None)
    task = patched(user, task, due_on=None)
    assert (task["due_on"], task["due_at"]) == (None, None)


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"due_on": "2026-12-24", "due_at": "2026-12-24T10:00:00Z"}, "/due_at"),
        ({"due_on": "2026-13-01"}, "/due_on"),
        ({"due_on": "2026-02-30"}, "/due_on"),
        ({"due_on": "20261224"}, "/due_on"),
        ({"due_on": "2026-12-24T00:00:00Z"}, "/due_on"),
        ({"due_on": "10000-01-01"}, "/due_on"),
        ({"due_on": "0000-01-01"}, "/due_on"),
        ({"due_on": 20261224}, "/due_on"),
        ({"due_on": ""}, "/due_on"),
        ({"due_at": "2026-12-24"}, "/due_at"),
        ({"due_at": "2026-12-24T10:00:00"}, "/due_at"),
        ({"due_at": "2026-12-24T10:00:00 01:00"}, "/due_at"),
        ({"due_at": 1e9}, "/due_at"),
        ({"due_at": "0001-01-01T00:00:00+01:00"}, "/due_at"),
        ({"due_at": "9999-12-31T23:59:59-01:00"}, "/due_at"),
        ({"due_at": True}, "/due_at"),
        ({"due_at": "2026-12-24T24:00:00Z"}, "/due_at"),
        ({"due_at": "2026-12-24T10:60:00Z"}, "/due_at"),
        ({"due_at": "2026-12-24T10:00:00+05:60"}, "/due_at"),
        ({"due_at": "2026-12-24T10:00:00-24:00"}, "/due_at"),
        ({"priority": "High"}, "/priority"),
        ({"priority": 3}, "/priority"),
        ({"priority": None}, "/priority"),
        ({"labels": None}, "/labels"),
        ({"labels": "home"}, "/labels"),
        ({"labels": ["a", " a "]}, "/labels"),
        ({"labels": [""]}, "/labels/0"),
        ({"labels": [" "]}, "/labels/0"),
        ({"labels": ["x" * 51]}, "/labels/0"),
        ({"labels": ["\0"]}, "/labels/0"),
        ({"labels": [1]}, "/labels/0"),
        ({"labels": [str(n) for n in range(21)]}, "/labels"),
        ({"completed_at": "2026-12-24T10:00:00Z"}, "/completed_at"),
        ({"clocked": True}, "/clocked"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_place(user: User, verb: str, body: dict[str, Any], pointer: str) -> None:
    task = user.create()
    path = user.tasks if verb == "POST" else user.path(task)
    response = user.http.request(verb, path, json={"title": "x", **body})
    assert pointer in {place for place, _ in faults(response)}
    assert user.list() == [task]


def test_the_longest_plan_fits(user: User) -> None:
    labels = [f"\U0001f600{n:02}".ljust(50, "\U0001f680") for n in range(20)]
    assert user.create("x" * 500, description="y" * 10_000, labels=labels)["labels"] == labels
    assert user.create(labels=[f"  {'z' * 50}  "])["labels"] == ["z" * 50]


def test_the_plan_goes_through_trash_changes_and_batch(user: User) -> None:
    task = user.create(**PLAN)
    token = user.http.get(f"{user.tasks}/changes").json()["next"]
    user.http.delete(user.path(task))
    [trashed] = user.http.get(f"/api/{user.id}/trash").json()
    assert {name: trashed[name] for name in PLAN} == PLAN
    restored = user.http.post(f"/api/{user.id}/trash/{task['id']}/restore").json()
    assert {name: restored[name] for name in PLAN} == PLAN
    [change] = user.http.get(f"{user.tasks}/changes", params={"since": token}).json()["changes"]
    assert change["task"] == restored
    operations = [
        {"op": "create", "task": {"title": "new", **PLAN}},
        {"op": "patch", "id": task["id"], "task": {"due_at": "2026-12-24T10:00:00Z", "labels": []}},
    ]
    results = user.http.post(f"{user.tasks}/batch", json={"operations": operations}).json()["results"]
    assert {name: results[0]["task"][name] for name in PLAN} == PLAN
    assert (results[1]["task"]["due_on"], results[1]["task"]["labels"]) == (None, [])
    user.http.delete(user.path(task))
    user.http.delete(f"/api/{user.id}/trash")


def test_what_is_erased_has_no_plan_left(database: Database, user: User) -> None:
    task = user.create(**PLAN)
    user.http.delete(user.path(task))
    user.http.delete(f"/api/{user.id}/trash/{task['id']}")
    row = database.query("SELECT due_on, due_at, priority, labels FROM deleted_tasks WHERE id = $1", task["id"])[0]
    assert list(row) == [None] * 4


def test_due_is_sorted_with_the_undated_last_in_both_directions(user: User) -> None:
    user.create("c", due_on="2026-01-02")  # as its end in UTC
    user.create("x")
    user.create("a", due_at="2026-01-01T12:00:00Z")
    user.create("d", due_at="2026-01-03T00:00:00Z")
    user.create("b", due_at="2026-01-02T23:59:59Z")
    user.create("y")
    assert titles(user.list(sort="due")) == "abcdxy"
    assert titles(user.list(sort="-due")) == "dcbayx"


@pytest.mark.parametrize("sort", ["due", "-due", "priority", "-priority"])
@pytest.mark.parametrize("limit", [1, 3])
def test_pages_of_plans_show_each_task_once(user: User, sort: str, limit: int) -> None:
    chance = random.Random(7)
    for number in range(10):
        due: dict[str, Any] = chance.choice(
            [{}, {}, {"due_on": "2026-01-02"}, {"due_at": f"2026-01-0{chance.randint(1, 3)}T00:00:00Z"}]
        )
        user.create(str(number), priority=chance.choice(ORDER), **due)
    whole = user.list(sort=sort)
    pages, response = [], user.http.get(user.tasks, params={"sort": sort, "limit": limit})
    while True:
        pages += response.json()
        if "next" not in response.links:
            break
        response = user.http.get(response.links["next"]["url"])
    assert pages == whole
    assert len(whole) == 10
    if sort.endswith("priority"):
        ranks = [ORDER.index(task["priority"]) for task in whole]
        assert ranks == sorted(ranks, reverse=sort.startswith("-"))


def test_filters_of_plans(user: User) -> None:
    user.create("a", due_on="2026-01-01", priority="low", labels=["home", "garden"])
    user.create("b", due_at="2026-01-02T08:00:00Z", priority="high", labels=["home"])
    user.create("c", due_on="2026-01-03", priority="urgent", labels=["work"])
    user.create("d")
    cases: list[tuple[dict[str, str], str]] = [
        ({"due_from": "2026-01-02"}, "bc"),
        ({"due_to": "2026-01-02"}, "ab"),
        ({"due_from": "2026-01-02", "due_to": "2026-01-02"}, "b"),
        ({"due_from": "2026-01-02T08:00:00Z"}, "bc"),
        ({"due_from": "2026-01-02T09:00:00+01:00"}, "bc"),
        ({"due_from": "2026-01-02T08:00:01Z"}, "c"),
        ({"due_to": "2026-01-02T08:00:00Z"}, "ab"),
        ({"priority": "high"}, "b"),
        ({"priority": "high,low"}, "ab"),
        ({"priority": "none"}, "d"),
        ({"label": "home"}, "ab"),
        ({"label": "Home"}, ""),
        ({"label": "home", "priority": "low"}, "a"),
        ({"label": "home", "sort": "-due"}, "ba"),
    ]
    for parameters, expected in cases:
        found = user.list(**{"sort": "title", **parameters})
        assert titles(found) == expected, parameters
        counted = user.http.get(user.tasks, params=parameters, headers={"Prefer": "count=exact"})
        assert counted.headers["X-Total-Count"] == str(len(expected)), parameters
    both = user.http.get(f"{user.tasks}?label=home&label=garden")
    assert titles(both.json()) == "a"
    linked = user.http.get(f"{user.tasks}?label=home&label=garden&limit=1&sort=due")
    assert "next" not in linked.links
    linked = user.http.get(f"{user.tasks}?label=home&priority=low,high&due_from=2026-01-01&limit=1&sort=due")
    assert titles(linked.json() + user.http.get(linked.links["next"]["url"]).json()) == "ab"
    # As generated clients send it, whatever the description says of commas.
    linked = user.http.get(f"{user.tasks}?priority=low&priority=high,none&limit=2&sort=title")
    assert titles(linked.json() + user.http.get(linked.links["next"]["url"]).json()) == "abd"


@pytest.mark.parametrize(
    ("plan", "moment"),
    [
        ({"due_on": "9999-12-31"}, "9999-12-31T23:59:59.999999Z"),
        ({"due_at": "9999-12-31T23:59:59.999999Z"}, "9999-12-31T23:59:59.999999Z"),
        ({"due_at": "0001-01-01T00:00:00Z"}, "0001-01-01T00:00:00Z"),
    ],
)
def test_the_first_and_the_last_moment_are_moments_like_others(user: User, plan: dict[str, str], moment: str) -> None:
    task = user.create(**plan)
    assert user.list(due_from=moment, due_to=moment) == [task]


@pytest.mark.parametrize(
    "query",
    [
        "due_from=yesterday",
        "due_to=2026-02-30",
        "priority=",
        "priority=high,",
        "priority=highest",
        "priority=low&priority=highest",
        "priority=low&priority=",
        "&".join(["priority=low"] * 6),
        "label=",
        "label=" + "x" * 51,
        "&".join(f"label={n}" for n in range(6)),
        "sort=labels",
        "label=%00",
    ],
)
def test_a_wrong_filter_is_refused(user: User, query: str) -> None:
    assert_problem(user.http.get(f"{user.tasks}?{query}"), 422, "validation_error")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("priority=LOW", "Input should be 'none', 'low', 'medium', 'high' or 'urgent'"),
        ("label=", "String should have at least 1 character"),
        ("&".join(f"label={n}" for n in range(6)), "Give at most 5"),
        ("due_from=2026-13-01", "This is neither a day as YYYY-MM-DD nor an RFC 3339 timestamp with an offset"),
    ],
)
def test_what_is_wrong_with_a_filter_is_told_once_and_in_plain_words(user: User, query: str, told: str) -> None:
    mistakes = user.http.get(f"{user.tasks}?{query}").json()["errors"]
    assert [mistake["message"] for mistake in mistakes] == [told]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("", {"title": "x", "labels": [str(n) for n in range(21)]}, "Give at most 20"),
        ("/batch", {"operations": []}, "Give at least 1"),
    ],
)
def test_how_many_there_may_be_is_told_in_plain_words(user: User, path: str, body: object, told: str) -> None:
    mistakes = user.http.post(f"{user.tasks}{path}", json=body).json()["errors"]
    assert [mistake["message"] for mistake in mistakes] == [told]


def test_labels_in_use_with_their_numbers(user: User, other_user: User) -> None:
    path = f"/api/{user.id}/labels"
    assert user.http.get(path).json() == []
    other_user.create(labels=["foreign"])
    user.create(labels=["b", "a"])
    gone = user.create(labels=["a", "é", "B"])
    user.create()
    first = user.http.get(path)
    assert first.json() == [{"name": n, "tasks": c} for n, c in (("B", 1), ("a", 2), ("b", 1), ("é", 1))]
    assert user.http.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    user.http.delete(user.path(gone))
    assert user.http.get(path).json() == [{"name": "a", "tasks": 1}, {"name": "b", "tasks": 1}]
    assert_problem(user.http.get(f"/api/{other_user.id}/labels"), 403, "forbidden")
    assert_problem(user.http.get(f"{path}?limit=3"), 422, "validation_error")


def test_very_many_labels_come_in_pages(database: Database, user: User) -> None:
    database.query(
        "INSERT INTO tasks (id, user_id, title, labels) SELECT gen_random_uuid(), $1, n::text,"
        " (SELECT array_agg(lpad((n * 20 + k)::text, 6, '0')) FROM generate_series(1, 20) k)"
        " FROM generate_series(1, 300) n",
        user.id,
    )
    response: httpx.Response = user.http.get(f"/api/{user.id}/labels")
    names = [label["name"] for label in response.json()]
    assert len(names) == 5000
    response = user.http.get(response.links["next"]["url"])
    names += [label["name"] for label in response.json()]
    assert names == sorted(set(names))
    assert (len(names), "next" in response.links) == (6000, False)


def test_every_pair_of_fields_can_change_together(user: User) -> None:
    """Each pair alone and together: no field's value lands in another's column."""
    values: dict[str, Any] = {
        "title": "t",
        "description": "d",
        "completed": True,
        "due_on": "2026-05-05",
        "priority": "low",
        "labels": ["l"],
    }
    for pair in itertools.combinations(values, 2):
        task = user.create("before", description="before")
        given = {name: values[name] for name in pair}
        changed = patched(user, task, **given)
        times = ("updated_at", "completed_at")
        assert {k: v for k, v in changed.items() if k not in times} == {
            k: v for k, v in {**task, **given}.items() if k not in times
        }
