"""The labels in use."""

from uuid import UUID

from service.database.pool import Executor, Statement
from service.problems import Unauthorized

LABELS_ON_A_PAGE = 5000
"""At most some 1.5 MB: a page is bounded, however many labels a user has made up."""

# $1 user, $2 the label that the page starts behind, "" for the first page. By code point, as titles are.
READ = Statement(
    "label_list",
    "SELECT counted.name, tasks FROM users LEFT JOIN LATERAL ("  # noqa: S608  fixed text
    ' SELECT label COLLATE "C" AS name, count(*) AS tasks FROM tasks, unnest(labels) AS label'
    " WHERE user_id = $1 AND labels <> '{}'"
    ' AND label COLLATE "C" > $2::text GROUP BY label COLLATE "C"'
    f' ORDER BY label COLLATE "C" LIMIT {LABELS_ON_A_PAGE + 1}) AS counted ON true'
    " WHERE users.id = $1 AND ended_at IS NULL",
    reads=True,
)


async def read_labels(db: Executor, user_id: UUID, behind: str) -> list[tuple[str, int]]:
    """Names and numbers of tasks; one more than a page when more follow. Raises Unauthorized for a gone account."""
    rows = await db.fetch(READ, user_id, behind)
    if not rows:
        raise Unauthorized
    return [(row[0], row[1]) for row in rows if row[0] is not None]
