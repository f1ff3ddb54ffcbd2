"""How much is let in at once: every figure follows from the size of the pool, so that no two of them disagree."""

from dataclasses import dataclass

WAITING_PER_CONNECTION = 4
"""How many requests may wait for each connection of the pool: enough for none of them to be idle."""

USERS_MIN = 5
"""So many users, each with all that one may have, fit in at the same time."""

ADMISSION_PART = 0.75
"""Of the time that a request may wait for the database, what it may spend unread; the rest is for its turn."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a pool of `pool_max` connections can take.

    `slots_given` is the operator's figure for the requests of one user under way at once; None derives it.
    """

    pool_max: int
    slots_given: int | None = None
    queue_per_user: int = 100

    @property
    def waiting_max(self) -> int:
        """Requests that may have been read and wait for a connection or for a slot."""
        return WAITING_PER_CONNECTION * self.pool_max

    @property
    def slots_per_user(self) -> int:
        """Requests of one user under way at once while other users have some too; one who is alone may have all."""
        return self.slots_given or max(1, self.pool_max // USERS_MIN)

    @property
    def visible_per_user(self) -> int:
        """Of one user's own queue, what counts as waiting: more would get the requests of others refused."""
        return max(1, self.waiting_max // USERS_MIN)
