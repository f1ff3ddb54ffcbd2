"""Tools that no wheel brings."""

import os
import shutil
from pathlib import Path

import pytest

_APT = {"pgbouncer": "pgbouncer", "promtool": "prometheus", "nginx": "nginx"}


def require(tool: str) -> Path:
    """Where the tool is. Without it the test is skipped, naming the command that gets it; with CI=true it fails."""
    found = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is not None:
        return Path(found)
    advice = f"{tool} is missing; get it with: apt-get install {_APT.get(tool, tool)}"
    if os.environ.get("CI") == "true":
        pytest.fail(advice)
    pytest.skip(advice)
