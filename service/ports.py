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


def bound(host: str, port: int) -> socket.socket:
    """Both ports get theirs here, since asyncio makes `::` an address of IPv6 alone, where the kubelet may use IPv4.

    Raises OSError when the port cannot be had.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except TypeError as error:  # from the encoding of names beyond ASCII
        listener.close()
        raise OSError("no such name is possible") from error
    except OSError:
        listener.close()
        raise
    return listener


def _try(host: str, port: int) -> str | None:
    try:
        bound(host, port).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
