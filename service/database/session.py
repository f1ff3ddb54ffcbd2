"""What every session of ours is set to, whatever the server, the database or the role have as their defaults."""

Settings = tuple[tuple[str, str], ...]

PLANNER: Settings = (("random_page_cost", "1.1"), ("enable_bitmapscan", "off"))
"""PostgreSQL takes a user's part of a table for far smaller than it is: it would collect all of it and sort, or read
the whole table for a search. The index that has the order costs one page, however many tasks there are."""

ISOLATION: Settings = (
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
)
"""What the statements are written for. A stricter level would answer 503 where two requests meet in one row.

`default_transaction_read_only` is left as it is: whoever sets it wants no writes, and has to get none.
"""

FORMATS: Settings = (
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("standard_conforming_strings", "on"),
)
"""How values are written and read as text. PgBouncer passes these on in any mode."""

MORE_FORMATS: Settings = (
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
)

NO_LIMITS: Settings = (
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
)
"""For migrations: the role may carry the limits of the service's own statements."""

WAITS: Settings = (
    ("lock_timeout", "0"),
    ("idle_session_timeout", "0"),
)
"""A statement's time is bounded as a whole, and the pool itself closes what is idle."""

NEWER_WAITS: Settings = (("transaction_timeout", "0"),)
"""As WAITS. Older servers refuse a session that begins with a name which they do not know."""

NEWER_MAJOR = 17
"""The first PostgreSQL that knows these."""

NEUTRAL: Settings = (*ISOLATION, *FORMATS, *MORE_FORMATS, *WAITS)


def limits(seconds: float) -> Settings:
    text = f"{seconds * 1000:.0f}ms"
    return (("statement_timeout", text), ("idle_in_transaction_session_timeout", text))


def role_settings(seconds: float) -> Settings:
    """What the role has to carry behind a pooler that takes no settings at the start of a session."""
    text = f"{seconds:g}s"
    timeouts = (("statement_timeout", text), ("idle_in_transaction_session_timeout", text))
    return (*timeouts, *ISOLATION[:1], *PLANNER)


def set_sql(settings: Settings) -> str:
    return "; ".join(f"SET {name} = '{value}'" for name, value in settings)


def role_sql(role: str, settings: Settings) -> list[str]:
    return [f"ALTER ROLE {role} SET {name} = '{value}'" for name, value in settings]
