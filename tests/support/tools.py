"""Where the tests find their tools; one that is missing is a skip for you and a failure for CI."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"


def missing(what: str, get_it: str) -> NoReturn:
    """Ends the test: `get_it` is the command that gets what is missing."""
    text = f"{what} is missing; get it with: {get_it}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def require(name: str, get_it: str) -> str:
    """The command's path."""
    return shutil.which(name, path=PATH) or missing(name, get_it)
