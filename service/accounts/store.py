"""Users and their sessions in the database."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tortoise import BaseDBAsyncClient
from tortoise.exceptions import IntegrityError
from tortoise.expressions import RawSQL, Subquery
from tortoise.queryset import QuerySet

from service.accounts.model import EMAIL_MAX, NO_PASSWORD, ExternalIdentity, RefreshToken, User
from service.database.errors import translating
from service.database.orm import orm_on
from service.database.pool import Executor, Statement
from service.identifiers import uuid7
from service.problems import BadRefreshToken, EmailTaken, Unauthorized

# In any order, so that pods spread out, and an account whose removal fails is not in the others' way each time.
ENDED = Statement(
    "account_ended", "SELECT id FROM users WHERE ended_at IS NOT NULL ORDER BY random() LIMIT 100", reads=True
)
REMOVE = Statement("account_remove", "DELETE FROM users WHERE id = $1 AND ended_at IS NOT NULL")
PURGE = Statement(
    "session_purge",
    "DELETE FROM refresh_tokens WHERE id IN (SELECT id FROM refresh_tokens WHERE expires_at < now() LIMIT 1000"
    " FOR UPDATE SKIP LOCKED) RETURNING id",
)


NOW = RawSQL("now()")
CLOCK = "clock_timestamp()"
"""Of the database, read by each statement anew: `now()` is when the transaction began, before it waited for a lock."""

SESSIONS_MAX = 1000
"""Refresh tokens of one user that can be used at a login; of more, the oldest ones end.

A client that logs in for each request would otherwise make so many within a day that a new password could not end them
all within a statement's time.
"""

TRIMMED_MAX = 1000
"""How many end at once, also where an earlier release has left far more."""

UNUSED_MAX = 100
"""The same of one session, at a repeat within the leeway.

Two tabs that always refresh together leave an unused one behind each time: with access tokens of fifteen minutes, a tab
can sleep for a day before the others' leftovers have pushed out the token that it still has.
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A session just begun or prolonged. `refresh_token` exists nowhere but here: the database has its hash."""

    user: User
    family: UUID
    refresh_token: str


class RefreshTokenReused(BadRefreshToken):
    """A token that was rotated away came back: somebody holds a copy, and the whole family ends."""


class PasswordChanged(Exception):
    """The password that was verified is not the account's any more, or the account is gone."""


class AccountStore:
    """Each method that changes something is one transaction, which locks the user's row before it reads what it needs.

    So whatever ends sessions and whatever makes them come one after the other, and none deadlocks with another.
    """

    def __init__(self, db: Executor, *, refresh_ttl_seconds: int, refresh_leeway_seconds: int) -> None:
        self._db = db
        self._ttl = timedelta(seconds=refresh_ttl_seconds)
        self._leeway_began = RawSQL(f"{CLOCK} - interval '{refresh_leeway_seconds} seconds'")

    @translating
    async def user_by_email(self, email: str) -> User | None:
        if len(email) > EMAIL_MAX or "\0" in email:
            return None  # no row can hold it, and the ORM or the database would say so less kindly
        return await User.get_or_none(using_db=orm_on(self._db), email=email, ended_at=None)

    @translating
    async def user(self, user_id: UUID) -> User | None:
        return await User.get_or_none(using_db=orm_on(self._db), id=user_id, ended_at=None)

    async def sign_up(self, email: str, password_hash: str, name: str | None) -> Session:
        """Raises EmailTaken."""
        async with self._db.transaction() as transaction:
            orm = orm_on(transaction)
            try:
                user = await User.create(using_db=orm, email=email, password_hash=password_hash, name=name)
            except IntegrityError as error:
                raise EmailTaken from error
            return await self._add_token(orm, user, uuid7())

    async def log_in(self, verified: User, *, new_hash: str | None = None) -> Session:
        """Begin a session; `new_hash` is of the same password, with the parameters of today. Raises PasswordChanged."""
        async with self._db.transaction() as transaction:
            orm = orm_on(transaction)
            user = await _lock_verified(orm, verified)
            if new_hash is not None:
                await User.filter(id=user.id).using_db(orm).update(password_hash=new_hash)
            await _trim(_usable(orm, user_id=user.id), SESSIONS_MAX - 1)
            return await self._add_token(orm, user, uuid7())

    async def change_password(self, verified: User, new_hash: str, keep: UUID | None) -> None:
        """Also ends every session but the family `keep`. Raises PasswordChanged."""
        async with self._db.transaction() as transaction:
            orm = orm_on(transaction)
            user = await _lock_verified(orm, verified)
            await User.filter(id=user.id).using_db(orm).update(password_hash=new_hash)
            others = _usable(orm, user_id=user.id)
            await (others if keep is None else others.exclude(family=keep)).delete()

    async def rotate(self, refresh_token: str) -> Session:
        """Raises BadRefreshToken; RefreshTokenReused for one whose leeway is over, and its whole family has ended."""
        async with self._db.transaction() as transaction:
            orm = orm_on(transaction)
            user, token = await _lock_owner(orm, refresh_token, expires_at__gt=NOW)
            if user is None or token is None:
                raise BadRefreshToken
            if await self._use(orm, token):
                return await self._add_token(orm, user, token.family)
            ended = await _usable(orm, family=token.family).delete()
        raise RefreshTokenReused if ended else BadRefreshToken

    async def end_session(self, refresh_token: str) -> None:
        """The whole family of the token; nothing happens for an unknown one."""
        async with self._db.transaction() as transaction:
            orm = orm_on(transaction)
            _, token = await _lock_owner(orm, refresh_token)
            if token is not None:
                await _usable(orm, family=token.family).delete()

    async def end_account(self, user_id: UUID) -> None:
        """From here on it is nobody's; its rows are removed later, since there may be more than a statement can.

        Raises Unauthorized when it had ended already.
        """
        async with self._db.transaction() as transaction:
            orm = orm_on(transaction)
            user = await _lock(orm, user_id, no_key=False)
            if user is None:
                raise Unauthorized
            # Its email is free for somebody else. What stands in its place is no address, so that nobody can sign up
            # with it, and random, so that nobody who claims it at an identity provider can be in the way.
            await (
                User.filter(id=user.id)
                .using_db(orm)
                .update(email=f"ended:{secrets.token_hex(16)}", name=None, password_hash=NO_PASSWORD, ended_at=NOW)
            )
            await ExternalIdentity.filter(user_id=user.id).using_db(orm).delete()
            await _usable(orm, user_id=user.id).delete()

    async def _use(self, orm: BaseDBAsyncClient, token: RefreshToken) -> bool:
        """Whether the token may have a successor, be it the first or, within the leeway, one more."""
        itself = RefreshToken.filter(id=token.id).using_db(orm)
        if token.used_at is None:
            return await itself.update(used_at=RawSQL(CLOCK)) > 0
        # The leeway runs from the first use: whoever repeats the token does not extend it.
        if not await itself.filter(used_at__gt=self._leeway_began).exists():
            return False
        # A family lives as long as one of its tokens can be used: what ends it need not find those that were used.
        usable = _usable(orm, family=token.family)
        await _trim(usable, UNUSED_MAX - 1)
        return await usable.exists()

    async def _add_token(self, orm: BaseDBAsyncClient, user: User, family: UUID) -> Session:
        token = secrets.token_urlsafe(32)
        expires_at = datetime.now(UTC) + self._ttl
        await RefreshToken.create(
            using_db=orm, user_id=user.id, family=family, token_hash=_hash(token), expires_at=expires_at
        )
        return Session(user, family, token)


def _usable(orm: BaseDBAsyncClient, **whose: UUID) -> QuerySet[RefreshToken]:
    return RefreshToken.filter(**whose, used_at=None, expires_at__gt=NOW).using_db(orm)


async def _trim(usable: QuerySet[RefreshToken], count: int) -> None:
    """End the oldest beyond `count`."""
    beyond = usable.order_by("-created_at").offset(count).limit(TRIMMED_MAX)
    await usable.filter(id__in=Subquery(beyond.values("id"))).delete()


async def _lock(orm: BaseDBAsyncClient, user_id: UUID, *, no_key: bool = True) -> User | None:
    """The user's row, which then stays as it is until the transaction ends; None when the account has ended.

    With `no_key`, what refers to it can go on being added; a change of the email, which is a key, excludes that.
    """
    user = User.filter(id=user_id, ended_at=None).using_db(orm)
    return await user.select_for_update(no_key=no_key).get_or_none()


async def _lock_verified(orm: BaseDBAsyncClient, verified: User) -> User:
    """Raises PasswordChanged."""
    user = await _lock(orm, verified.id)
    if user is None or user.password_hash != verified.password_hash:
        raise PasswordChanged
    return user


async def _lock_owner(
    orm: BaseDBAsyncClient, refresh_token: str, **only: RawSQL
) -> tuple[User | None, RefreshToken | None]:
    """The token and its user, read under the user's lock: before it, one can only find out whose row to lock."""
    hashed = _hash(refresh_token)
    found = await RefreshToken.get_or_none(using_db=orm, token_hash=hashed)
    user = None if found is None else await _lock(orm, found.user_id)
    if user is None:
        return None, None
    return user, await RefreshToken.get_or_none(using_db=orm, token_hash=hashed, **only)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
