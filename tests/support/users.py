"""A user of the API, with a client that is logged in."""

import itertools
import os
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.server import Service

PASSWORD = "correct horse battery staple"
SIGN_UP_ATTEMPTS = 3
_number = itertools.count()


def new_email() -> str:
    return f"user-{os.getpid()}-{next(_number)}@example.com"


def client(url: str, **headers: str) -> httpx.Client:
    # Without `verify=False` each client reads the system's certificates, which takes ten times as long as a request.
    return httpx.Client(base_url=url, headers=headers, timeout=10, verify=False)


class User:
    def __init__(self, url: str, session: dict[str, Any]) -> None:
        self.id: str = session["user"]["id"]
        self.email: str = session["user"]["email"]
        self.token: str = session["access_token"]
        self.refresh_token: str = session["refresh_token"]
        self.tasks = f"/api/{self.id}/tasks"
        self.http = client(url, Authorization=f"Bearer {self.token}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def create(self, title: str = "buy milk", **fields: object) -> dict[str, Any]:
        response = self.http.post(self.tasks, json={"title": title, **fields})
        assert response.status_code == 201, response.text
        return dict(response.json())

    def list(self, **parameters: str | int) -> list[dict[str, Any]]:
        response = self.http.get(self.tasks, params=parameters)
        assert response.status_code == 200, response.text
        return list(response.json())

    def path(self, task: dict[str, Any]) -> str:
        return f"{self.tasks}/{task['id']}"


def sign_up(url: str, **fields: str) -> User:
    """For a test's set-up: what a busy machine makes a 503 is tried again, as clients do, with another email."""
    for _ in range(SIGN_UP_ATTEMPTS):
        body = {"email": new_email(), "password": PASSWORD, **fields}
        response = httpx.post(f"{url}/api/auth/signup", json=body, timeout=10, verify=False)
        if response.status_code != 503:
            break
    assert response.status_code == 201, response.text
    return User(url, response.json())


def me(server: Service, token: str) -> httpx.Response:
    """Who the server says that the token's owner is."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{server.url}/api/auth/me", headers=headers, verify=False, timeout=15)
