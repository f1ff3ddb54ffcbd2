"""Threads that the process does not wait for: nothing cuts a resolver or a collector short that does not answer."""

import threading
from collections.abc import Callable
from typing import TypeVarTuple

Arguments = TypeVarTuple("Arguments")


class UnawaitedThread(threading.Thread):
    def __init__(self, name: str, run: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        super().__init__(name=name, target=run, args=arguments, daemon=True)


def any_unawaited() -> bool:
    """Whether one still runs: the interpreter's end would tear down what it uses, and crash now and then."""
    return any(isinstance(thread, UnawaitedThread) for thread in threading.enumerate())
