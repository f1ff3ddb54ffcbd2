"""A reader of an event stream, on a bare socket: it can stop reading, be slow, and break off at any moment."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urlencode, urlsplit

from tests.support.drill import eventually
from tests.support.users import User


@dataclass(frozen=True)
class Event:
    kind: str
    id: str
    data: Any


class Reader:
    """Reads in a thread of its own until it is closed. `ended` says that the answer came to its proper end."""

    def __init__(
        self,
        url: str,
        user: User,
        *,
        last_id: str | None = None,
        version: str = "1.1",
        method: str = "GET",
        accept: str = "text/event-stream",
        token: str | None = None,
        receive_bytes: int | None = None,
        since: str | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.last_id: str | None = last_id
        self.retry: int | None = None
        self.comments = 0
        self.ended = self.closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self._file = self.socket.makefile("rb")
        self.headers: dict[str, str] = {}
        query = f"?{urlencode({'since': since})}" if since is not None else ""
        lines = [
            f"{method} {user.tasks}/changes{query} HTTP/{version}",
            "Host: localhost",
            f"Authorization: Bearer {token or user.token}",
            f"Accept: {accept}",
            *([f"Last-Event-ID: {last_id}"] if last_id is not None else []),
        ]
        try:
            self.status = self._ask(urlsplit(url), "\r\n".join(lines) + "\r\n\r\n")
        except OSError:
            self.close()
            raise

    def _ask(self, address: SplitResult, head: str) -> int:
        self.socket.connect((address.hostname, address.port))
        self.socket.sendall(head.encode())
        status_line = self._file.readline()
        if not status_line:
            raise ConnectionResetError
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        return int(status_line.split()[1])

    def start(self) -> Self:
        """Returns when it has a token to come back with."""
        self._thread.start()
        self.until(lambda: self.last_id is not None or self.closed)
        return self

    def until(self, condition: Callable[[], object], within_seconds: float = 10.0) -> None:
        eventually(condition, within_seconds)

    def until_over(self, within_seconds: float = 10.0) -> None:
        self._thread.join(within_seconds)
        assert not self._thread.is_alive()

    def until_events(self, count: int) -> None:
        self.until(lambda: len(self.events) >= count)

    def changes(self) -> list[Any]:
        return [event.data for event in self.events]

    def titles(self) -> list[str]:
        return [event.data["task"]["title"] for event in self.events if event.kind == "task"]

    def body(self) -> bytes:
        """All of an answer that is no stream."""
        return self._file.read(int(self.headers["content-length"]))

    def __enter__(self) -> Self:
        return self.start() if self.status == 200 else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        if self._thread.is_alive():
            self._thread.join(5)
        self._file.close()

    def _read(self) -> None:
        pending = b""
        with suppress(OSError, ValueError):
            while chunk := self._chunk():
                *blocks, pending = (pending + chunk).split(b"\n\n")
                for block in blocks:
                    assert len(block.decode().splitlines()) == len(block.split(b"\n")), "no other line breaks"
                    self._take(block.decode())
        self.closed = True

    def _chunk(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self._file.read1(65536)
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        if self._file.readline() != b"\r\n":
            raise ConnectionResetError
        self.ended = size == 0 and not self._file.read(1)
        return data

    def _take(self, block: str) -> None:
        """As the specification interprets a stream: the id counts for itself, and an event without data is none."""
        kind, data = "message", []
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_id = value
            elif name == "retry":
                self.retry = int(value)
            else:
                assert not line.strip(": "), line
                self.comments += 1
        if data:
            assert self.last_id is not None
            self.events.append(Event(kind, self.last_id, json.loads("\n".join(data))))


class Copy:
    """A client's copy of the tasks, from a stream that it comes back to as often as it ends."""

    def __init__(self, last_id: str) -> None:
        self.last_id = last_id
        """Behind nothing at all: the user has no tasks yet."""

        self.tasks: dict[str, Any] = {}
        self.times: list[str] = []
        """Of the changes, in the order in which they came."""

    @classmethod
    def of(cls, user: User) -> Self:
        page = user.http.get(f"{user.tasks}/changes").json()
        assert page["changes"] == []
        return cls(page["next"])

    def apply(self, events: list[Event]) -> None:
        for event in events:
            if event.kind == "task":
                task = event.data["task"]
                self.tasks[task["id"]] = task
                self.times.append(task["updated_at"])
            else:
                self.tasks.pop(event.data["id"], None)
                self.times.append(event.data["deleted_at"])
