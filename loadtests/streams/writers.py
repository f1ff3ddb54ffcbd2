"""Writers that change tasks at a steady rate, and what each change was."""

import asyncio
import random
from dataclasses import dataclass, field
from time import monotonic

from loadtests.rest import CREATED, Account, Answer, Client

OK, GONE = 200, 204
TASKS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Write:
    user_id: str
    task_id: str
    clock: str | None
    """None for a deletion, whose answer does not tell."""

    sent_at: float
    seconds: float


@dataclass
class Written:
    writes: list[Write] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Writer:
    """Writes for some users, one after the other: of five changes two create, two change and one deletes a task."""

    def __init__(self, url: str, accounts: list[Account], written: Written) -> None:
        self._accounts = accounts
        self._clients = {account.id: Client(url, account.token) for account in accounts}
        self._tasks: dict[str, list[str]] = {account.id: [] for account in accounts}
        self._written = written

    async def write(self, *, interval: float, until: float) -> None:
        """A change every `interval` seconds, whatever the answers take, as far as one connection can."""
        due = monotonic() + random.uniform(0, interval)  # noqa: S311  so that not all writers write at once
        while due < until:
            await asyncio.sleep(due - monotonic())
            await self._change(random.choice(self._accounts))  # noqa: S311  load, no secret
            due += interval

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    async def _change(self, account: Account) -> None:
        tasks = self._tasks[account.id]
        method, path, body, expected = self._next(account, tasks)
        sent_at = monotonic()
        try:
            answer = await self._clients[account.id].request(method, path, body)
        except (OSError, asyncio.IncompleteReadError) as error:
            self._written.failures.append(f"{method}: {error!r}")
            return
        seconds = monotonic() - sent_at
        if answer.status != expected:
            self._written.failures.append(f"{method}: {answer.status} {answer.body[:200]!r}")
            return
        task_id, clock = _changed(path, answer)
        if answer.status == CREATED:
            tasks.append(task_id)
        self._written.writes.append(Write(account.id, task_id, clock, sent_at, seconds))

    def _next(self, account: Account, tasks: list[str]) -> tuple[str, str, dict[str, object] | None, int]:
        dice = random.random()  # noqa: S311  load, no secret
        if not tasks or (dice < 0.4 and len(tasks) < TASKS_KEPT):  # noqa: PLR2004  two of five
            return "POST", account.tasks, {"title": f"written at {monotonic()}", "priority": "high"}, CREATED
        if dice < 0.8:  # noqa: PLR2004  four of five
            path = f"{account.tasks}/{random.choice(tasks)}"  # noqa: S311  load, no secret
            return "PATCH", path, {"title": f"changed at {monotonic()}"}, OK
        return "DELETE", f"{account.tasks}/{tasks.pop()}", None, GONE


def _changed(path: str, answer: Answer) -> tuple[str, str | None]:
    if not answer.body:
        return path.rpartition("/")[2], None
    task = answer.json()
    return task["id"], task["updated_at"]
