"""Tools that no wheel brings."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.database import ROOT

_APT = {"pgbouncer": "pgbouncer", "promtool": "prometheus", "nginx": "nginx"}
_MAKE = {"k6": "make tools-k6"}
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), str(ROOT / ".tools" / "bin"), "/usr/sbin", "/usr/local/sbin"))


def require(tool: str) -> Path:
    """Where the tool is. Without it the test is skipped, naming the command that gets it; with CI=true it fails."""
    found = shutil.which(tool, path=_PLACES)
    if found is not None:
        return Path(found)
    advice = f"{tool} is missing; get it with: {_MAKE.get(tool, f'apt-get install {_APT.get(tool, tool)}')}"
    if os.environ.get("CI") == "true":
        pytest.fail(advice)
    pytest.skip(advice)
