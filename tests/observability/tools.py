"""The programs that these tests need beside Python."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOW = "make tools"


def required(program: str) -> str:
    """Path of `program`; without it the test is skipped, and fails in CI, where nobody reads skips."""
    places = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    if found := shutil.which(program, path=places):
        return found
    missing = f"{program} is not installed; `{HOW}` gets it"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
