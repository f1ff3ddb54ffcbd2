"""Bytes on a socket, for requests that no client library would send."""

import json
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.server import Service

SENTINEL = (
    b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: sentinel\r\nX-Request-Id: sentinel\r\nConnection: close\r\n\r\n"
)
"""Sent behind another request, it tells whether the connection still works, and it ends it."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_sentinel(self) -> bool:
        return self.headers.get("x-request-id") == "sentinel"


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=8)


def exchange(service: Service, data: bytes) -> list[Answer]:
    """Sends the bytes and reads until the server closes the connection."""
    with connect(service) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may answer and close before it has read everything
            connection.sendall(data)
        return parse_answers(read_to_end(connection))


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def parse_answers(data: bytes) -> list[Answer]:
    """Answers to requests other than HEAD, whose Content-Length would mislead."""
    answers = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"an answer without an end: {head[:200]!r}"
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        answers.append(Answer(int(status_line.split(" ")[1]), headers, data[:length]))
        data = data[length:]
    return answers


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """A well-formed request around what is given; its Content-Length is added when there is a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body
