"""How often one may try: counted in PostgreSQL, so that all pods count together."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from sanic import HTTPResponse

from service.database.pool import Pool, Statement
from service.problems import TooManyRequests

WINDOW_SECONDS = 60

# A sliding window: the attempts of the last minute. One that is refused is not counted, so that the window empties
# while somebody keeps trying.
_HIT = Statement(
    "rate_limit_hit",
    f"""
    INSERT INTO rate_limits AS known (key, hits) VALUES ($1, ARRAY[now()])
    ON CONFLICT (key) DO UPDATE SET updated_at = now(), hits = (
        SELECT CASE WHEN count(*) < $2 THEN array_agg(hit ORDER BY hit) || now() ELSE array_agg(hit ORDER BY hit) END
        FROM unnest(known.hits) AS hit WHERE hit > now() - interval '{WINDOW_SECONDS} seconds'
    )
    RETURNING hits[cardinality(hits)] = now() AS allowed, now() AS hit, $2 - cardinality(hits) AS remaining,
        extract(epoch FROM hits[1] + interval '{WINDOW_SECONDS} seconds' - now())::float AS seconds
    """,  # noqa: S608  its only value is a number of ours
)
_FORGIVE = Statement(
    "rate_limit_forgive", "UPDATE rate_limits SET hits = array_remove(hits, $2) WHERE key = $1 RETURNING key"
)
PURGE = Statement(
    "rate_limit_purge",
    "DELETE FROM rate_limits WHERE key IN (SELECT key FROM rate_limits"  # noqa: S608  its only value is a number of ours
    f" WHERE updated_at < now() - interval '{2 * WINDOW_SECONDS} seconds'"
    " LIMIT 1000 FOR UPDATE SKIP LOCKED) RETURNING key",
)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `per_minute` attempts in any minute."""

    name: str
    per_minute: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that was allowed. `hit` is when the database counted it."""

    limit: Limit
    key: str
    hit: object
    remaining: int
    seconds: int

    def headers(self) -> dict[str, str]:
        return _headers(self.limit, self.remaining, self.seconds)


class Limits:
    def __init__(self, pool: Pool, *, refused: Callable[[], None]) -> None:
        """`refused` is called for each attempt that is one too many."""
        self._pool = pool
        self._refused = refused

    async def attempt(self, limit: Limit, *who: str) -> Attempt:
        """Count one attempt. Raises TooManyRequests."""
        digest = hashlib.sha256("\n".join(who).encode("utf-8", "surrogatepass")).hexdigest()
        key = f"{limit.name}:{digest}"
        row = await self._pool.fetchrow(_HIT, key, limit.per_minute)
        assert row is not None  # noqa: S101  an upsert without a condition returns its row
        seconds = max(1, math.ceil(row["seconds"]))
        if not row["allowed"]:
            self._refused()
            raise TooManyRequests(retry_after=seconds, headers=_headers(limit, 0, seconds))
        return Attempt(limit, key, row["hit"], max(0, row["remaining"]), seconds)

    async def forgive(self, attempt: Attempt) -> None:
        """A successful attempt was no guess and does not count."""
        await self._pool.fetchrow(_FORGIVE, attempt.key, attempt.hit)


def announce(response: HTTPResponse, attempt: Attempt) -> HTTPResponse:
    response.headers.update(attempt.headers())
    return response


def _headers(limit: Limit, remaining: int, seconds: int) -> dict[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers has them."""
    return {
        "RateLimit-Policy": f'"{limit.name}";q={limit.per_minute};w={WINDOW_SECONDS}',
        "RateLimit": f'"{limit.name}";r={remaining};t={seconds}',
    }
