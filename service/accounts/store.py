"""Users and their sessions in the database."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from tortoise.exceptions import IntegrityError

from service.accounts.model import EMAIL_MAX, NAME_MAX, RefreshToken, User
from service.database.errors import translating
from service.database.pool import Pool, Statement, Transaction
from service.identifiers import uuid7
from service.problems import BadRefreshToken, EmailTaken, Unauthorized

_SET_PASSWORD = Statement("password_set", "UPDATE users SET password_hash = $2 WHERE id = $1")
_END_OTHERS = Statement(
    "session_end_others", "DELETE FROM refresh_tokens WHERE user_id = $1 AND family IS DISTINCT FROM $2"
)
_ADD_TOKEN = Statement(
    "session_add_token",
    "INSERT INTO refresh_tokens (id, user_id, family, token_hash, expires_at) VALUES ($1, $2, $3, $4, $5)",
)
_USE_TOKEN = Statement(
    "session_use_token",
    "UPDATE refresh_tokens SET used_at = now() WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()"
    " RETURNING user_id, family",
)
_END_REUSED = Statement(
    "session_end_reused",
    "DELETE FROM refresh_tokens WHERE family ="
    " (SELECT family FROM refresh_tokens WHERE token_hash = $1 AND used_at IS NOT NULL) RETURNING id",
)
_FIND_IDENTITY = Statement(
    "identity_find", "SELECT user_id FROM external_identities WHERE issuer = $1 AND subject = $2", reads=True
)
_ADD_EXTERNAL_USER = Statement(
    "identity_add_user",  # "!" is no hash of any password
    "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, '!') ON CONFLICT DO NOTHING RETURNING id",
)
_ADD_IDENTITY = Statement(
    "identity_add",
    "INSERT INTO external_identities (id, issuer, subject, user_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
)
_DROP_USER = Statement("identity_drop_user", "DELETE FROM users WHERE id = $1")
PURGE = Statement(
    "session_purge",
    "DELETE FROM refresh_tokens WHERE id IN (SELECT id FROM refresh_tokens WHERE expires_at < now() LIMIT 1000)"
    " RETURNING id",
)


@dataclass(frozen=True, slots=True)
class Session:
    """A session just begun or prolonged. `refresh_token` exists nowhere but here: the database has its hash."""

    user_id: UUID
    family: UUID
    refresh_token: str


class RefreshTokenReused(BadRefreshToken):
    """A token that was rotated away came back: somebody holds a copy, and the whole family ends."""


class AccountStore:
    def __init__(self, pool: Pool, *, refresh_ttl_seconds: int) -> None:
        self._pool = pool
        self._ttl = timedelta(seconds=refresh_ttl_seconds)

    @translating
    async def create_user(self, email: str, password_hash: str, name: str | None) -> User:
        """Raises EmailTaken."""
        try:
            return await User.create(email=email, password_hash=password_hash, name=name)
        except IntegrityError as error:
            raise EmailTaken from error

    @translating
    async def user_by_email(self, email: str) -> User | None:
        if len(email) > EMAIL_MAX or "\0" in email:
            return None  # no row can hold it, and the ORM or the database would say so less kindly
        return await User.get_or_none(email=email)

    @translating
    async def user(self, user_id: UUID) -> User | None:
        return await User.get_or_none(id=user_id)

    @translating
    async def delete_user(self, user_id: UUID) -> bool:
        """The account, its sessions and its tasks; False when it was gone already."""
        return await User.filter(id=user_id).delete() > 0

    @translating
    async def set_password_hash(self, user_id: UUID, password_hash: str) -> None:
        await User.filter(id=user_id).update(password_hash=password_hash)

    async def change_password(self, user_id: UUID, password_hash: str, keep: UUID | None) -> None:
        """Also ends every session but the family `keep`."""
        async with self._pool.transaction() as transaction:
            await transaction.fetch(_SET_PASSWORD, user_id, password_hash)
            await transaction.fetch(_END_OTHERS, user_id, keep)

    async def begin_session(self, user_id: UUID) -> Session:
        async with self._pool.transaction() as transaction:
            return await self._add_token(transaction, user_id, uuid7())

    async def rotate(self, refresh_token: str) -> Session:
        """Raises BadRefreshToken; for one that was used before, RefreshTokenReused, and its family is gone."""
        hashed = _hash(refresh_token)
        async with self._pool.transaction() as transaction:
            used = await transaction.fetchrow(_USE_TOKEN, hashed)
            if used is not None:
                return await self._add_token(transaction, used["user_id"], used["family"])
            ended = await transaction.fetch(_END_REUSED, hashed)
        raise RefreshTokenReused if ended else BadRefreshToken

    async def external_user(self, issuer: str, subject: str, email: object, name: object) -> UUID:
        """The user behind an external identity, made on first sight.

        An email that another account has is not taken over, nor does it lead into that account: whoever runs the issuer
        could claim anybody's.
        """
        found = await self._pool.fetchrow(_FIND_IDENTITY, issuer, subject)
        if found is not None:
            return UUID(int=found["user_id"].int)
        user_id = uuid7()
        nowhere = f"{user_id}@external.invalid"
        address = email.lower() if isinstance(email, str) and len(email) <= EMAIL_MAX and "\0" not in email else nowhere
        label = name if isinstance(name, str) and 0 < len(name) <= NAME_MAX and "\0" not in name else None
        async with self._pool.transaction() as transaction:
            made = await transaction.fetch(_ADD_EXTERNAL_USER, user_id, address, label)
            if not made:
                await transaction.fetch(_ADD_EXTERNAL_USER, user_id, nowhere, label)
            await transaction.fetch(_ADD_IDENTITY, uuid7(), issuer, subject, user_id)
            identity = await transaction.fetchrow(_FIND_IDENTITY, issuer, subject)
            assert identity is not None  # noqa: S101  just written, by us or by another pod
            if identity["user_id"] != user_id:
                await transaction.fetch(_DROP_USER, user_id)
        return UUID(int=identity["user_id"].int)

    @translating
    async def end_session(self, refresh_token: str) -> None:
        """The whole family of the token; nothing happens for an unknown one."""
        token = await RefreshToken.get_or_none(token_hash=_hash(refresh_token))
        if token is not None:
            await RefreshToken.filter(family=token.family).delete()

    async def _add_token(self, transaction: Transaction, user_id: UUID, family: UUID) -> Session:
        token = secrets.token_urlsafe(32)
        expires_at = datetime.now(UTC) + self._ttl
        try:
            await transaction.fetch(_ADD_TOKEN, uuid7(), user_id, family, _hash(token), expires_at)
        except asyncpg.ForeignKeyViolationError as error:
            raise Unauthorized from error  # the account was deleted in this very moment
        return Session(user_id, family, token)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
