"""`Idempotency-Key`: a repeated write gets the first one's answer instead of a second effect.

The key is claimed, the write done and the answer stored in one transaction, so that they exist together or not at
all: whatever crashes in between, a repeat either finds the answer or does the work. A concurrent repeat waits until
the first transaction has ended: for a lock of the key, and, where the previous release runs the first, for its row.

The user's row is locked before the claim, as strongly as the work will need it. The claim's foreign key would lock it
less, and two transactions that raise such a lock at the same time wait for each other.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import asyncpg
from sanic import HTTPResponse

from service.database.pool import Executor, Pool, Statement
from service.http.requests import Request
from service.identifiers import uuid7
from service.problems import AnswerErased, IdempotencyInProgress, IdempotencyKeyReused, Invalid, Unauthorized

HOURS_KEPT = 24
WAIT_MS = 1000
"""How long a repeat waits for the first request to end before it is told 409."""

PORTION = 1000
PORTION_BYTES = 32 * 1024 * 1024
"""So many answers, and so much of them, one statement deletes or looks through. A batch of a few kilobytes can have an
answer of 6 MB; a thousand of those would take more than a statement's time."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REPLAYED_HEADERS = ("etag", "location", "content-location")

_LOCK_KEY = Statement(
    "idempotency_lock",
    f"SELECT set_config('lock_timeout', '{WAIT_MS}', true), pg_advisory_xact_lock(hashtextextended($1 || $2, 0))",
)
_LOCK_USER = Statement("idempotency_user", "SELECT FROM users WHERE id = $1 AND ended_at IS NULL FOR NO KEY UPDATE")
_CLAIM = Statement(
    "idempotency_claim",
    "INSERT INTO idempotency_keys AS stored (id, user_id, key, fingerprint) VALUES ($1, $2, $3, $4)"  # noqa: S608  its only value is a number of ours
    " ON CONFLICT (user_id, key) DO UPDATE"
    " SET id = excluded.id, fingerprint = excluded.fingerprint, created_at = excluded.created_at"
    f" WHERE stored.created_at < now() - interval '{HOURS_KEPT} hours' RETURNING id",
)
_STORE = Statement(
    "idempotency_store", "UPDATE idempotency_keys SET status = $2, headers = $3, body = $4 WHERE id = $1"
)
_FIND = Statement(
    "idempotency_find",
    "SELECT fingerprint, status, headers, body FROM users LEFT JOIN idempotency_keys ON user_id = users.id AND key = $2"
    " WHERE users.id = $1 AND ended_at IS NULL",
    reads=True,
)


def _purge(condition: str) -> Statement:
    # What another transaction has or is deleting is left to it: nobody waits.
    found = f"SELECT * FROM idempotency_keys WHERE {condition} LIMIT {PORTION} FOR UPDATE SKIP LOCKED"  # noqa: S608  fixed texts
    return Statement(
        "idempotency_purge",
        f"DELETE FROM idempotency_keys WHERE id IN (SELECT id FROM {_portion(found)}) RETURNING id",  # noqa: S608  fixed texts
    )


def _portion(found: str) -> str:
    """The first one of the answers found, and those behind it up to PORTION_BYTES."""
    size = "coalesce(octet_length(body), 0)"  # known without reading it
    before = f"sum({size}) OVER (ORDER BY key, id) - {size} AS bytes_before"
    sized = f"SELECT *, {before} FROM ({found}) AS found"  # noqa: S608  fixed texts
    return f"(SELECT * FROM ({sized}) AS sized WHERE bytes_before < {PORTION_BYTES}) AS portion"  # noqa: S608  fixed texts


PURGE = _purge(f"created_at < now() - interval '{HOURS_KEPT} hours'")
PURGE_ACCOUNT = _purge("user_id = $1")

Work = Callable[[Executor], Awaitable[HTTPResponse]]


async def idempotent(request: Request, pool: Pool, user_id: UUID, work: Work) -> HTTPResponse:
    """Run `work` once for each Idempotency-Key of a user; without the header, simply run it.

    Only success is kept: a request that failed has changed nothing, and its repeat is a first try again.
    Raises IdempotencyKeyReused, IdempotencyInProgress, AnswerErased or Invalid.
    """
    keys = request.headers.getall("idempotency-key", None)
    if keys is None:
        return await work(pool)
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise Invalid.field("Idempotency-Key", "One key of 1 to 255 visible ASCII characters", "idempotency_key")
    key, fingerprint = keys[0], _fingerprint(request)
    async with pool.transaction() as transaction:
        claimed = await _claim(transaction, user_id, key, fingerprint)
        if claimed is not None:
            response = await work(transaction)
            headers = [f"{name}: {response.headers[name]}" for name in _REPLAYED_HEADERS if name in response.headers]
            await transaction.fetch(_STORE, claimed["id"], response.status, headers, response.body or b"")
            return response
        first = await transaction.fetchrow(_FIND, user_id, key)
    if first is None:
        raise Unauthorized  # the account is gone
    if first["fingerprint"] is None:
        raise IdempotencyInProgress  # expired and purged between two statements: the repeat of this repeat will run
    if first["fingerprint"] != fingerprint:
        raise IdempotencyKeyReused
    return _replay(first)


async def _claim(transaction: Executor, user_id: UUID, key: str, fingerprint: str) -> asyncpg.Record | None:
    """None when the key is taken. Raises IdempotencyInProgress, or Unauthorized when the account is gone."""
    with _others_are_at_it():
        await transaction.fetch(_LOCK_KEY, str(user_id), key)
    if await transaction.fetchrow(_LOCK_USER, user_id) is None:
        raise Unauthorized
    with _others_are_at_it():
        return await transaction.fetchrow(_CLAIM, uuid7(), user_id, key, fingerprint)


@contextmanager
def _others_are_at_it() -> Iterator[None]:
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgress from error


def forgetting(is_gone: str) -> Statement:
    """Of the user's answers, forget those that show an object of which `is_gone`, a condition on its `id`, a text.

    $1 is the user, $2 the key that the portion begins behind; the row has its last one's key, NULL when there is none.
    Who repeats the request of such an answer gets AnswerErased. An object in an answer begins with its id.
    """
    # Within a string JSON has no quotation mark but behind a backslash: only an object begins so.
    objects = (
        """unnest(string_to_array(convert_from(body, 'UTF8'), '{"id":"')) AS object, left(object, 36) AS shown (id)"""
    )
    found = f"SELECT * FROM idempotency_keys WHERE user_id = $1 AND key > $2 ORDER BY key LIMIT {PORTION}"  # noqa: S608  its only value is a number of ours
    return Statement(
        "idempotency_forget",
        f"WITH kept AS MATERIALIZED (SELECT id, key, body FROM {_portion(found)}),"  # noqa: S608  fixed texts
        " forgotten AS (UPDATE idempotency_keys SET body = NULL WHERE id = ANY"
        f" (ARRAY (SELECT kept.id FROM kept, {objects} WHERE {is_gone}))) SELECT max(key) FROM kept",
    )


def _fingerprint(request: Request) -> str:
    """What makes two requests the same one, in hex. Ids in paths are the same in either case."""
    excluded = [f"not {field}" for field in request.headers.getall("if-none-match", ())]
    conditions = (*request.headers.getall("if-match", ()), *excluded)
    parts = (request.method, request.path.rstrip("/").lower(), ",".join(conditions))
    digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape") + b"\n")
    digest.update(request.body)
    return digest.hexdigest()


def _replay(first: asyncpg.Record) -> HTTPResponse:
    """Raises AnswerErased."""
    if first["body"] is None:
        raise AnswerErased
    headers = dict(line.split(": ", 1) for line in first["headers"])
    headers["Idempotency-Replayed"] = "true"
    return HTTPResponse(first["body"], first["status"], headers, "application/json")
