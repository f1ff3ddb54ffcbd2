"""`DATABASE_URL`: a libpq connection string, checked before anything is opened."""

from urllib.parse import parse_qs, urlsplit

_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
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
    return dsn
