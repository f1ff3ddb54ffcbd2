"""How much a page may weigh: it ends early at 1 MiB, already where its tasks are.

A page of 500 tasks can be 30 MB, which PostgreSQL would take half a second to render, and a client that does not read
would leave in our memory.
"""

from collections.abc import Sequence

from service.tasks.model import DESCRIPTION_MAX, TITLE_MAX
from service.tasks.schemas import DOCUMENT

BYTES_MAX = 1024 * 1024
JSON_BYTES_PER_CHARACTER = 6
"""At the most: U+0001 is \\u0001, and those that JSON need not escape take no more than four in UTF-8."""

_TASK_BYTES_MAX = JSON_BYTES_PER_CHARACTER * (TITLE_MAX + DESCRIPTION_MAX) + 512
FITS_ALWAYS = BYTES_MAX // _TASK_BYTES_MAX
"""So many tasks are less than a page whatever they hold."""

RENDERS_MAX = 100
"""So many tasks PostgreSQL may render to see how long they are; of more, their stored length says where to stop."""

_STORED = "octet_length(title) + coalesce(octet_length(description), 0)"


def bounded(rows: str, order: str, limit: int) -> str:
    """The statement for the documents of `rows`, which are in `order`, up to the one with which a page is too long.

    A running sum costs half a microsecond for each task, which the smallest pages do not need.
    """
    if limit < FITS_ALWAYS:
        return f"SELECT {DOCUMENT} FROM ({rows}) page"  # noqa: S608  fixed texts
    if limit > RENDERS_MAX:
        rows = (
            f"SELECT * FROM (SELECT *, sum({_STORED}) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING)"  # noqa: S608  fixed texts
            f" - ({_STORED}) AS stored_before FROM ({rows}) candidate) measured WHERE stored_before < {BYTES_MAX}"
        )
    # OFFSET 0 keeps a document from being rendered once more wherever its column is named.
    return (
        f"SELECT document FROM (SELECT document, sum(octet_length(document)) OVER (ORDER BY {order}"  # noqa: S608  fixed texts
        f" ROWS UNBOUNDED PRECEDING) - octet_length(document) AS before FROM"
        f" (SELECT {DOCUMENT} AS document, key, id FROM ({rows}) task OFFSET 0) rendered) page"
        f" WHERE before < {BYTES_MAX}"
    )


def fitting(documents: Sequence[bytes], limit: int) -> Sequence[bytes]:
    """Those of a page: up to `limit`, and no more bytes than a page may have as a JSON array; one at the least."""
    page = documents[:limit]
    if sum(map(len, page)) + len(page) < BYTES_MAX:
        return page
    size = 1
    for count, document in enumerate(page):
        size += len(document) + 1  # and the comma, or the bracket
        if size > BYTES_MAX:
            return page[: max(count, 1)]
    return page
