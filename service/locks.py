"""Locks between processes that the kernel takes back, however their owner ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InUseError(Exception):
    """Another process owns it; the text is what that process wrote about itself."""


class OwnerLock:
    """One process at a time owns what the file stands for; the file says which, and stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def owned(self) -> bool:
        return self._descriptor is not None

    def acquire(self, about: str) -> None:
        """Raises InUseError, OSError."""
        descriptor = self._locked()
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, about.encode(), 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _locked(self) -> int:
        while True:
            # Closed in children at their exec, so that none of them keeps the lock when we are gone.
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_still_there(descriptor):
                    return descriptor
            except BlockingIOError:
                about = os.pread(descriptor, 1000, 0).decode(errors="replace")
                os.close(descriptor)
                raise InUseError(about) from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_still_there(self, descriptor: int) -> bool:
        """Or whether the file was removed after it was opened: then a lock on it excludes nobody."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time, for a moment; others wait."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
