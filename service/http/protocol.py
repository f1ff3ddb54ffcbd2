"""The HTTP/1.1 connection, with deadlines that slow clients cannot push back."""

from time import monotonic

from sanic.exceptions import RequestTimeout
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

from service.http.responses import Response, add_common_headers

LINGER_SECONDS = 0.5
"""For the 408 to reach a client that has not sent all of its body."""


class Exchange(Http):
    """Sanic's exchange of one request and its answer, with the headers that every answer carries."""

    __slots__ = ()

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001  Sanic's signature
        response, request_id = self.response, str(self.request.id)
        if type(response) is not Response or data or self.head_only or self.expecting_continue:
            add_common_headers(response, request_id)
            await super().http1_response_header(data, end_stream)
            return
        # Whole and ours: written in one go, at a third of what Sanic takes to have every possible answer in mind.
        body = response.body or b""
        self.response_size = len(body)
        self.response_func = None  # type: ignore[assignment]  # Sanic does so as well
        await self._send(response.head(request_id, keep_alive=self.keep_alive) + body)
        self.stage = Stage.IDLE


class Protocol(HttpProtocol):
    """Sanic's protocol, whose clock runs from a request's first byte, and which hands each request to the observer."""

    HTTP_CLASS = Exchange
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
