"""What building a wheel does beyond setuptools' own: pyproject.toml names the class."""

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py

MIGRATIONS = Path("migrations/models")


class WithMigrations(build_py):  # type: ignore[misc]  # setuptools ships no types
    """Puts migrations/ into the package, where `revisions.MIGRATIONS` looks in an installation without a clone."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._copies().items():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_source_files(self) -> list[str]:
        """What a source distribution has to hold."""
        return [*super().get_source_files(), *map(str, self._copies()), str(Path("make/wheel.py"))]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: FBT001, FBT002  setuptools' signature
        copied = [] if self.editable_mode else [str(target) for target in self._copies().values()]
        return [*super().get_outputs(include_bytecode), *copied]

    def _copies(self) -> dict[Path, Path]:
        return {source: Path(self.build_lib, "service", source) for source in sorted(MIGRATIONS.glob("[0-9]*_*.py"))}
