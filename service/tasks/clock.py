"""The user's clock: one row that every change to the user's tasks takes its time from.

The clock stands in the user's row. A change locks that row first, sets the task's time to a later one than the clock's,
and sets the clock to it, all in one statement. So the order of `updated_at` is the order of commits, every writer takes
its locks in the same order, and a reader who has seen the clock at some time has seen every change up to that time.
"""

_NEXT = "GREATEST(clock_timestamp(), tasks_clock + interval '1 microsecond')"

LIVE_USER = "id = $2 AND ended_at IS NULL"

# What a statement starts with that may find that there is nothing to change. It must not advance the clock before it
# has the task: two at once would both see the task, and only one of them would still find it.
LOCK = f"head AS MATERIALIZED (SELECT {_NEXT} AS now, tasks_count FROM users WHERE {LIVE_USER} FOR NO KEY UPDATE)"  # noqa: S608  fixed text

# Where the change always happens, one access to the row is enough; `$3` is how many tasks the user may have.
ADVANCE_FOR_NEW = (
    f"head AS (UPDATE users SET tasks_clock = {_NEXT}, tasks_count = tasks_count + 1"  # noqa: S608  fixed text
    f" WHERE {LIVE_USER} AND coalesce(tasks_count, 0) < $3 RETURNING tasks_clock AS now)"
)


def in_states(first: int) -> str:
    """Whether the task is in a state that the request allows: two places from `first` on, NULL for no condition."""
    allowed, refused = f"${first}", f"${first + 1}"
    return (
        f"({allowed}::timestamptz[] IS NULL OR updated_at = ANY ({allowed}))"
        f" AND ({refused}::timestamptz[] IS NULL OR updated_at <> ALL ({refused}))"
    )


def advance(behind: str, *, count: int = 0) -> str:
    """The clock behind the change: `behind` names the CTE whose single row is the changed task."""
    counted = f", tasks_count = users.tasks_count {count:+d}" if count else ""
    return (
        f"clock AS (UPDATE users SET tasks_clock = head.now{counted}"  # noqa: S608  fixed text
        f" FROM head, {behind} WHERE users.id = $2)"
    )
