"""One user's share of a process: so many requests at once, and no more, or one noisy client would starve the others."""

from service.problems import TooManyRequests


class Shares:
    """Counts in this process alone: it guards this process's pool and event loop."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.running: dict[str, int] = {}


class Share:
    """One request's part in it, from the moment its user is known until the request ends."""

    __slots__ = ("_over", "_shares", "_user")

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._user: str | None = None
        self._over = False

    def enter(self, user: str) -> None:
        """Raises TooManyRequests. Does nothing once the request is over: Sanic runs middleware for late errors too."""
        if self._over or self._user is not None:
            return
        running = self._shares.running.get(user, 0)
        if running >= self._shares.maximum:
            raise TooManyRequests(retry_after=1)
        self._shares.running[user] = running + 1
        self._user = user

    def leave(self) -> None:
        self._over = True
        if self._user is None:
            return
        running = self._shares.running[self._user] - 1
        if running:
            self._shares.running[self._user] = running
        else:
            del self._shares.running[self._user]
