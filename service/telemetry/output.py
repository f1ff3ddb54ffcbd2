"""Standard output, written by a thread of its own: no reader, however slow, holds up the event loop."""

import os
import select
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread

FLUSH_SECONDS = 0.1
"""How long the first of several lines waits for the others: a system call for each request is too dear."""

LINES_MAX = 10_000
"""What is kept for a reader that does not read: 4 MB of requests, some seconds of them under load."""

BATCH_LINES = 500


class Output:
    """A queue of lines, and the thread that writes them in their order.

    Lines are dropped, and counted, when the queue is full and when standard output takes nothing (closed, or its disk
    is full): a service that cannot log goes on to serve.
    """

    def __init__(self, on_dropped: Callable[[int], None]) -> None:
        """`on_dropped` is told how many lines are missing, once the queue has capacity for such a line."""
        self._on_dropped = on_dropped
        self._queue: deque[bytes | Event] = deque()
        self._wake = Event()
        self._hurry = Event()
        self._starting = Lock()
        self._thread: Thread | None = None
        self._refused = 0  # counted by whoever logs, and
        self._lost = 0  # by the thread: neither needs a lock
        self._told = 0
        self._torn = False

    def dropped(self) -> int:
        return self._refused + self._lost

    def write(self, line: bytes) -> None:
        """Never fails, and never waits but where no thread can be started."""
        if len(self._queue) >= LINES_MAX:
            self._refused += 1
            return
        self._queue.append(line)
        if self._wake.is_set():
            return
        if self._start():
            self._wake.set()
        else:
            self._write_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all lines so far are written or dropped; False when that took too long."""
        if self._thread is None:
            return True
        done = Event()
        self._queue.append(done)
        self._hurry.set()
        self._wake.set()
        return done.wait(timeout_seconds)

    def _start(self) -> bool:
        """False where there can be no thread: at the end of the interpreter, or at a limit of the system."""
        if self._thread is not None:
            return True
        with self._starting:
            if self._thread is None:
                # A daemon: a reader that does not read must not keep the process from ending.
                thread = Thread(target=self._run, name="log-output", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
        return True

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # signals are the main thread's
        while True:
            self._wake.wait()
            self._hurry.wait(FLUSH_SECONDS)
            self._hurry.clear()
            self._wake.clear()  # before the queue is emptied: a line that comes now wakes us again
            self._write_all()

    def _write_all(self) -> None:
        while self._queue:
            with suppress(Exception):  # nothing may end this thread: nobody would hear of it
                self._write_some()

    def _write_some(self) -> None:
        """The lines up to the next flush that somebody waits for."""
        lines: list[bytes] = []
        flushed = None
        while flushed is None and self._queue and len(lines) < BATCH_LINES:
            entry = self._queue.popleft()
            if isinstance(entry, Event):
                flushed = entry
            else:
                lines.append(entry)
        if lines:
            lost = self._put(b"\n".join(lines) + b"\n")
            self._lost += lost
            if not lost:
                self._tell_dropped()
        if flushed is not None:
            flushed.set()

    def _tell_dropped(self) -> None:
        missing = self.dropped() - self._told
        if missing and len(self._queue) < LINES_MAX // 2:  # else that line may be dropped as well
            self._told += missing
            self._on_dropped(missing)

    def _put(self, data: bytes) -> int:
        """Write all of it, however long that takes; returns how many lines could not be written."""
        if self._torn:
            data = b"\n" + data
        done = 0
        try:
            descriptor = sys.stdout.fileno()
            while done < len(data):
                try:
                    done += os.write(descriptor, memoryview(data)[done:])
                except BlockingIOError:  # another process with the same descriptor has made it non-blocking
                    _wait_for_room(descriptor)
        except (OSError, ValueError, AttributeError):  # nobody reads it, its disk is full, it was closed from the start
            lost = data.count(b"\n", max(done, int(self._torn)))
            if done:
                self._torn = data[done - 1 : done] != b"\n"
            return lost
        self._torn = False
        return 0


def _wait_for_room(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll(1000)
