"""Other origins, and what every answer tells a browser and a cache."""

from collections.abc import Callable

import httpx
import pytest

from tests.support.server import Service
from tests.support.users import User, sign_up

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


def test_a_configured_origin_may_ask_and_see_the_headers_it_needs(start_service: Callable[..., Service]) -> None:
    server = start_service(CORS_ORIGINS=f"{APP},https://other.example")
    with sign_up(server.url) as user:
        preflight = cors(user.http.options(user.tasks, headers=PREFLIGHT))
        assert preflight["access-control-allow-origin"] == APP
        assert "post" in preflight["access-control-allow-methods"].lower()
        assert {"authorization", "if-match", "idempotency-key"} <= set(
            preflight["access-control-allow-headers"].replace(" ", "").lower().split(",")
        )
        answer = user.http.get(user.tasks, headers={"Origin": APP})
        assert cors(answer)["access-control-allow-origin"] == APP
        assert {"etag", "link", "x-request-id"} <= set(
            cors(answer)["access-control-expose-headers"].replace(" ", "").lower().split(",")
        )
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["vary"].lower()
        assert (
            "access-control-allow-origin"
            not in user.http.get(user.tasks, headers={"Origin": "https://evil.example"}).headers
        )


@pytest.mark.parametrize(
    ("path", "status"),
    [("/openapi.json", 200), ("/nowhere", 404), ("/api/auth/me", 401), ("/api/auth/login", 405)],
)
def test_every_answer_forbids_sniffing_and_framing(service: Service, path: str, status: int) -> None:
    answer = httpx.get(f"{service.url}{path}")
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
