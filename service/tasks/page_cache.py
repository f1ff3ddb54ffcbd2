"""The pages of lists that were asked for last: one whose user's clock stands where it stood is not read again.

Whether it stands there is asked in the statement that would read the page, so that what is shown is what the database
has at that moment, whatever other processes do. Nothing has to be emptied when tasks change.
"""

from collections import OrderedDict
from typing import NamedTuple
from uuid import UUID

BYTES_MAX = 8 * 1024 * 1024
"""In all, for each process."""

PAGE_BYTES_MAX = 64 * 1024
OVERHEAD_BYTES = 500
"""Of an entry, beside its body."""


class KnownPage(NamedTuple):
    """`clock` is the user's, in seconds since the epoch, as the database gave it."""

    clock: float
    body: bytes
    last: bytes | None


class PageCache:
    """Least recently used pages go first. A page is found only by its user and its query."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._pages: OrderedDict[tuple[UUID, str], KnownPage] = OrderedDict()

    def get(self, user_id: UUID, query: str) -> KnownPage | None:
        page = self._pages.get((user_id, query))
        if page is not None:
            self._pages.move_to_end((user_id, query))
        return page

    def keep(self, user_id: UUID, query: str, page: KnownPage) -> None:
        self._forget(user_id, query)
        if len(page.body) > PAGE_BYTES_MAX:
            return
        self._pages[user_id, query] = page
        self._bytes += _size(page)
        while self._bytes > self._bytes_max:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= _size(oldest)

    def _forget(self, user_id: UUID, query: str) -> None:
        known = self._pages.pop((user_id, query), None)
        if known is not None:
            self._bytes -= _size(known)


def _size(page: KnownPage) -> int:
    return len(page.body) + len(page.last or b"") + OVERHEAD_BYTES
