"""How much of its time a request has used up in queues: what it may still wait for follows from that.

Every queue on a request's way (to be read, to be its user's turn, to get a connection) adds what it took, so that all
of them together take no longer than one of them may.
"""

from contextvars import ContextVar


class _Waits:
    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


_current: ContextVar[_Waits | None] = ContextVar("waits", default=None)


def begin() -> None:
    """From here on, what this connection's task waits for counts for this request."""
    _current.set(_Waits())


def waited() -> float:
    """Seconds that the request has waited so far to be let at the database; 0 outside a request."""
    waits = _current.get()
    return 0.0 if waits is None else waits.seconds


def add_wait(seconds: float) -> None:
    waits = _current.get()
    if waits is not None:
        waits.seconds += seconds
