"""Users and their sessions in the database."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from tortoise.exceptions import IntegrityError

from service.accounts.model import RefreshToken, User
from service.database.errors import translating
from service.database.pool import Connection, Pool
from service.identifiers import uuid7
from service.problems import BadRefreshToken, EmailTaken, Unauthorized


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
        async with self._pool.transaction() as connection:
            await connection.execute("UPDATE users SET password_hash = $2 WHERE id = $1", user_id, password_hash)
            await connection.execute(
                "DELETE FROM refresh_tokens WHERE user_id = $1 AND family IS DISTINCT FROM $2", user_id, keep
            )

    async def begin_session(self, user_id: UUID) -> Session:
        async with self._pool.transaction() as connection:
            return await self._add_token(connection, user_id, uuid7())

    async def rotate(self, refresh_token: str) -> Session:
        """Raises BadRefreshToken; for one that was used before, RefreshTokenReused, and its family is gone."""
        hashed = _hash(refresh_token)
        async with self._pool.transaction() as connection:
            used = await connection.fetchrow(
                "UPDATE refresh_tokens SET used_at = now()"
                " WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now() RETURNING user_id, family",
                hashed,
            )
            if used is not None:
                return await self._add_token(connection, used["user_id"], used["family"])
            ended = await connection.execute(
                "DELETE FROM refresh_tokens WHERE family ="
                " (SELECT family FROM refresh_tokens WHERE token_hash = $1 AND used_at IS NOT NULL)",
                hashed,
            )
        raise BadRefreshToken if ended == "DELETE 0" else RefreshTokenReused

    @translating
    async def end_session(self, refresh_token: str) -> None:
        """The whole family of the token; nothing happens for an unknown one."""
        token = await RefreshToken.get_or_none(token_hash=_hash(refresh_token))
        if token is not None:
            await RefreshToken.filter(family=token.family).delete()

    async def _add_token(self, connection: Connection, user_id: UUID, family: UUID) -> Session:
        token = secrets.token_urlsafe(32)
        expires_at = datetime.now(UTC) + self._ttl
        try:
            await connection.execute(
                "INSERT INTO refresh_tokens (id, user_id, family, token_hash, expires_at) VALUES ($1, $2, $3, $4, $5)",
                *(uuid7(), user_id, family, _hash(token), expires_at),
            )
        except asyncpg.ForeignKeyViolationError as error:
            raise Unauthorized from error  # the account was deleted in this very moment
        return Session(user_id, family, token)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
