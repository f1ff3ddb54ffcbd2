"""The operations port, what is counted, and what is logged."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from platform import python_version
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service import __version__
from tests.support.server import SECRET, Service
from tests.support.users import PASSWORD, User, client, new_email, sign_up


@pytest.fixture
def admin(service: Service) -> Iterator[httpx.Client]:
    with client(service.admin_url) as connection:
        yield connection


def logged(service: Service, request_id: str) -> dict[str, Any]:
    """The one event of a request, which may reach the log a moment after its answer."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = [json.loads(line) for line in service.log().splitlines() if request_id in line]
        if found:
            assert len(found) == 1
            return dict(found[0])
        time.sleep(0.02)
    raise AssertionError("the request was not logged")


def test_liveness_says_ok(admin: httpx.Client) -> None:
    response = admin.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readiness_names_each_check(admin: httpx.Client) -> None:
    response = admin.get("/readyz")
    body = response.json()
    assert (response.status_code, body["status"]) == (200, "ok")
    assert body["checks"] == {"started": True, "schema": True, "not_draining": True}
    assert body["schema_revision"]["applied"] == body["schema_revision"]["expected"] > 0


def test_the_version_is_the_builds(admin: httpx.Client, start_service: Callable[..., Service]) -> None:
    assert admin.get("/version").json() == {
        "version": __version__,
        "commit": "unknown",
        "python": python_version(),
    }
    service = start_service(TASKS_SERVICE_COMMIT="abc123")
    assert httpx.get(f"{service.admin_url}/version", verify=False).json()["commit"] == "abc123"


@pytest.mark.parametrize(
    ("accept", "content_type", "last_line"),
    [
        ("*/*", "text/plain; version=", None),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", "# EOF"),
    ],
)
def test_metrics_come_in_the_form_asked_for(
    admin: httpx.Client, accept: str, content_type: str, last_line: str | None
) -> None:
    response = admin.get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(content_type)
    assert (response.text.splitlines()[-1] == "# EOF") == (last_line is not None)
    assert "tasks_service_build_info{" in response.text


def test_the_public_port_has_no_operations_and_the_other_no_api(
    admin: httpx.Client, visitor: httpx.Client, idle_user: User
) -> None:
    for path in ("/livez", "/readyz", "/version", "/metrics"):
        assert visitor.get(path).status_code == 404
    assert admin.get(idle_user.tasks).status_code == 404
    assert admin.get("/openapi.json").status_code == 404


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_both_ports_listen_on_the_same_addresses(start_service: Callable[..., Service]) -> None:
    everywhere = start_service(HOST="::")  # seen to be ready at 127.0.0.1
    for host in ("127.0.0.1", "[::1]"):
        assert httpx.get(f"http://{host}:{everywhere.port}/docs").status_code == 200
        assert httpx.get(f"http://{host}:{everywhere.admin_port}/livez").status_code == 200


def count(service: Service, method: str, route: str, status: int) -> float:
    labels = f'method="{method}",route="{route}",status="{status}"'
    return service.metric(f"http_request_duration_seconds_count{{{labels}}}")


def test_requests_are_counted_by_template(service: Service, user: User, visitor: httpx.Client) -> None:
    route = "/api/{user_id}/tasks/{task_id}"
    before = [count(service, "GET", route, status) for status in (200, 401, 404)]
    task = user.create()
    user.http.get(user.path(task))
    visitor.get(user.path(task))
    user.http.get(f"{user.tasks}/{uuid4()}")
    after = [count(service, "GET", route, status) for status in (200, 401, 404)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]


def test_made_up_paths_and_methods_add_no_series(service: Service, visitor: httpx.Client) -> None:
    visitor.get("/warm/up")
    visitor.request("MADEUP", "/warm/up")
    before, unmatched = service.series(), count(service, "GET", "unmatched", 404)
    for number in range(50):
        visitor.get(f"/{uuid4()}/{number}")
        visitor.request(f"METHOD{number}", f"/{uuid4()}")
    assert count(service, "GET", "unmatched", 404) - unmatched == 50
    assert service.series() - before == set()


def test_no_label_tells_who_or_what(service: Service, user: User) -> None:
    task = user.create("a title that nobody else has")
    user.http.get(user.path(task), params={"secret": "in-the-query"})
    text = service.metrics()
    for private in (user.id, task["id"], user.email, "nobody else has", "in-the-query", "127.0.0.1"):
        assert private not in text
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)


@pytest.mark.parametrize(
    ("reason", "token"), [("no_token", None), ("bad_token", "Bearer nonsense"), ("no_token", "Basic eDp5")]
)
def test_refusals_are_counted_by_reason(
    service: Service, visitor: httpx.Client, idle_user: User, reason: str, token: str | None
) -> None:
    sample = f'auth_failures_total{{reason="{reason}"}}'
    before = service.metric(sample)
    visitor.get(idle_user.tasks, headers={} if token is None else {"Authorization": token})
    assert service.metric(sample) == before + 1


def test_a_request_is_one_line_in_the_log(service: Service, user: User) -> None:
    request_id = f"log-{uuid4()}"
    user.http.get(f"{user.tasks}/{uuid4()}", headers={"X-Request-Id": request_id})
    event = logged(service, request_id)
    parts = [event.pop(name) for name in ("auth_ms", "pool_ms", "db_ms")]
    assert 0 < sum(parts) <= event.pop("duration_ms")
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "route": "/api/{user_id}/tasks/{task_id}",
        "status": 404,
        "request_id": request_id,
        "user_id": user.id,
    }


def test_the_log_holds_no_secret_and_nothing_personal(start_service: Callable[..., Service]) -> None:
    service = start_service(LOG_LEVEL="debug")
    email, name, title = new_email(), "Ada Lovelace", "a very private title"
    with sign_up(service.url, email=email, name=name) as user, client(service.url) as visitor:
        task = user.create(title, description=title)
        user.http.get(user.tasks, params={"q": title})
        user.http.put(user.path(task), json={"title": title, "wrong": title})
        user.http.patch(user.path(task), content=title.encode(), headers={"Content-Type": "application/json"})
        visitor.post("/api/auth/login", json={"email": email, "password": PASSWORD + "!"})
        visitor.post("/api/auth/signup", json={"email": email, "password": PASSWORD})
        visitor.post("/api/auth/refresh", json={"refresh_token": user.refresh_token})
        visitor.post("/api/auth/refresh", json={"refresh_token": user.refresh_token})
        visitor.get(f"/{title}", headers={"Authorization": f"Bearer {user.token}x", "Cookie": user.token})
        visitor.get("/last", headers={"X-Request-Id": "the-last-one"})
        logged(service, "the-last-one")
        secrets = (SECRET, PASSWORD, email, name, title, "private", user.token, user.refresh_token, "argon2")
        log = service.log()
    assert log.count('"request"') >= 8
    assert [secret for secret in secrets if secret in log] == []


def test_a_quieter_level_leaves_requests_out(start_service: Callable[..., Service]) -> None:
    service = start_service(LOG_LEVEL="WARNING")
    httpx.get(f"{service.url}/nowhere", verify=False)
    service.stop()
    assert service.log() == ""
