"""The HTTP/1.1 connection, with deadlines that slow clients cannot push back."""

from time import monotonic

from sanic.exceptions import RequestTimeout
from sanic.http import Stage
from sanic.server import HttpProtocol

LINGER_SECONDS = 0.5
"""For the 408 to reach a client that has not sent all of its body."""


class Protocol(HttpProtocol):
    """Sanic's protocol, whose clock runs from a request's first byte, and which hands each request to the observer."""

    __slots__ = ()

    def _setup(self) -> None:
        super()._setup()  # type: ignore[no-untyped-call]
        self.request_handler = self.app.ctx.observer.observe

    def data_received(self, data: bytes) -> None:
        # Sanic restarts its clock with every byte; a request's time runs from its first one.
        began = self._time if self.http is not None and self.http.stage is not Stage.IDLE else None
        super().data_received(data)
        if began is not None:
            self._time = began

    def check_timeouts(self) -> None:
        http = self.http
        waiting_for_body = http is not None and http.stage is Stage.HANDLER and http.request_body
        if waiting_for_body and self._task and monotonic() - self._time > self.request_timeout:
            http.exception = RequestTimeout()
            self._task.cancel()
            # After its answer Sanic would go on to wait for the rest of the body, and nobody would look again.
            self.loop.call_later(LINGER_SECONDS, self.close)
        else:
            super().check_timeouts()  # type: ignore[no-untyped-call]
