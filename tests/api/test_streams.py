"""A user's changes as a stream of events: what comes, what begins it, what ends it, and who may have one."""

import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.tasks.streams import KEEPALIVE_SLOTS, KEEPALIVE_TICK_SECONDS
from tests.support.database import Database
from tests.support.drill import eventually
from tests.support.problems import assert_problem
from tests.support.server import Service
from tests.support.streams import Reader
from tests.support.users import PASSWORD, User, sign_up

ROUTE = "/api/{user_id}/tasks/changes"


@pytest.fixture
def others(start_service: Callable[..., Service]) -> Service:
    """Another process on the same database."""
    return start_service()


@pytest.fixture
def reader(service: Service, user: User) -> Iterator[Reader]:
    with Reader(service.url, user) as reading:
        yield reading


def token_of_now(user: User) -> str:
    page = user.http.get(f"{user.tasks}/changes").json()
    while page["more"]:
        page = user.http.get(f"{user.tasks}/changes", params={"since": page["next"]}).json()
    return str(page["next"])


def refused(service: Service, user: User, **how: str) -> httpx.Response:
    """The answer to a stream that does not begin."""
    last_id = how.pop("last_id", None)
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id is not None else {})}
    return httpx.get(
        f"{service.url}{how.pop('tasks', user.tasks)}/changes",
        params=how,
        headers={"Authorization": f"Bearer {user.token}", **headers},
        timeout=10,
        verify=False,
    )


def test_a_change_is_an_event_as_it_is_in_changes(user: User, reader: Reader) -> None:
    since = reader.last_id
    task = user.create("one\nand\r\ntwo\u2028\x85\u2029lines")
    user.http.delete(user.path(task))
    user.create("three")
    reader.until_events(3)
    assert [event.kind for event in reader.events] == ["task", "deleted", "task"]
    assert reader.changes()[0] == {"type": "task", "task": task}
    assert set(reader.changes()[1]) == {"type", "id", "deleted_at"}
    missed = user.http.get(f"{user.tasks}/changes", params={"since": since}).json()["changes"]
    assert missed == reader.changes()[1:], "each task once, in its latest state"


def test_the_head_keeps_proxies_from_holding_events_back(reader: Reader) -> None:
    assert reader.headers["content-type"] == "text/event-stream"
    assert reader.headers["cache-control"] == "no-store"
    assert reader.headers["x-accel-buffering"] == "no"
    assert reader.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in reader.headers
    assert reader.headers["vary"] == "Accept"
    assert reader.headers["x-request-id"]
    assert reader.headers["x-content-type-options"] == "nosniff"


def test_a_client_has_a_token_to_come_back_with_before_anything_has_changed(user: User, reader: Reader) -> None:
    assert (reader.events, reader.retry) == ([], 1000)
    token = reader.last_id  # the stream may tell of the task before it is asked for here
    task = user.create()
    page = user.http.get(f"{user.tasks}/changes", params={"since": token}).json()
    assert page["changes"] == [{"type": "task", "task": task}]


@pytest.mark.parametrize("given_as", ["Last-Event-ID", "since"])
def test_it_goes_on_behind_a_token(service: Service, user: User, given_as: str) -> None:
    user.create("before")
    token = token_of_now(user)
    last_id, since = (None, token) if given_as == "since" else (token, None)
    kept, gone = user.create("kept"), user.create("gone")
    user.http.delete(user.path(gone))
    with Reader(service.url, user, last_id=last_id, since=since) as reader:
        reader.until_events(2)
        user.create("after")
        reader.until_events(3)
    assert [change.get("id", change.get("task", {}).get("id")) for change in reader.changes()[:2]] == [
        kept["id"],
        gone["id"],
    ]
    assert reader.titles() == ["kept", "after"]


def test_the_last_id_counts_for_more_than_the_url(service: Service, user: User) -> None:
    """A browser comes back to the URL that it began with."""
    old = token_of_now(user)
    user.create("seen")
    with Reader(service.url, user, since=old, last_id=token_of_now(user)) as reader:
        user.create("new")
        reader.until(lambda: reader.events)
    assert reader.titles() == ["new"]


def test_every_event_is_a_place_to_come_back_to(service: Service, user: User, reader: Reader) -> None:
    for number in range(5):
        user.create(str(number))
    reader.until_events(5)
    for number, event in enumerate(reader.events):
        with Reader(service.url, user, last_id=event.id) as again:
            again.until_events(4 - number)
            assert again.titles() == [str(n) for n in range(number + 1, 5)]


def test_a_client_that_is_far_behind_catches_up_in_order(service: Service, user: User) -> None:
    start = token_of_now(user)
    for first in range(0, 300, 100):
        new = [{"op": "create", "task": {"title": f"{first + n}"}} for n in range(100)]
        assert user.http.post(f"{user.tasks}/batch", json={"operations": new}).status_code == 200
    with Reader(service.url, user, since=start) as reader:
        reader.until_events(300)
    assert reader.titles() == [str(number) for number in range(300)]


def test_a_change_on_any_process_is_on_every_stream_of_its_user_at_once(
    service: Service, others: Service, user: User, other_user: User
) -> None:
    eventually(lambda: service.metric("sync_notifications") == others.metric("sync_notifications") == 1)
    with (
        Reader(service.url, user) as here,
        Reader(others.url, user) as there,
        Reader(service.url, other_user) as strange,
    ):
        took = []
        for number in range(20):
            began_at = time.monotonic()
            user.create(str(number))
            there.until_events(number + 1)
            here.until_events(number + 1)
            took.append(time.monotonic() - began_at)
        assert here.titles() == there.titles() == [str(number) for number in range(20)]
        assert sorted(took)[10] < 0.5, "the database notifies: nobody waits to be asked"
        assert strange.events == []


def test_a_change_that_nobody_signals_comes_within_a_second(database: Database, user: User, reader: Reader) -> None:
    """As one of the previous release, or one whose notification got lost."""
    began_at = time.monotonic()
    database.query("INSERT INTO tasks (id, user_id, title) VALUES (gen_random_uuid(), $1, 'quiet')", user.id)
    reader.until(lambda: reader.events)
    assert time.monotonic() - began_at < 5
    assert reader.titles() == ["quiet"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_without_chunks_the_end_of_the_connection_is_the_end(service: Service, user: User, version: str) -> None:
    with Reader(service.url, user, version=version) as reader:
        user.create("one")
        reader.until(lambda: reader.events)
        assert ("transfer-encoding" in reader.headers) is (version == "1.1")
        assert reader.headers["connection"] == "close"


def test_head_is_the_head_alone(service: Service, user: User) -> None:
    whole = Reader(service.url, user)
    whole.close()
    alone = Reader(service.url, user, method="HEAD")
    passing = {"date", "x-request-id"}
    assert alone.status == 200
    assert {k: v for k, v in alone.headers.items() if k not in passing} == {
        k: v for k, v in whole.headers.items() if k not in passing
    }
    assert alone.socket.recv(100) == b""
    alone.close()
    assert 'method="HEAD"' in service.metrics()


def test_whoever_does_not_ask_for_a_stream_gets_json(service: Service, user: User) -> None:
    for accept in ("*/*", "application/json", "text/event-stream;q=0.5, application/json", "text/event-stream;q=0"):
        answer = user.http.get(f"{user.tasks}/changes", headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["vary"] == "Accept"


# What ends it


def test_it_ends_with_its_access_token(start_service: Callable[..., Service]) -> None:
    service = start_service(JWT_ACCESS_TTL_SECONDS="3")
    with sign_up(service.url) as user, Reader(service.url, user) as reader:
        user.create("before")
        reader.until_over(8)
        assert reader.ended
        assert reader.titles() == ["before"]
        eventually(lambda: service.metric('sync_streams_ended_total{reason="expired"}') == 1)
        assert service.metric("sync_streams") == 0


def test_it_ends_with_the_account(service: Service) -> None:
    with sign_up(service.url) as user, Reader(service.url, user) as reader:
        response = user.http.request("DELETE", "/api/auth/me", json={"password": PASSWORD})
        assert response.status_code == 204, response.text
        reader.until_over()
        assert reader.ended


def test_a_comment_keeps_it_open(service: Service, user: User, reader: Reader) -> None:
    """Longer than any time limit of a request."""
    reader.until(lambda: reader.comments, 25)
    user.create("later")
    reader.until(lambda: reader.events)
    assert not reader.closed


def test_a_comment_comes_in_time_on_a_busy_process() -> None:
    """Each tick waits for its turn on the event loop; at a load of 20 on two cores, 145 of them took 14.9 s."""
    late_seconds = 0.01
    assert KEEPALIVE_SLOTS * (KEEPALIVE_TICK_SECONDS + late_seconds) <= 15


def test_a_draining_process_ends_it_at_once_and_another_goes_on(
    start_service: Callable[..., Service], user: User
) -> None:
    first, second = start_service(DRAIN_SECONDS="3"), start_service()
    with Reader(first.url, user) as reader:
        user.create("one")
        reader.until(lambda: reader.events)
        assert first.process is not None
        first.process.terminate()
        reader.until_over(2)
        assert reader.ended
        user.create("two")
        with Reader(second.url, user, last_id=reader.last_id) as again:
            user.create("three")
            again.until_events(2)
        assert reader.titles() + again.titles() == ["one", "two", "three"]
        with Reader(first.url, user, last_id=reader.last_id) as late:
            late.until_over(2)
        assert late.titles()[:1] == ["two"], "whoever comes back too early loses nothing either"
        assert late.retry is not None


# Who may have one


def test_refusals_are_problems_before_a_stream_begins(service: Service, user: User, other_user: User) -> None:
    assert_problem(refused(service, user, tasks=other_user.tasks), 403, "forbidden")
    assert_problem(refused(service, user, since="nonsense"), 422, "validation_error")
    assert_problem(refused(service, user, limit="0"), 422, "validation_error")
    assert_problem(refused(service, user, last_id=token_of_now(other_user)), 422, "validation_error")
    fault = assert_problem(refused(service, user, last_id="no token"), 422, "validation_error")["errors"][0]
    assert fault["pointer"] == "Last-Event-ID"
    anonymous = httpx.get(
        f"{service.url}{user.tasks}/changes", headers={"Accept": "text/event-stream"}, timeout=10, verify=False
    )
    assert_problem(anonymous, 401, "unauthorized")


def test_the_stream_of_an_account_that_is_gone_does_not_begin(service: Service) -> None:
    with sign_up(service.url) as user:
        token = token_of_now(user)
        assert user.http.request("DELETE", "/api/auth/me", json={"password": PASSWORD}).status_code == 204
        assert_problem(refused(service, user), 401, "unauthorized")
        assert_problem(refused(service, user, since=token), 401, "unauthorized")


def test_a_token_that_is_too_old_is_gone(start_service: Callable[..., Service], user: User) -> None:
    service = start_service(TRASH_RETENTION_DAYS=str(0.5 / 86400))
    token = token_of_now(user)
    time.sleep(0.6)
    assert_problem(refused(service, user, last_id=token), 410, "sync_token_expired")


def test_a_stream_where_nothing_happens_has_a_token_that_is_good(
    start_service: Callable[..., Service], user: User
) -> None:
    """For longer than the trash keeps anything: the process goes on to send younger ones."""
    service = start_service(TRASH_RETENTION_DAYS=str(4 / 86400))
    with Reader(service.url, user) as reader:
        first = reader.last_id
        time.sleep(6)
        assert not reader.closed
        assert reader.last_id != first
        assert refused(service, user, since=str(first)).status_code == 410
    with Reader(service.url, user, last_id=reader.last_id) as again:
        user.create("new")
        again.until(lambda: again.events)


def test_a_user_has_so_many_streams_and_no_more(start_service: Callable[..., Service]) -> None:
    service = start_service(STREAMS_PER_USER_MAX="2", STREAMS_MAX="3")
    with sign_up(service.url) as user, sign_up(service.url) as other, sign_up(service.url) as third:
        with Reader(service.url, user), Reader(service.url, user) as second:
            answer = refused(service, user)
            assert_problem(answer, 429, "too_many_streams")
            assert int(answer.headers["retry-after"]) > 0
            with Reader(service.url, other):
                full = refused(service, third)
                assert_problem(full, 503, "streams_full")
                assert int(full.headers["retry-after"]) > 0
            second.close()
            eventually(lambda: service.metric("sync_streams") == 1)
            with Reader(service.url, user) as again:
                assert again.status == 200
        eventually(lambda: service.metric("sync_streams") == 0)


def test_a_stream_is_no_request(start_service: Callable[..., Service]) -> None:
    """Neither for the objective nor for the user's fair share, which several of them would use up."""
    service = start_service(CONCURRENT_REQUESTS_PER_USER="1", QUEUED_REQUESTS_PER_USER="0")
    with sign_up(service.url) as user, sign_up(service.url) as other, Reader(service.url, other):
        with Reader(service.url, user), Reader(service.url, user) as reader:
            assert service.metric("http_requests_in_progress") == 0
            assert service.metric("sync_streams") == 3
            user.create("one")
            reader.until(lambda: reader.events)
        eventually(lambda: service.metric("sync_streams") == 1)
        assert ROUTE not in service.metrics()
        assert service.metric('sync_events_total{event="task"}') == 2
        assert service.metric("sync_delivery_seconds_count") == 2
        assert service.metric('sync_delivery_seconds_bucket{le="1.0"}') == 2
        lines = [json.loads(line) for line in service.log().splitlines() if '"event":"stream"' in line]
        assert [(line["user_id"], line["reason"], line["events"]) for line in lines] == [(user.id, "client", 1)] * 2
        assert not [line for line in service.log().splitlines() if '"event":"request"' in line and ROUTE in line]


def test_a_clock_that_is_ahead_leaves_the_metrics_valid(
    start_service: Callable[..., Service], database: Database
) -> None:
    """A database that was failed over to may be behind; its users' clocks are not set back."""
    service = start_service()
    with sign_up(service.url) as user:
        database.query("UPDATE users SET tasks_clock = now() + interval '1 hour' WHERE id = $1", user.id)
        with Reader(service.url, user) as reader:
            user.create()
            reader.until_events(1)
        eventually(lambda: service.metric("sync_delivery_seconds_count") == 1)
    assert service.metric("sync_delivery_seconds_sum") >= 0


def test_it_shares_the_origin_policy_of_the_other_answers(start_service: Callable[..., Service]) -> None:
    service = start_service(CORS_ORIGINS="https://app.example.com")
    with (
        sign_up(service.url) as user,
        httpx.stream(
            "GET",
            f"{service.url}{user.tasks}/changes",
            headers={
                "Authorization": f"Bearer {user.token}",
                "Accept": "text/event-stream",
                "Origin": "https://app.example.com",
            },
            timeout=10,
            verify=False,
        ) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"
