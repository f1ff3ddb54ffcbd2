"""`streams` at work on a real service, and behind what loses, repeats and breaks off events on purpose."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from loadtests.streams.settings import Settings
from tests.support.database import ROOT
from tests.support.relay import Relay
from tests.support.server import Service

CROSSED = 99
SMALL = {
    "READERS": "12",
    "READERS_PER_USER": "4",
    "WRITERS": "3",
    "WRITES": "40",
    "DURATION": "1s",
    "IDLE_SECONDS": "0.3",
}
ROOMY = {"SLO_LATENCY_MS": "5000", "DELIVERY_P95_MS": "900"}
DELETION = b"event: deleted\n"


class Tampering(Relay):
    """Leads to `target_port`. What the service says of deletions on one stream, `tampered` makes of it.

    It is the first stream that is told of one: the writers choose at random, and may delete nothing of some user.
    """

    def __init__(self, target_port: int, how: str) -> None:
        super().__init__()
        self._target = target_port
        self._how = how
        self._chosen: asyncio.StreamReader | None = None
        self.done = False

    def tampered(self, data: bytes) -> bytes:
        """Each piece is whole chunks, since the service writes them in one go."""
        if self.done and self._how != "drop":
            return data
        self.done = True
        return {"drop": b"", "repeat": data * 2, "break off": b""}[self._how]

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._target)

        async def there() -> None:
            while data := await reader.read(65536):
                back_writer.write(data)
            back_writer.close()

        async def back() -> None:
            while data := await back_reader.read(65536):
                if DELETION in data and self._chosen in {None, back_reader}:
                    self._chosen = back_reader
                    breaks_off = self._how == "break off" and not self.done
                    writer.write(self.tampered(data))
                    if breaks_off:
                        back_writer.close()
                        break
                else:
                    writer.write(data)
            writer.close()

        await asyncio.gather(there(), back())


def run(service: Service, port: int | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests.streams"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "BASE_URL": service.url if port is None else f"http://127.0.0.1:{port}",
            "ADMIN_URL": service.admin_url,
            **SMALL,
            **ROOMY,
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


@pytest.fixture
def tampering(service: Service, request: pytest.FixtureRequest) -> Iterator[Tampering]:
    with Tampering(service.port, request.param) as relay:
        yield relay
    assert relay.done, "a deletion was told"


def measured(done: subprocess.CompletedProcess[str], threshold: str) -> tuple[str, float]:
    found = re.search(rf"^(passed|FAILED)  {re.escape(threshold)} \(([\d.]+)\)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    return found[1], float(found[2])


def test_every_reader_hears_of_every_change_once(service: Service) -> None:
    done = run(service)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert measured(done, "events: count>0")[1] > 50
    assert measured(done, "missed: count==0") == ("passed", 0)
    assert re.search(r"^delivery: p50 [\d.]+, p95 [\d.]+, p99 [\d.]+, max [\d.]+ ms of \d+$", done.stdout, re.MULTILINE)
    assert re.search(r"^this process: 0\.\d+ cores; lateness .* p95 [\d.]+", done.stdout, re.MULTILINE)
    assert re.search(r"[\d.]+ kB for each of the 12 streams", done.stdout)


@pytest.mark.parametrize("tampering", ["drop"], indirect=True)
def test_an_event_that_is_lost_fails_the_run(service: Service, tampering: Tampering) -> None:
    done = run(service, tampering.port)
    assert done.returncode == CROSSED, done.stdout + done.stderr
    verdict, missed = measured(done, "missed: count==0")
    assert verdict == "FAILED"
    assert missed >= 1
    assert measured(done, "readers whose tasks are not the list's: count==0") == ("FAILED", 1)


@pytest.mark.parametrize("tampering", ["repeat"], indirect=True)
def test_an_event_that_comes_twice_fails_the_run(service: Service, tampering: Tampering) -> None:
    done = run(service, tampering.port)
    assert done.returncode == CROSSED, done.stdout + done.stderr
    assert measured(done, "twice: count==0")[0] == "FAILED"
    assert measured(done, "missed: count==0") == ("passed", 0)


@pytest.mark.parametrize("tampering", ["break off"], indirect=True)
def test_a_reader_that_is_cut_off_goes_on_where_it_was(service: Service, tampering: Tampering) -> None:
    """Late, since it comes back after a second, but nothing is missing."""
    done = run(service, tampering.port)
    assert "came back after they were cut off: 1\n" in done.stdout, done.stdout + done.stderr
    for threshold in ("missed", "twice", "readers whose tasks are not the list's"):
        assert measured(done, f"{threshold}: count==0") == ("passed", 0)


@pytest.mark.parametrize(
    "wrong", [{"READERS": "none"}, {"WRITERS": "0.5"}, {"WRITES": "nan"}, {"WRITES": "0"}, {"DURATION": "5"}]
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match=next(iter(wrong))):
        Settings.read(wrong)


def test_streams_that_are_refused_end_the_run_with_the_reason(service: Service) -> None:
    done = run(service, READERS_PER_USER="12", READERS="12")
    assert done.returncode == 1
    assert "too_many_streams" in done.stderr
