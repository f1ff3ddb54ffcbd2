"""Child processes: told apart from us at the terminal, ending with us, and stopped within a time."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a terminal that is closed."""


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let no signal in between the fork of a child and the assignment of its handle: it would run on, unknown to us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def born(last_signal: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """For `preexec_fn`: the child takes signals again, and gets a last one when we end, even when we are killed.

    Linux has a request for the latter, which the child makes before it is another program; elsewhere it is left out.
    The C library is loaded here, as a child of a process with threads must not take a lock.
    """
    parent = os.getpid()
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        for each in ENDING:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, signal.SIG_DFL)  # ours is for the parent; a signal here is the child's end
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if library is not None:
            library.prctl(1, last_signal)  # PR_SET_PDEATHSIG
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def end(process: subprocess.Popen[bytes], timeout_seconds: float, *, how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process to end, and kill it when it has not done so in time."""
    process.send_signal(how)
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
