"""What a process takes before anybody has asked it for anything."""

import os
from pathlib import Path

from tests.support.database import Database
from tests.support.drill import report
from tests.support.server import resident_bytes, serve

MEMORY_MAX = 100 * 1024 * 1024
START_SECONDS = 2.0
"""From start to ready. Of the processor's time, since the clock's depends on what else the machine does."""


def test_an_idle_service_is_small_and_soon_ready(fresh_database: Database) -> None:
    with serve(fresh_database.url) as service:
        assert service.process is not None
        seconds = _cpu_seconds(service.process.pid)
        resident = resident_bytes(service.process.pid)
    report("an idle process", cpu_seconds_to_ready=seconds, resident_mb=resident / 1e6)
    assert resident <= MEMORY_MAX
    assert seconds <= START_SECONDS


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
