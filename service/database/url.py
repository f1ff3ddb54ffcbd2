"""`DATABASE_URL`: a libpq connection string, checked before anything is opened."""

import os
import re
from urllib.parse import parse_qs, unquote, urlsplit

from service.environment import SettingsError, from_files

_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
_TARGETS = ("any", "read-write", "primary")
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::(?P<port>\d+))?")
_PORT = 5432
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def parse_database_url(url: str) -> str:
    """The DSN for asyncpg: several hosts, `sslmode`, `sslrootcert` and `target_session_attrs` as libpq has them.

    Raises ValueError, in words that never repeat the URL: it holds a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(f"must start with one of {', '.join(s + '://' for s in _SCHEMES)}")
    dsn = f"postgresql://{rest}"
    try:
        parts = urlsplit(dsn.replace("#", "%23"))
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("is not a valid URL; characters such as : / ? # @ in a password are percent-encoded") from None
    if not parts.netloc.rpartition("@")[2] and "host" not in query:
        raise ValueError("names no host")
    mode = query.get("sslmode", ["prefer"])[-1]
    if mode not in _SSL_MODES:
        raise ValueError(f"sslmode is not one of {', '.join(_SSL_MODES)}")
    target = query.get("target_session_attrs", ["any"])[-1]
    if target not in _TARGETS:
        raise ValueError(f"target_session_attrs is not one of {', '.join(_TARGETS)}: the service writes")
    try:
        hosts(dsn)
    except ValueError:
        raise ValueError("its hosts and ports do not go together") from None
    return dsn


def hosts(dsn: str) -> list[tuple[str, int]]:
    """Every host and port that the DSN names, in its order; a host that starts with a slash is a socket's folder.

    Raises ValueError.
    """
    parts = urlsplit(dsn.replace("#", "%23"))
    listed = parts.netloc.rpartition("@")[2]
    if listed:
        return [_host(text) for text in listed.split(",")]
    query = parse_qs(parts.query)
    names = query["host"][-1].split(",")
    ports = query.get("port", [str(_PORT)])[-1].split(",")
    if len(ports) == 1:
        ports *= len(names)
    return [(name, int(port)) for name, port in zip(names, ports, strict=True)]


def _host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError("not a host and a port")
    return unquote(found["name"]).strip("[]"), int(found["port"] or _PORT)


def database_dsn() -> str:
    """`DATABASE_URL` alone, for tools that need nothing else. Raises SettingsError."""
    given, mistakes = from_files(os.environ, ["DATABASE_URL"])
    url = given.get("DATABASE_URL") or os.environ.get("DATABASE_URL")
    if mistakes or not url:
        raise SettingsError("\n".join(mistakes) or "DATABASE_URL: is required")
    try:
        return parse_database_url(url)
    except ValueError as error:
        raise SettingsError(f"DATABASE_URL: {error}") from None
