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

    `rows` have a `key` and an `id`; `also` names further columns that are wanted beside the document. No document is
    shorter than title and description of its row: else a page would end before it is full, and nobody would know that
    more follow.
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


def joined(rows: str, *, unless: str = "false") -> str:
    """The statement for such documents as one row: they with a comma between them, and the length of each.

    As rows they would cost PostgreSQL and this process a message each. Both are NULL where there are none, or where a
    condition holds that does not depend on the tasks: then none is read.
    """
    return (
        "SELECT string_agg(document, ','::bytea) AS documents, array_agg(octet_length(document)) AS lengths"  # noqa: S608  fixed texts
        f" FROM ({rows}) AS page WHERE ({unless}) IS NOT TRUE"
    )


def page_of(documents: bytes | None, lengths: Sequence[int] | None, limit: int) -> tuple[bytes, bytes | None]:
    """The page as a JSON array, and the last document on it if there is one that is not on it any more."""
    if documents is None or lengths is None:
        return b"[]", None
    count = fitting(lengths, limit)
    if count == len(lengths):
        return b"[%b]" % documents, None
    end = sum(lengths[:count]) + count - 1
    return b"[%b]" % documents[:end], documents[end - lengths[count - 1] : end]


def fitting(lengths: Sequence[int], limit: int) -> int:
    """How many of a page's documents fit: up to `limit`, and no more bytes than a JSON array may have; one at least."""
    count = min(len(lengths), limit)
    if sum(lengths) + len(lengths) < BYTES_MAX:
        return count
    size = 1
    for shown, length in enumerate(lengths[:count]):
        size += length + 1  # and the comma, or the bracket
        if size > BYTES_MAX:
            return max(shown, 1)
    return count


def _without_place(also: str) -> str:
    return "".join(f", {name}" for name in also.replace(",", " ").split() if name not in {"key", "id"})
