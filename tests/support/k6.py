"""k6 for tests: from PATH or from `make tools-k6`."""

import os
import shutil

import pytest

from tests.support.database import ROOT

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), str(ROOT / ".tools" / "bin")))


def require_k6() -> str:
    """Its path. Skips the test where k6 is missing; in CI it fails."""
    found = shutil.which("k6", path=_PLACES)
    if found is not None:
        return found
    message = "k6 is missing; get it with: make tools-k6"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
