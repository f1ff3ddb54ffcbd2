"""Other origins, and what every answer tells a browser and a cache."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.database import Database
from tests.support.server import Service, serve
from tests.support.users import User, client, sign_up

APP = "https://app.example"
PREFLIGHT = {
    "Origin": APP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,if-match,idempotency-key",
}


def cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_no_other_origin_may_do_anything_by_default(user: User) -> None:
    for answer in (
        user.http.options(user.tasks, headers=PREFLIGHT),
        user.http.get(user.tasks, headers={"Origin": APP}),
    ):
        assert answer.is_success
        assert cors(answer) == {}


@pytest.fixture(scope="module")
def shared(database: Database) -> Iterator[Service]:
    """A server that two origins may call; the second is written as nobody's browser would."""
    with serve(database.url, CORS_ORIGINS=f"{APP}, HTTPS://Other.Example:443") as running:
        yield running


@pytest.fixture
def caller(shared: Service) -> Iterator[User]:
    with sign_up(shared.url) as somebody:
        yield somebody


def names(field: str) -> set[str]:
    return {name.strip().lower() for name in field.split(",")}


@pytest.mark.parametrize("origin", [APP, "https://other.example"])
def test_a_configured_origin_may_ask_and_see_the_headers_it_needs(caller: User, origin: str) -> None:
    preflight = caller.http.options(caller.tasks, headers={**PREFLIGHT, "Origin": origin})
    assert preflight.status_code == 204
    allowed = cors(preflight)
    assert allowed["access-control-allow-origin"] == origin
    assert names(allowed["access-control-allow-methods"]) == {"get", "head", "post", "options"}
    assert names(allowed["access-control-allow-headers"]) >= {"authorization", "if-match", "traceparent", "tracestate"}
    assert int(allowed["access-control-max-age"]) > 0
    answer = caller.http.get(caller.tasks, headers={"Origin": origin})
    assert cors(answer)["access-control-allow-origin"] == origin
    assert names(cors(answer)["access-control-expose-headers"]) >= {
        "etag",
        "link",
        "x-request-id",
        "retry-after",
        "date",
    }
    assert "access-control-allow-credentials" not in answer.headers


def test_answers_to_other_origins_keep_the_fields_of_their_handlers(caller: User) -> None:
    caller.create()
    for headers in ({"Origin": APP}, {"Origin": "https://evil.example"}, {}):
        for extra, status in (({}, 200), ({"If-None-Match": "*"}, 304)):
            answer = caller.http.get(caller.tasks, headers={**headers, **extra})
            assert answer.status_code == status
            assert names(answer.headers["vary"]) == {"authorization", "prefer", "origin"}
            assert answer.headers["cache-control"] == "private, no-cache"


def test_errors_can_be_read_by_other_origins_too(shared: Service, caller: User) -> None:
    origin = {"Origin": APP}
    with client(shared.url, **origin) as visitor:
        for answer, status in (
            (visitor.get("/nowhere"), 404),
            (visitor.get(caller.tasks), 401),
            (caller.http.put(caller.tasks, headers=origin), 405),
            (caller.http.post(caller.tasks, json={}, headers=origin), 422),
            (caller.http.post(caller.tasks, content=b"x" * 200_000, headers=origin), 413),
        ):
            assert answer.status_code == status
            assert cors(answer)["access-control-allow-origin"] == APP
            assert "origin" in names(answer.headers["vary"])


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null", "", f"{APP}/"]
)
def test_any_other_origin_gets_no_leave(caller: User, origin: str) -> None:
    for answer in (
        caller.http.get(caller.tasks, headers={"Origin": origin}),
        caller.http.options(caller.tasks, headers={**PREFLIGHT, "Origin": origin}),
    ):
        assert answer.is_success
        assert cors(answer) == {}
        assert "origin" in names(answer.headers["vary"])


def test_every_route_answers_preflight_requests(shared: Service, visitor: httpx.Client) -> None:
    paths = httpx.get(f"{shared.url}/openapi.json", verify=False).json()["paths"]
    for path, operations in paths.items():
        for method in operations:
            asked = {**PREFLIGHT, "Access-Control-Request-Method": method.upper()}
            answer = httpx.options(f"{shared.url}{path.format(user_id='x', task_id='y')}", headers=asked, verify=False)
            assert answer.status_code == 204
            assert method in names(cors(answer)["access-control-allow-methods"]), path


def test_all_origins_may_call_when_that_is_asked_for(start_service: Callable[..., Service]) -> None:
    server = start_service(CORS_ORIGINS="*")
    with sign_up(server.url) as user:
        answer = user.http.get(user.tasks, headers={"Origin": "https://anybody.example"})
        assert cors(answer)["access-control-allow-origin"] == "*"
        assert names(answer.headers["vary"]) == {"authorization", "prefer"}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/openapi.json", 200), ("/nowhere", 404), ("/api/auth/me", 401), ("/api/auth/login", 405)],
)
def test_every_answer_forbids_sniffing_and_framing(service: Service, path: str, status: int) -> None:
    answer = httpx.get(f"{service.url}{path}", verify=False)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_tokens_are_never_kept_and_tasks_are_asked_for_again(service: Service, user: User) -> None:
    refreshed = user.http.post("/api/auth/refresh", json={"refresh_token": user.refresh_token})
    assert refreshed.headers["cache-control"] == "no-store"
    for path in (user.tasks, user.path(user.create())):
        answer = user.http.get(path)
        assert answer.headers["cache-control"] == "private, no-cache"
        assert "authorization" in answer.headers["vary"].lower()
