"""Whatever is asked for, the metrics stay as many as they are, and valid."""

import asyncio
import secrets
import subprocess

import httpx
import pytest

from tests.support.drill import pick, report
from tests.support.server import Service
from tests.support.tools import tool


@pytest.mark.drill
def test_random_paths_methods_and_names_add_no_series(service: Service) -> None:
    asyncio.run(_ask(service.url, 30))
    before = service.series()
    paths = pick(1500, 10_000)
    asyncio.run(_ask(service.url, paths))
    after = service.series()
    report("promise 17, bounded metrics", paths=paths, series=len(after))
    assert after - before == set()


async def _ask(url: str, count: int) -> None:
    gate = asyncio.Semaphore(20)

    async def one(number: int) -> None:
        async with gate:
            name = secrets.token_urlsafe(9)
            path = (f"/{name}", f"/api/{name}/tasks", f"/api/{name}/tasks/{name}")[number % 3]
            await client.request(("GET", "POST", "DELETE")[number // 3 % 3], path)

    async with httpx.AsyncClient(
        base_url=url, limits=httpx.Limits(max_connections=20), timeout=30, verify=False
    ) as client:
        await asyncio.gather(*(one(number) for number in range(count)))


def test_promtool_finds_nothing_to_say_about_the_metrics(service: Service) -> None:
    promtool = tool("promtool", "apt-get install prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=service.metrics(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
