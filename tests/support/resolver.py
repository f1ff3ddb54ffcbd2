"""A resolver that gets no answer, as when the network or the cluster's DNS is gone: nothing cuts it short."""

from pathlib import Path

UNRESOLVED = "unresolved.example"

_PATCH = f"""
import socket, time

def hang(host, *arguments, resolve=socket.getaddrinfo, **named):
    if host != "{UNRESOLVED}":
        return resolve(host, *arguments, **named)
    time.sleep(30)
    raise socket.gaierror(socket.EAI_AGAIN, "no answer")

socket.getaddrinfo = hang
"""


def hanging_resolver(folder: Path) -> dict[str, str]:
    """What a process needs in its environment to hang for 30 s when it asks for UNRESOLVED."""
    (folder / "sitecustomize.py").write_text(_PATCH, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}
