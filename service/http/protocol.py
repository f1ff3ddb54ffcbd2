"""The HTTP/1.1 connection, with deadlines that slow clients cannot push back."""

from time import monotonic
from typing import cast

from sanic.exceptions import RequestTimeout
from sanic.http import Stage
from sanic.server import HttpProtocol

from service.http.admission import Admission, refusal
from service.http.framing import Framed
from service.http.observer import Observer
from service.http.requests import Services
from service.http.responses import Response, add_common_headers

HEADER_BYTES_MAX = 32 * 1024
"""An external issuer's access token may take half of it."""

LINGER_SECONDS = 0.5
"""For the 408 to reach a client that has not sent all of its body."""


class Exchange(Framed):
    """Sanic's exchange of one request and its answer, with the headers that every answer carries."""

    __slots__ = ()
    HEADER_MAX_SIZE = HEADER_BYTES_MAX
    """Sanic's REQUEST_MAX_HEADER_SIZE sets it for all applications of the process at once, and not above 16 KiB."""

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001  Sanic's signature
        response, request_id = self.response, str(self.request.id)
        if self.expecting_continue:  # answered without the body, which nobody was told to send
            self.expecting_continue = self.keep_alive = False
        if type(response) is not Response or data or self.head_only:
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
    """Sanic's protocol, whose clock runs from a request's first byte, and which hands each request to the observer.

    While there is no room for more, a request waits in the buffer, where Sanic has not heard of it.
    """

    HTTP_CLASS = Exchange
    __slots__ = ("_admission", "_held", "_observer", "waited")

    def _setup(self) -> None:
        super()._setup()  # type: ignore[no-untyped-call]
        services = cast(Services, self.app.ctx)
        self._admission = services[Admission]
        self._observer = services[Observer]
        self._held = False
        self.waited = 0.0
        """Seconds that the request has waited to be read."""

        self.request_handler = self._observer.observe

    def admit(self, waited: float) -> bool:
        self._held = False
        if self.transport is None or self.transport.is_closing():
            return False
        self.waited = waited
        self._data_received.set()
        return True

    def refuse(self, waited: float) -> None:
        answer = refusal(self.recv_buffer)
        if answer is None:
            self.admit(waited)  # to be refused as soon as it is parsed
        elif self.transport is not None and not self.transport.is_closing():
            self._held = False
            method, request_id, written = answer
            self.recv_buffer.clear()
            self.transport.write(written)
            self._time = monotonic()
            self._observer.refused(method, request_id, waited)

    def data_received(self, data: bytes) -> None:
        if self._held or (not self.recv_buffer and self._is_idle() and not self._admission.admits()):
            self._hold(data)
            return
        if not self.recv_buffer:
            self.waited = 0.0
        # Sanic restarts its clock with every byte; a request's time runs from its first one.
        began = self._time if self.http is not None and self.http.stage is not Stage.IDLE else None
        super().data_received(data)
        if began is not None:
            self._time = began

    def _is_idle(self) -> bool:
        return self.http is None or self.http.stage is Stage.IDLE

    def _hold(self, data: bytes) -> None:
        self._time = monotonic()
        self.recv_buffer += data
        if len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE and self.transport is not None:
            self.transport.pause_reading()
        if not self._held:
            self._held = True
            self._admission.hold(self)

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
