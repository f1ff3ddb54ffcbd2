"""Migrations beside the repository's own, for a test alone."""

import shutil
import subprocess
import sys
from pathlib import Path

from service.database.revisions import MIGRATIONS
from tests.support.database import ROOT, Database, bare_environment

_RUN = """
import sys
from pathlib import Path
from service.database import revisions
revisions.MIGRATIONS = Path(sys.argv.pop(1))
from service.__main__ import main
main()
"""


class Migrations:
    def __init__(self, folder: Path, extra: dict[str, str]) -> None:
        """The repository's files and `extra` ones, by name."""
        self.folder = folder
        shutil.copytree(MIGRATIONS / "models", folder / "models", ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in extra.items():
            (folder / "models" / name).write_text(text)

    def start(self, database: Database, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _RUN, str(self.folder), "migrate", *arguments],
            cwd=ROOT,
            env={**bare_environment(), "DATABASE_URL": database.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, database: Database, *arguments: str) -> str:
        """Returns the output; fails with it when the command fails."""
        process = self.start(database, *arguments)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output
