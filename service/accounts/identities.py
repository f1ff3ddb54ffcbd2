"""The users behind external identities: made when one is first seen."""

from contextlib import suppress
from uuid import UUID

import asyncpg

from service.accounts.external import Identity
from service.accounts.model import NO_PASSWORD
from service.database.pool import Executor, Statement
from service.database.statement import shared_read
from service.identifiers import uuid7
from service.problems import DatabaseBusy

ATTEMPTS = 3
"""An identity can come and go between two statements: deleted here, made anew on another pod."""


def _find(*, issuer: str, subject: str) -> str:
    return f"SELECT user_id FROM external_identities WHERE issuer = {issuer} AND subject = {subject}"  # noqa: S608  fixed text


_FIND = shared_read("identity_find", _find, issuer="text", subject="text")
# One statement, so that there is never a user without the identity, and of two at once only one makes any row at all.
_ADD = Statement(
    "identity_add",
    "WITH identity AS (INSERT INTO external_identities (id, issuer, subject, user_id) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT (issuer, subject) DO NOTHING RETURNING user_id)"
    " INSERT INTO users (id, email, name, password_hash) SELECT user_id, $5, $6, $7 FROM identity"
    " RETURNING id AS user_id",
)


class Identities:
    """Nothing is remembered here: an account that is deleted on one pod is gone on all of them."""

    def __init__(self, db: Executor) -> None:
        self._db = db

    async def user_of(self, identity: Identity) -> UUID:
        """The identity's user, made now if there is none. Raises DatabaseBusy."""
        for _ in range(ATTEMPTS):
            found = await self._db.fetchrow(_FIND, identity.issuer, identity.subject)
            if found is None:
                found = await self._add(identity)
            if found is not None:
                return UUID(int=found["user_id"].int)
        raise DatabaseBusy

    async def _add(self, identity: Identity) -> asyncpg.Record | None:
        """None if another pod was first.

        An email that another account has is not taken over, nor does it lead into that account: whoever runs the issuer
        could claim anybody's.
        """
        user_id = uuid7()
        nowhere = f"{user_id}@external.invalid"
        for email in (identity.email or nowhere, nowhere):
            with suppress(asyncpg.UniqueViolationError):
                return await self._db.fetchrow(
                    _ADD, uuid7(), identity.issuer, identity.subject, user_id, email, identity.name, NO_PASSWORD
                )
        return None
