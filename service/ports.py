"""Which ports can be had, before anything is started that would need them."""

import os
import socket


def mistakes(host: str, **ports: int) -> list[str]:
    """A line for each port, named as its setting, on which nobody can listen now."""
    return [
        f"{name}: cannot listen on {host}:{port}: {why}" for name, port in ports.items() if (why := _taken(host, port))
    ]


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _taken(host: str, port: int) -> str | None:
    try:
        with socket.socket(family(host), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return None
