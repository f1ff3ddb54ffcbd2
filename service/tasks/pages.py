"""How much a page may weigh: it ends early at 1 MiB, already where its rows are.

A page of 500 tasks can be 30 MB, which PostgreSQL would take half a second to render, and a client that does not read
would leave in our memory.
"""

from collections.abc import Sequence

from service.tasks.fields import document as document_of

BYTES_MAX = 1024 * 1024
SENDS_MAX = 32
"""So few tasks are sent whatever they hold, 2 MB at the most, and the page's end is found here: a running sum costs
PostgreSQL half a microsecond for each task, which is much for the small pages that clients ask for again and again."""

RENDERS_MAX = 100
"""So many tasks PostgreSQL may render to see how long they are; of more, their stored length says where to stop."""

_STORED = "coalesce(octet_length(title), 0) + coalesce(octet_length(description), 0)"


def bounded(rows: str, *, order: str, limit: int, document: str = document_of(), also: str = "") -> str:
    """The statement for the documents of `rows`, which are in `order`, up to the one with which a page is too long.

    `rows` have a `key` and an `id`; `also` names further columns that are wanted beside the document.
    """
    if limit <= SENDS_MAX:
        return f"SELECT {document} AS document{also} FROM ({rows}) page"  # noqa: S608  fixed texts
    if limit > RENDERS_MAX:
        rows = (
            f"SELECT * FROM (SELECT *, sum({_STORED}) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING)"  # noqa: S608  fixed texts
            f" - ({_STORED}) AS stored_before FROM ({rows}) candidate) measured WHERE stored_before < {BYTES_MAX}"
        )
    # OFFSET 0 keeps a document from being rendered once more wherever its column is named.
    return (
        f"SELECT document{also} FROM (SELECT document{also}, sum(octet_length(document)) OVER (ORDER BY {order}"  # noqa: S608  fixed texts
        f" ROWS UNBOUNDED PRECEDING) - octet_length(document) AS before FROM"
        f" (SELECT {document} AS document, key, id{_without_place(also)} FROM ({rows}) task OFFSET 0) rendered) page"
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


def _without_place(also: str) -> str:
    return "".join(f", {name}" for name in also.replace(",", " ").split() if name not in {"key", "id"})
