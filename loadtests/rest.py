"""A client that costs next to nothing: one kept connection, a request at a time, JSON in and out."""

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

ATTEMPTS = 2
"""A connection that was idle may have been closed by the other side: then once more, on a new one."""

SIGN_UPS_AT_ONCE = 4
SIGN_UP_ATTEMPTS = 100
PASSWORD = "correct horse battery staple"  # noqa: S105  of users that are thrown away
CREATED = 201
TOO_MANY, UNAVAILABLE = 429, 503


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    token: str
    expires_in: int

    @property
    def tasks(self) -> str:
        return f"/api/{self.id}/tasks"


class Client:
    def __init__(self, url: str, token: str = "") -> None:
        self._address = urlsplit(url)
        self._authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, document: object = None) -> Answer:
        """Raises OSError or asyncio.IncompleteReadError when there is no whole answer."""
        body = b"" if document is None else json.dumps(document).encode()
        content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._address.netloc}\r\n{self._authorization}{content}\r\n"
        for attempt in range(ATTEMPTS):
            kept = self._streams is not None
            if self._streams is None:
                self._streams = await connect(self._address)
            reader, writer = self._streams
            writer.write(head.encode() + body)
            try:
                return await self._answer(reader)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.close()
                nothing = isinstance(error, asyncio.IncompleteReadError) and not error.partial
                if not (kept and nothing and attempt + 1 < ATTEMPTS):
                    raise
        raise AssertionError("unreachable")

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(status.split()[1]), headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def connect(address: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(address.hostname, port_of(address), ssl=tls_of(address))


def port_of(address: SplitResult) -> int:
    return address.port or (443 if address.scheme == "https" else 80)


def tls_of(address: SplitResult) -> ssl.SSLContext | None:
    return ssl.create_default_context() if address.scheme == "https" else None


async def sign_up(url: str, prefix: str, count: int) -> list[Account]:
    """As many accounts; a service that limits sign-ups gets the time that it asks for."""
    names = iter([f"{prefix}-{number}" for number in range(count)])

    async def work() -> list[Account]:
        client = Client(url)
        accounts = [await _sign_up(client, name) for name in names]
        client.close()
        return accounts

    found = await asyncio.gather(*(work() for _ in range(SIGN_UPS_AT_ONCE)))
    return [account for accounts in found for account in accounts]


async def _sign_up(client: Client, name: str) -> Account:
    """Each attempt has an email of its own: one that was answered 503 may have made the account all the same."""
    for attempt in range(SIGN_UP_ATTEMPTS):
        body = {"email": f"{name}-{attempt}@example.com", "password": PASSWORD}
        answer = await client.request("POST", "/api/auth/signup", body)
        if answer.status == CREATED:
            session = answer.json()
            return Account(session["user"]["id"], session["access_token"], session["expires_in"])
        if answer.status not in {TOO_MANY, UNAVAILABLE}:
            break
        await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
    sys.exit(f"sign-up answered {answer.status}: {answer.body[:500]!r}")
