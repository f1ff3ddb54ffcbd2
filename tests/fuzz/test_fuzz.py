"""No input makes a 5xx, and every answer is the one that the API's description promises."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.database import ROOT, Database, bare_environment
from tests.support.server import Service
from tests.support.users import sign_up

BUDGET_SECONDS = int(os.environ.get("FUZZ_SECONDS", "12"))
UNLIMITED = {
    "LOGIN_ATTEMPTS_PER_MINUTE": "100000",
    "FAILED_LOGINS_PER_ADDRESS_PER_MINUTE": "100000",
    "SIGNUPS_PER_ADDRESS_PER_MINUTE": "100000",
}


@pytest.mark.timeout(BUDGET_SECONDS + 120)
def test_every_operation_keeps_what_its_description_promises(
    fresh_database: Database, start_service: Callable[..., Service], tmp_path: Path
) -> None:
    """Generated requests, valid and not, alone and in sequences, against all of schemathesis's checks."""
    service = start_service(fresh_database.url, **UNLIMITED)
    with sign_up(service.url) as user:
        done = subprocess.run(
            [
                *(Path(sys.executable).parent / "st", "--config-file", ROOT / "tests/fuzz/schemathesis.toml"),
                *("run", f"{service.url}/openapi.json", "--max-time", str(BUDGET_SECONDS)),
                # Deleting the account would make a 401 of everything that comes after it; tests/api does that.
                *("--exclude-operation-id", "delete_account", "--exclude-operation-id", "change_password"),
                # A short run looks at the same cases each time; a long one at new ones.
                *(("--generation-deterministic", "--max-examples", "15") if BUDGET_SECONDS <= 60 else ()),
            ],
            env={
                **bare_environment(),
                "PYTHONPATH": str(ROOT),
                "FUZZ_USER_ID": user.id,
                "FUZZ_TOKEN": user.token,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    report = done.stdout[-6000:] + done.stderr[-2000:]
    assert done.returncode == 0, report
    assert "Test Phases" in done.stdout, report
    assert '"status":5' not in service.log()
