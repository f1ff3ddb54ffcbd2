"""A process that writes: each request is repeated with its key until it is acknowledged, and each failure is noted."""

import http.client
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from .client import Answer, Client, User

PAUSE_SECONDS = 0.05
AGAIN_SECONDS = 0.1
UNRESOLVED_SECONDS = 120.0
"""So long a request is repeated before its writer gives up."""


class UnresolvedError(Exception):
    """A request that nobody acknowledged, and nobody refused for good."""


@dataclass
class Written:
    """What one process was told. `completed` is by id; times are those of time.time()."""

    titles: dict[str, str] = field(default_factory=dict)
    completed: dict[str, bool] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    requests: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    stale_reads: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Writer:
    def __init__(self, base: str, user: User, name: str, stop: Path) -> None:
        self._client = Client(base)
        self._user = user
        self._name = name
        self._stop = stop
        self._authorization = ""
        self.written = Written()

    def run(self) -> Written:
        """Until the file `stop` is there."""
        number = 0
        try:
            while not self._stop.exists():
                self._work(number)
                number += 1
                time.sleep(PAUSE_SECONDS)
        except UnresolvedError as error:
            self.written.refused.append(f"unresolved: {error}")
        return self.written

    def _work(self, number: int) -> None:
        title = f"{self._name}-{number}"
        created = self._until_acknowledged("POST", self._user.tasks, {"title": title})
        if created.status != http.client.CREATED:
            return
        task = created.json()
        path = f"{self._user.tasks}/{task['id']}"
        self.written.titles[task["id"]] = title
        self.written.completed[task["id"]] = False
        if number % 3 == 0:  # a toggle that took effect twice would be seen
            toggled = self._until_acknowledged("PATCH", f"{path}/complete")
            self.written.completed[task["id"]] = toggled.status == http.client.OK
        elif number % 3 == 1:
            read = self._until_acknowledged("GET", path)
            if read.status != http.client.OK or read.json()["updated_at"] != task["updated_at"]:
                self.written.stale_reads.append(task["id"])
        if number % 10 == 9:
            self._until_acknowledged("DELETE", path)
            self.written.deleted.add(task["id"])

    def _until_acknowledged(self, method: str, path: str, body: object = None) -> Answer:
        key = str(uuid.uuid4())
        began_at = time.time()
        failed = False
        while True:
            failure, answer = self._attempt(method, path, body, key, repeated=failed)
            if answer is not None:
                if failed:
                    self.written.outages.append((began_at, time.time()))
                return answer
            failed = True
            self.written.failures.append((time.time(), failure))
            if time.time() - began_at > UNRESOLVED_SECONDS:
                raise UnresolvedError(f"{method} {path} {failure}")
            time.sleep(AGAIN_SECONDS)

    def _attempt(self, method: str, path: str, body: object, key: str, *, repeated: bool) -> tuple[str, Answer | None]:
        """What went wrong, or the answer that counts."""
        self.written.requests += 1
        try:
            if not self._authorization:
                self._authorization = self._user.log_in(self._client)
            headers = {"Authorization": self._authorization}
            if method in {"POST", "PATCH"}:
                headers["Idempotency_Key"] = key
            answer = self._client.send(method, path, body, **headers)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__, None
        if failure := answer.failure():
            if answer.status == http.client.UNAUTHORIZED:
                self._authorization = ""
            return failure, None
        gone = method == "DELETE" and repeated and answer.status == http.client.NOT_FOUND
        if answer.status >= 400 and not gone:
            self.written.refused.append(f"{method} {path} {answer.status} {answer.body.decode()[:200]}")
        return "", answer


def write(base: str, user: User, name: str, stop: str) -> Written:
    """For a process of its own."""
    return Writer(base, user, name, Path(stop)).run()
