"""A copy of a user's tasks: all of them once, then the stream of changes, with its last id after any end."""

import http.client
import json
import threading
import time
from collections import Counter
from typing import Any

from .client import Client, User

AGAIN_SECONDS = 0.5


class Follower:
    """Reads in a thread of its own to the end of the program."""

    def __init__(self, base: str, user: User) -> None:
        self._base = base
        self._user = user
        self._authorization = ""
        self._since = self._last_id = ""
        self.copy: dict[str, Any] = {}
        self.seen: Counter[tuple[str, str]] = Counter()
        self.streams = 0
        self.failures: Counter[str] = Counter()

    def start(self) -> None:
        threading.Thread(target=self._follow, daemon=True).start()

    def twice(self) -> list[str]:
        return [f"{what} {when}" for (what, when), times in self.seen.items() if times > 1]

    def _follow(self) -> None:
        while True:
            try:
                self._read()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures[type(error).__name__] += 1
            except Exception as error:
                self.failures[repr(error)] += 1
                raise
            time.sleep(AGAIN_SECONDS)

    def _read(self) -> None:
        client = Client(self._base)
        self._authorization = self._authorization or self._user.log_in(client)
        more = not self._last_id
        while more:
            more = self._read_page(client)
        headers = {"Authorization": self._authorization, "Accept": "text/event-stream", "Last_Event_ID": self._last_id}
        response = client.stream(f"{self._user.tasks}/changes", **headers)
        if response.status == http.client.OK:
            self.streams += 1
            self._take_lines(response)
        else:
            self._refused(response.status)

    def _read_page(self, client: Client) -> bool:
        """Whether there is more."""
        query = f"?since={self._since}" if self._since else ""
        answer = client.send("GET", f"{self._user.tasks}/changes{query}", Authorization=self._authorization)
        if answer.status != http.client.OK:
            self._refused(answer.status)
            raise ConnectionError(answer.status)
        page = answer.json()
        for change in page["changes"]:
            self._take(change)
        self._since = page["next"]
        self._last_id = "" if page["more"] else self._since
        return bool(page["more"])

    def _refused(self, status: int) -> None:
        self.failures[str(status)] += 1
        if status == http.client.UNAUTHORIZED:
            self._authorization = ""

    def _take_lines(self, response: http.client.HTTPResponse) -> None:
        """An event counts when its last line is there: one that broke off comes again."""
        data, last_id = "", self._last_id
        while line := response.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "data":
                data = value
            elif name == "id":
                last_id = value
            elif not name:
                if data:
                    self._take(json.loads(data))
                self._last_id, data = last_id, ""

    def _take(self, change: dict[str, Any]) -> None:
        if change["type"] == "task":
            task = change["task"]
            self.seen[task["id"], task["updated_at"]] += 1
            self.copy[task["id"]] = task
        else:
            self.seen[change["id"], change["deleted_at"]] += 1
            self.copy.pop(change["id"], None)
