"""Whether models and migrations agree."""

import asyncio
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from service.database import revisions
from service.database.orm import APP, orm_config
from service.database.pool import Pool


def drift() -> str:
    """What Aerich would write into a new migration, "" when models and migrations agree. Needs no database."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "migrations"
        shutil.copytree(revisions.MIGRATIONS / APP, copy / APP)
        known = revisions.files(copy)
        asyncio.run(_migrate_offline(copy))
        return "\n".join((copy / APP / r.file).read_text() for r in revisions.files(copy) if r not in known)


async def _migrate_offline(location: Path) -> None:
    from aerich import Command  # noqa: PLC0415  the other commands need less memory without it

    command = Command(tortoise_config=orm_config(_no_database, migrates=True), app=APP, location=str(location))
    await command.init(offline=True)
    await command.migrate("drift", no_input=True, offline=True)


def _no_database() -> Pool:
    raise revisions.MigrationError("Comparing models with migrations needs no database, yet something asked for it")
