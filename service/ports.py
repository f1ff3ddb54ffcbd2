"""Which ports can be had, before anything is started that would need them."""

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """A port on which nobody can listen now, and why."""

    setting: str
    host: str
    port: int
    why: str

    def __str__(self) -> str:
        return f"{self.setting}: cannot listen on {self.host}:{self.port}: {self.why}"


def refusals(host: str, **ports: int) -> list[Refusal]:
    """Of these ports, each given by the name of its setting."""
    tried = [(name, port, _try(host, port)) for name, port in ports.items()]
    return [Refusal(name, host, port, why) for name, port, why in tried if why]


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _try(host: str, port: int) -> str | None:
    try:
        with socket.socket(family(host), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.strerror or str(error)
    return None
