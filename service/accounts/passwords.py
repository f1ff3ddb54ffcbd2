"""Password hashes: argon2id, off the event loop, in a pool of threads that bounds both memory and queue."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service.problems import Overloaded
from service.telemetry.timing import spent

MEMORY_KIB = 19 * 1024
THREADS = 2
QUEUE_MAX = 100

T = TypeVar("T")


class Passwords:
    """Each hash takes about 20 ms of one core and 19 MiB; at most two run at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._queued = 0
        # What a login for an unknown user is compared with, so that it takes as long as any other.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """Raises Overloaded when too many are waiting."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether it is the password; `stored` is None for a user who does not exist, which takes the same time."""
        return await self._run(lambda: self._verify(stored or self._nobody, password)) and stored is not None

    def outdated(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerificationError:
            return False
        except InvalidHashError:  # an account without a password, which takes as long as any other
            self._verify(self._nobody, password)
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._queued >= QUEUE_MAX:
            raise Overloaded
        self._queued += 1
        started_at = perf_counter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._queued -= 1
            spent("auth", "auth.password", perf_counter() - started_at)
