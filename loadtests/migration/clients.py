"""Clients of the old release, before, during and after the migration: at a steady rate, every answer written down."""

import asyncio
import random
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from loadtests.rest import Account, Client

INTERVAL_SECONDS = 0.05
OK, CREATED = 200, 201


class Answer(NamedTuple):
    """`seconds` from the moment at which the request was due."""

    writes: bool
    began_at: float
    seconds: float
    failure: str


@dataclass
class Clients:
    """Two of three requests read, a page or a task; the others create, change and toggle."""

    url: str
    accounts: list[Account]
    count: int = 9
    answers: list[Answer] = field(default_factory=list)
    over: bool = False

    async def run(self) -> None:
        await asyncio.gather(*(self._work(number) for number in range(self.count)))

    async def _work(self, number: int) -> None:
        account = self.accounts[number % len(self.accounts)]
        client = Client(self.url, account.token)
        task = (await client.request("POST", account.tasks, {"title": "mine"})).json()["id"]
        due = monotonic() + random.uniform(0, INTERVAL_SECONDS)  # noqa: S311  load, no secret
        while not self.over:
            await asyncio.sleep(due - monotonic())
            await self._ask(client, account, task, due)
            due = max(due + INTERVAL_SECONDS, monotonic())
        client.close()

    async def _ask(self, client: Client, account: Account, task: str, due: float) -> None:
        method, path, body, expected = random.choice(  # noqa: S311  load, no secret
            (
                ("GET", f"{account.tasks}?limit=20", None, OK),
                ("GET", f"{account.tasks}?limit=20&sort=-updated_at", None, OK),
                ("GET", f"{account.tasks}/{task}", None, OK),
                ("GET", f"{account.tasks}/{task}", None, OK),
                ("PATCH", f"{account.tasks}/{task}/complete", None, OK),
                ("POST", account.tasks, {"title": "written meanwhile"}, CREATED),
            )
        )
        failure = ""
        try:
            answer = await client.request(method, path, body)
        except (OSError, asyncio.IncompleteReadError) as error:
            failure = f"{method}: {error!r}"
        else:
            if answer.status != expected:
                failure = f"{method}: {answer.status} {answer.body[:200]!r}"
        self.answers.append(Answer(method != "GET", due, monotonic() - due, failure))
