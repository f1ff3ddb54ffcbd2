"""One connection to the service, kept alive as an app would keep it; and a user who can log in again."""

import http.client
import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
STREAM_TIMEOUT_SECONDS = 30.0
"""Twice as long as a stream may be silent."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: http.client.HTTPMessage

    def json(self) -> Any:
        return json.loads(self.body)

    def failure(self) -> str:
        """What went wrong, in a word; "" for an answer that says what became of the request."""
        if self.status < 500 and self.status not in {401, 409, 429}:
            return ""
        return f"{self.status} {self.json()['code']}" if self.body[:1] == b"{" else str(self.status)


class Client:
    def __init__(self, base: str) -> None:
        self._address = urlsplit(base).netloc
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Raises OSError or HTTPException for a request that got no whole answer."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        connection = self._connection or http.client.HTTPConnection(self._address, timeout=TIMEOUT_SECONDS)
        self._connection = None  # whoever fails starts with a new one
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        answer = Answer(response.status, response.read(), response.headers)
        if not response.will_close:
            self._connection = connection
        return answer

    def stream(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """The answer while it still comes. Raises as `send` does."""
        connection = http.client.HTTPConnection(self._address, timeout=STREAM_TIMEOUT_SECONDS)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse()


@dataclass(frozen=True)
class User:
    id: str
    email: str
    password: str

    @classmethod
    def sign_up(cls, base: str) -> "User":
        email, password = f"ledger-{uuid.uuid4().hex}@example.com", uuid.uuid4().hex
        answer = Client(base).send("POST", "/api/auth/signup", {"email": email, "password": password})
        if answer.status != http.client.CREATED:
            raise SystemExit(f"sign up: {answer.status} {answer.body.decode()}")
        return cls(answer.json()["user"]["id"], email, password)

    @property
    def tasks(self) -> str:
        return f"/api/{self.id}/tasks"

    def log_in(self, client: Client) -> str:
        """The header's value; "" where the service does not answer as it should."""
        answer = client.send("POST", "/api/auth/login", {"email": self.email, "password": self.password})
        return f"Bearer {answer.json()['access_token']}" if answer.status == http.client.OK else ""

    def leave(self, client: Client) -> None:
        client.send("DELETE", "/api/auth/me", Authorization=self.log_in(client))
