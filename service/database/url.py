"""`DATABASE_URL`: read once, as libpq reads it; what comes out is all that the driver gets."""

import os
import pwd
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import unquote_to_bytes

from service.database.parameters import FOREIGN, PARAMETERS
from service.database.tls import Tls
from service.environment import SettingsError, read

_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
_PARTS = re.compile(
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<hosts>[^/?]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?:\[(?P<address>[^\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_NAME = re.compile(r"[A-Za-z0-9_:%-]{1,63}(\.[A-Za-z0-9_:%-]{1,63})*\.?")
_ENCODED = "characters such as : / ? # @ % in a password are percent-encoded"

PORT = 5432
PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Host:
    """`name` is what its certificate has to carry; a socket's folder starts with a slash, and is both."""

    name: str
    address: str
    port: int

    @property
    def is_socket(self) -> bool:
        return self.address.startswith("/")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What the kernel does to notice a peer that is gone: seconds, tries, and milliseconds; None: its own default."""

    on: bool = True
    idle: int | None = None
    interval: int | None = None
    count: int | None = None
    user_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    hosts: tuple[Host, ...]
    user: str
    database: str
    password: str = field(default="", repr=False)
    tls: Tls = field(default_factory=Tls)
    connect_timeout: int | None = None
    """Seconds for each host."""

    target: str = "any"
    any_order: bool = False
    keepalive: KeepAlive = field(default_factory=KeepAlive)
    application_name: str | None = None
    options: str | None = field(default=None, repr=False)


def parse_database_url(text: str) -> DatabaseUrl:
    """Raises ValueError with a line for each mistake, in words that never repeat the URL: it holds a password."""
    given, unknown = _read(text)
    mistakes = [*unknown, *(PARAMETERS[name].mistake(name) for name in given if PARAMETERS[name].refuses(given[name]))]
    if mistakes:
        raise ValueError("\n".join(mistakes))
    user = given.get("user") or _account()
    return DatabaseUrl(
        hosts=_hosts(given),
        user=user,
        database=given.get("dbname") or user,
        password=given.get("password", ""),
        tls=Tls.of(given),
        connect_timeout=_number(given, "connect_timeout"),
        target=given.get("target_session_attrs", "any"),
        any_order=given.get("load_balance_hosts") == "random",
        keepalive=KeepAlive(
            on=given.get("keepalives") != "0",
            idle=_number(given, "keepalives_idle"),
            interval=_number(given, "keepalives_interval"),
            count=_number(given, "keepalives_count"),
            user_timeout=_number(given, "tcp_user_timeout"),
        ),
        application_name=given.get("application_name") or given.get("fallback_application_name"),
        options=given.get("options"),
    )


def _read(text: str) -> tuple[dict[str, str], list[str]]:
    """What libpq's own parser makes of the URL: each keyword with its last value; and what is none of its keywords.

    Raises ValueError.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(f"must start with one of {', '.join(s + '://' for s in _SCHEMES)}")
    if re.search(r"\s", rest):
        raise ValueError("contains a space, which is written %20")
    parts = _PARTS.fullmatch(rest)
    if parts is None or "@" in parts["hosts"] or "@" in (parts["dbname"] or ""):
        raise ValueError(f"is not a valid URL; {_ENCODED}")
    names, ports = _authority(parts["hosts"])
    found = {"user": parts["user"], "password": parts["password"], "host": names, "port": ports}
    given = {name: _decoded(value) for name, value in {**found, "dbname": parts["dbname"]}.items() if value}
    unknown = []
    for number, (name, value) in enumerate(_pairs(parts["query"] or ""), start=1):
        if (name, value) == ("ssl", "true"):  # as JDBC says it
            given["sslmode"] = "require"
        elif name in PARAMETERS:
            given[name] = value
        else:
            unknown.append(_unknown(name, number))
    return given, unknown


def _authority(text: str) -> tuple[str, str]:
    """The hosts and the ports in a row each, as the keywords `host` and `port` have them."""
    found = [_HOST.fullmatch(part) for part in text.split(",")]
    matches = [match for match in found if match is not None]
    if len(matches) < len(found) or any(":" in (match["port"] or "") for match in matches):
        raise ValueError(f"its hosts and ports do not go together; an IPv6 address stands in brackets, and {_ENCODED}")
    ports = [match["port"] or "" for match in matches]
    return ",".join(match["address"] or match["name"] for match in matches), ",".join(ports)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        yield _decoded(name), _decoded(value)


def _unknown(name: str, number: int) -> str:
    """Only a known name is repeated: any other may be a piece of a password with a `?` in it."""
    if name in FOREIGN:
        return f"{name} is no parameter of libpq: {FOREIGN[name]}"
    near = get_close_matches(name, PARAMETERS, n=1, cutoff=0.75)
    return f"parameter {number} of the URL is none that libpq has" + (f"; is it {near[0]}?" if near else "")


def _decoded(text: str) -> str:
    if _PERCENT.search(text):
        raise ValueError(f"a % is not followed by two hexadecimal digits; {_ENCODED}")
    try:
        value = unquote_to_bytes(text).decode()
    except UnicodeError:
        raise ValueError("is not UTF-8") from None
    if "\0" in value:
        raise ValueError("contains a NUL character")
    return value


def _account() -> str:
    """As libpq has it: the name of whoever runs this. Raises ValueError."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ValueError("names no user") from None


def _hosts(given: Mapping[str, str]) -> tuple[Host, ...]:
    addresses = _listed(given.get("hostaddr"))
    names = _listed(given.get("host")) or addresses
    if not names or not all(names):
        raise ValueError("names no host; that of a socket is its folder: ?host=/run/postgresql")
    ports = _listed(given.get("port")) or [""]
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names) or len(addresses or names) != len(names):
        raise ValueError("its hosts and ports do not go together")
    if not all(name.startswith("/") or _HOST_NAME.fullmatch(name) for name in (*names, *filter(None, addresses))):
        raise ValueError(f"a host has characters that no host has; {_ENCODED}")
    return tuple(
        Host(name, address or name, _port(port))
        for name, address, port in zip(names, addresses or names, ports, strict=True)
    )


def _listed(text: str | None) -> list[str]:
    return text.split(",") if text else []


def _port(text: str) -> int:
    if not text:
        return PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= PORT_MAX:
        raise ValueError(f"a port is no number from 1 to {PORT_MAX}; {_ENCODED}")
    return int(text)


def _number(given: Mapping[str, str], name: str) -> int | None:
    """None where it is not given, or zero, which leaves it to somebody else."""
    return int(given.get(name) or 0) or None


def database_url() -> DatabaseUrl:
    """`DATABASE_URL` alone, for tools that need nothing else. Raises SettingsError."""
    given, mistakes = read(os.environ, ["DATABASE_URL"])
    text = given.get("DATABASE_URL")
    if mistakes or not text:
        raise SettingsError("\n".join(mistakes) or "DATABASE_URL: is required")
    try:
        return parse_database_url(text)
    except ValueError as error:
        raise SettingsError("\n".join(f"DATABASE_URL: {line}" for line in str(error).splitlines())) from None
