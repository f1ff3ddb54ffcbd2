"""The labels in use."""

from uuid import UUID

from service.database.pool import Executor, Statement
from service.tasks.account import fetch_of_account, of_account

LABELS_ON_A_PAGE = 5000
"""At most some 1.5 MB: a page is bounded, however many labels a user has made up."""

# $1 user, $2 the label that the page starts behind, "" for the first page. By code point, as titles are.
READ = Statement(
    "label_list",
    of_account(
        "found.name, tasks",
        'SELECT label COLLATE "C" AS name, count(*) AS tasks FROM tasks, unnest(labels) AS label'  # noqa: S608  fixed text
        " WHERE user_id = $1 AND labels <> '{}' AND label COLLATE \"C\" > $2::text"
        f' GROUP BY label COLLATE "C" ORDER BY label COLLATE "C" LIMIT {LABELS_ON_A_PAGE + 1}',
    ),
    reads=True,
)


async def read_labels(db: Executor, user_id: UUID, behind: str) -> list[tuple[str, int]]:
    """Names and numbers of tasks; one more than a page when more follow. Raises Unauthorized for a gone account."""
    rows = await fetch_of_account(db, READ, user_id, behind)
    return [(row[0], row[1]) for row in rows if row[0] is not None]
