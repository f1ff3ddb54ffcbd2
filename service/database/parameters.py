"""Every parameter that libpq knows in a connection URL: what this service takes of it, and what to say otherwise.

libpq 18 (`PQconndefaults`) is the list; a test compares it with the library itself.
"""

import re
from dataclasses import dataclass

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SSL_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


NUMBER_MAX = 2**31 - 1
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """With `values` only these are taken; when there are none, it cannot be given. `instead` says what to do then."""

    values: tuple[str, ...] | None = None
    instead: str = ""
    number: bool = False

    def refuses(self, value: str) -> bool:
        if self.number:
            return bool(value) and (not _NUMBER.fullmatch(value) or int(value) > NUMBER_MAX)
        return self.values is not None and value not in self.values

    def mistake(self, name: str) -> str:
        """Never repeats the value."""
        if self.number:
            return f"{name} is no whole number"
        if not self.values:
            return f"{name} is not supported: {self.instead}"
        allowed = f"{name} is not one of {', '.join(value or 'nothing' for value in self.values)}"
        return f"{allowed}: {self.instead}" if self.instead else allowed


_FREE = Parameter()
_COUNT = Parameter(number=True)
_FLAG = Parameter(("0", "1"))
_SWITCHED_OFF = ("0", "false", "off", "no", "")


def _only(*values: str, instead: str) -> Parameter:
    return Parameter(values, instead)


PARAMETERS = {
    # Where, and who
    "host": _FREE,
    "hostaddr": _FREE,
    "port": _FREE,
    "dbname": _FREE,
    "user": _FREE,
    "password": _FREE,
    "target_session_attrs": _only("any", "read-write", "primary", instead="the service writes"),
    "load_balance_hosts": _only("disable", "random", instead=""),
    # How long, and how alive
    "connect_timeout": _COUNT,
    "keepalives": _FLAG,
    "keepalives_idle": _COUNT,
    "keepalives_interval": _COUNT,
    "keepalives_count": _COUNT,
    "tcp_user_timeout": _COUNT,
    # What the server hears
    "application_name": _FREE,
    "fallback_application_name": _FREE,
    "options": _FREE,
    "client_encoding": _only("utf8", "UTF8", "utf-8", "UTF-8", "unicode", "UNICODE", instead="the driver speaks UTF-8"),
    "replication": _only(*_SWITCHED_OFF, instead="the service is no replica"),
    "min_protocol_version": _only("3.0", instead="the driver speaks 3.0"),
    "max_protocol_version": _only("3.0", "3.2", "latest", instead=""),
    # TLS
    "sslmode": _only(*SSL_MODES, instead=""),
    "sslnegotiation": _only("postgres", "direct", instead=""),
    "sslrootcert": _FREE,
    "sslcert": _FREE,
    "sslkey": _FREE,
    "sslpassword": _FREE,
    "sslcertmode": _only("disable", "allow", instead="the driver cannot tell whether the server asked for one"),
    "sslcrl": _FREE,
    "sslcrldir": _FREE,
    "ssl_min_protocol_version": _only(*SSL_VERSIONS, instead=""),
    "ssl_max_protocol_version": _only(*SSL_VERSIONS, "", instead=""),
    "sslcompression": _only("0", instead="TLS has no compression any more"),
    "sslsni": _only("1", instead="the host's name is always sent"),
    "sslkeylogfile": _only(instead="it would write down the keys of all connections"),
    # Who proves what
    "channel_binding": _only(
        "disable",
        "prefer",
        instead="the driver has no channel binding; sslmode=verify-full&sslrootcert=system keeps out"
        " whoever stands in between",
    ),
    "require_auth": _only(
        "", instead="the driver cannot refuse a method; sslmode=verify-full makes sure who is asking for the password"
    ),
    "requirepeer": _only("", instead="the owner of a socket is not checked; protect its folder"),
    "passfile": _only(instead="put the password into the URL, and the URL into a file: DATABASE_URL_FILE"),
    "service": _only(instead="put what the service file says into the URL"),
    "servicefile": _only(instead="put what the service file says into the URL"),
    "gssencmode": _only("disable", "prefer", instead="GSSAPI is not built in; use TLS"),
    "krbsrvname": _only("postgres", instead="GSSAPI is not built in; use a password or a client certificate"),
    "gsslib": _only("gssapi", instead="GSSAPI is not built in; use a password or a client certificate"),
    "gssdelegation": _only("0", instead="GSSAPI is not built in; use a password or a client certificate"),
    "scram_client_key": _only(instead="give the password"),
    "scram_server_key": _only(instead="give the password"),
    "oauth_issuer": _only(instead="OAuth is not built in; use a password or a client certificate"),
    "oauth_client_id": _only(instead="OAuth is not built in; use a password or a client certificate"),
    "oauth_client_secret": _only(instead="OAuth is not built in; use a password or a client certificate"),
    "oauth_scope": _only(instead="OAuth is not built in; use a password or a client certificate"),
}

_POOL = "that is DB_POOL_MAX here"
_STATEMENTS = "set DB_POOLER=transaction if a pooler is in between"
_SETTING = "settings of the server go into options=-c%20name%3Dvalue"

FOREIGN = {
    # SQLAlchemy and asyncpg
    "ssl": "say sslmode=require or sslmode=verify-full",
    "database": "libpq calls it dbname",
    "prepared_statement_cache_size": _STATEMENTS,
    "prepared_statement_name_func": _STATEMENTS,
    "statement_cache_size": _STATEMENTS,
    "command_timeout": "that is DB_STATEMENT_TIMEOUT_SECONDS here",
    "timeout": "say connect_timeout",
    "server_settings": _SETTING,
    "direct_tls": "say sslnegotiation=direct",
    # Prisma and the providers that write its URLs
    "pgbouncer": "set DB_POOLER=transaction instead",
    "supa": "that is for Supabase's own clients; set DB_POOLER=transaction for its port 6543",
    "workaround": "set DB_POOLER=transaction instead",
    "schema": "say options=-c%20search_path%3Dname",
    "connection_limit": _POOL,
    "pool_timeout": "that is DB_POOL_ACQUIRE_TIMEOUT_SECONDS here",
    "socket_timeout": "that is DB_STATEMENT_TIMEOUT_SECONDS here",
    "sslaccept": "say sslmode=require for any certificate, sslmode=verify-full for a good one",
    "sslidentity": "say sslcert and sslkey, in PEM",
    # Others
    "pool_size": _POOL,
    "max_overflow": _POOL,
    "pool": _POOL,
    "pool_mode": "that is DB_POOLER here",
    "sslfactory": "say sslmode",
    "currentSchema": "say options=-c%20search_path%3Dname",
    "ApplicationName": "say application_name",
    "uselibpqcompat": "leave it out: sslmode is libpq's here",
    "default_query_exec_mode": _STATEMENTS,
    "pool_max_conns": _POOL,
    "statement_timeout": "that is DB_STATEMENT_TIMEOUT_SECONDS here",
    "search_path": "say options=-c%20search_path%3Dname",
    "timezone": "the service sets it to UTC",
    "TimeZone": "the service sets it to UTC",
}
"""What other drivers know and libpq does not."""
