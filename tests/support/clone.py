"""A clone of this repository, with the files as they are now, in a folder whose name may be anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.database import ROOT, bare_environment
from tests.support.tools import missing


def cloned(folder: Path, *, with_environment: bool = True) -> Path:
    """`with_environment` links the environment that these tests run in: making another one takes a minute."""
    if not (ROOT / ".git").exists():
        missing("the repository", "git clone")
    _git("clone", "--quiet", str(ROOT), str(folder))
    for name in _git("-C", str(ROOT), "ls-files", "-z", "--modified", "--others", "--exclude-standard").split("\0"):
        _bring(ROOT / name, folder / name) if name else None
    if with_environment:
        if not (Path(sys.prefix) / ".installed.json").exists():
            missing("an environment that make has made", "make test")
        (folder / ".venv").symlink_to(sys.prefix)
    return folder


def make(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**bare_environment(), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def _bring(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _git(*arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(["git", *arguments], env=env, capture_output=True, text=True, check=True).stdout
