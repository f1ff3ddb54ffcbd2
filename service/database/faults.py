"""Why the database cannot be used: one sentence for whoever starts the service, and whether waiting can help."""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import asyncpg

from service.database.errors import SESSION_CHANGED, cause_of, sqlstate
from service.database.tls import TlsFileError
from service.database.url import DatabaseUrl

_PASSING_CLASSES = ("08", "53", "55", "57", "58", "XX")
_NO_TLS = "the server takes no TLS, which sslmode asks for"
_NO_WAY_IN = ("08P01", "57P04")  # a pooler refuses what we ask for; the database was dropped

_SENTENCES = {
    "28": "the server refuses the login",
    "3D000": "the server has no such database",
    "42501": "the role lacks a privilege",
    "3F000": "the search_path of the role leads to no schema",
    **dict.fromkeys(("42710", "42723", "42P07"), "there is something of that name already, which is not ours"),
    **dict.fromkeys(
        SESSION_CHANGED,
        "a pooler in between changes the session; set DB_POOLER=transaction, and give migrations a direct URL",
    ),
    "42703": "a table of that name is not ours",
    "25006": "the database is read-only: a standby, or default_transaction_read_only is on",
    "08P01": "what is in between refuses the session's settings;"
    " behind PgBouncer set DB_POOLER, and give migrations a direct URL",
    "08": "the connection breaks off",
    "53300": "the server has no connection left",
    "57P03": "the server is not ready yet",
    "22023": "the server refuses a setting in `options`",
    "42704": "the server does not know a setting in `options`",
}


_WITHOUT_SERVER: tuple[tuple[type[BaseException], str | Callable[[Any], str]], ...] = (
    (ssl.SSLCertVerificationError, lambda error: f"the server's certificate is not accepted: {error.verify_message}"),
    (ssl.SSLError, lambda error: f"TLS fails ({error.reason or type(error).__name__})"),
    (TlsFileError, str),
    (socket.gaierror, "the host's name is not known"),
    (asyncpg.TargetServerAttributeNotMatched, "no server that can be written to"),
    (asyncpg.UnsupportedClientFeatureError, "the server asks for a way to log in that the driver lacks"),
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "the connection is refused"),
    (FileNotFoundError, "there is no socket"),
    (PermissionError, "the socket may not be used"),
    (ConnectionError, lambda error: _NO_TLS if _refused_tls(error) else "the connection breaks off"),
    (OSError, lambda error: f"no connection ({error.strerror or type(error).__name__})"),
)
"""The first kind that fits."""


class DatabaseFault(Exception):
    """The database cannot be used as it is; the text is a sentence that says why, and holds no secret."""


def passing(error: BaseException) -> bool:
    """Whether the fault may go away by itself: a server that starts, a network, a name that is not known yet."""
    state = sqlstate(cause_of(error))
    if state:
        return state.startswith(_PASSING_CLASSES) and state not in _NO_WAY_IN
    if isinstance(error, (ssl.SSLError, TlsFileError, asyncpg.InterfaceError)):
        return False
    return not _refused_tls(error)


def _refused_tls(error: BaseException) -> bool:
    """The driver has no class of its own for it."""
    return isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error)


def sentence(error: BaseException, database: DatabaseUrl | None = None) -> str:
    """What is wrong, in one line: what the fault is, and the server's own words where it has some."""
    error = cause_of(error)
    state = sqlstate(error)
    if isinstance(error, asyncpg.PostgresError):
        meaning = next((text for prefix, text in _SENTENCES.items() if state.startswith(prefix)), "the server refuses")
        said = " ".join(str(error.args[0] if error.args else "").split())
        return f"{meaning}: {said} ({state})"
    return f"{_without_server(error)}{_where(database)}"


def _where(database: DatabaseUrl | None) -> str:
    if database is None:
        return ""
    return f" at {', '.join(f'{h.name}' if h.is_socket else f'{h.name}:{h.port}' for h in database.hosts)}"


def _without_server(error: BaseException) -> str:
    for kind, text in _WITHOUT_SERVER:
        if isinstance(error, kind):
            return text(error) if callable(text) else text
    return f"the driver gives up ({type(error).__name__})"
