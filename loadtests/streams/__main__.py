"""Does every reader hear of every change, once and in time? `make load SCRIPT=streams` says so.

No k6: its core reads no event streams, and its virtual users share nothing, so that nobody could compare in the end
what each of them was told. A reader here is a list of what came, and when; see docs/load-testing.md.
"""

import asyncio
import resource
import secrets
import sys
from collections import defaultdict
from time import monotonic

import uvloop

from loadtests.rest import CREATED, Account, Client, sign_up
from loadtests.streams.reader import Reader, StreamRefusedError
from loadtests.streams.report import Run, lines, thresholds
from loadtests.streams.service import Admin, OwnCost, Pings
from loadtests.streams.settings import Settings
from loadtests.streams.verdict import Tasks, Verdict
from loadtests.streams.writers import Write, Writer, Written

OPENED_AT_ONCE = 50
SETTLE_SECONDS = 2.0
"""Whatever has happened is on every stream within one."""

SPARE_SECONDS = 60.0
SEEDED = 20
PAGE = 500
THRESHOLD_CROSSED = 99


async def main() -> int:
    settings = Settings.read()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    users = -(-settings.readers // settings.per_user)
    ordinary, *accounts = await sign_up(settings.urls[0], f"streams-{secrets.token_hex(6)}", users + 1)
    if ordinary.expires_in < settings.duration + 4 * settings.idle + SPARE_SECONDS:
        sys.exit(f"an access token is good for {ordinary.expires_in} s, and the run would take longer")
    run = await _run(settings, accounts, ordinary)
    print("\n".join(["", *lines(run, settings), ""]))  # noqa: T201  what it is run for
    return 0 if all(ok for ok, _, _ in thresholds(run, settings)) else THRESHOLD_CROSSED


async def _run(settings: Settings, accounts: list[Account], ordinary: Account) -> Run:
    await _seed(settings.urls[0], ordinary)
    admin = Admin(settings.admin_url) if settings.admin_url else None
    pings = {when: Pings(settings.urls[0], ordinary) for when in ("before", "beside idle streams", "beside changes")}
    run = Run(Written(), Verdict(), pings, OwnCost(), opened_in=0.0)

    async def sample(when: str) -> None:
        if admin is not None:
            run.samples[when] = await admin.sample()

    await pings["before"].run(settings.idle)
    await sample("before")
    readers = _readers(settings, accounts)
    try:
        run.opened_in = await _open(readers)
        await sample("open")
        await pings["beside idle streams"].run(settings.idle)
        await sample("idle")
        async with run.cost:
            await asyncio.gather(
                _write(settings, accounts, run.written), pings["beside changes"].run(settings.duration)
            )
            await asyncio.sleep(SETTLE_SECONDS)
        await sample("written")
    finally:
        await asyncio.gather(*(reader.close() for reader in readers))
    await asyncio.sleep(SETTLE_SECONDS)
    await sample("closed")
    run.reconnections = sum(reader.reconnections for reader in readers)
    await _judge(settings.urls[0], readers, run)
    return run


async def _seed(url: str, account: Account) -> None:
    client = Client(url, account.token)
    for number in range(SEEDED):
        answer = await client.request("POST", account.tasks, {"title": f"task {number}"})
        if answer.status != CREATED:
            sys.exit(f"seeding answered {answer.status}: {answer.body[:500]!r}")
    client.close()


def _readers(settings: Settings, accounts: list[Account]) -> list[Reader]:
    urls = settings.urls
    return [Reader(urls[n % len(urls)], accounts[n // settings.per_user]) for n in range(settings.readers)]


async def _open(readers: list[Reader]) -> float:
    """All of them; returns how long that took."""
    began_at, waiting = monotonic(), iter(readers)

    async def work() -> None:
        for reader in waiting:
            await reader.open()

    try:
        await asyncio.gather(*(work() for _ in range(OPENED_AT_ONCE)))
    except (StreamRefusedError, OSError, TimeoutError) as error:
        sys.exit(f"a stream did not open: {error!r}")
    return monotonic() - began_at


async def _write(settings: Settings, accounts: list[Account], written: Written) -> None:
    count, urls = settings.writers, settings.urls
    mine = [accounts[number::count] or [accounts[number % len(accounts)]] for number in range(count)]
    writers = [Writer(urls[number % len(urls)], mine[number], written) for number in range(count)]
    until, interval = monotonic() + settings.duration, count / settings.writes_per_second
    await asyncio.gather(*(writer.write(interval=interval, until=until) for writer in writers))
    for writer in writers:
        writer.close()


async def _judge(url: str, readers: list[Reader], run: Run) -> None:
    writes: dict[str, list[Write]] = defaultdict(list)
    for write in run.written.writes:
        writes[write.user_id].append(write)
    lists: dict[str, Tasks] = {}
    for reader in readers:
        account = reader.account
        if account.id not in lists:
            lists[account.id] = await _listed(url, account)
        run.verdict.judge(reader.events(), writes[account.id], lists[account.id])


async def _listed(url: str, account: Account) -> Tasks:
    """The user's tasks, page by page."""
    client, path, tasks = Client(url, account.token), f"{account.tasks}?limit={PAGE}", Tasks()
    while path:
        answer = await client.request("GET", path)
        tasks |= {task["id"]: task for task in answer.json()}
        link = answer.headers.get("link", "")
        path = link.partition(">")[0].removeprefix("<") if 'rel="next"' in link else ""
    client.close()
    return tasks


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
