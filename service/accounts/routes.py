"""The account routes: parse, call, render."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import orjson
from sanic import Blueprint, HTTPResponse

from service.accounts import schemas
from service.accounts.limits import Attempt, announce
from service.accounts.model import User
from service.accounts.principal import authenticate, principal_of
from service.accounts.schemas import Login, NewPassword, RefreshToken, Signup, account_email
from service.accounts.services import services_of
from service.accounts.store import PasswordChanged, RefreshTokenReused, Session
from service.http.addresses import client_address
from service.http.requests import Request
from service.http.responses import NO_STORE, READ, json_model, no_content
from service.problems import BadCredentials, Unauthorized
from service.rest.bodies import parse
from service.rest.conditional import body_tag, check, conditional_json, is_conditional

sessions = Blueprint("sessions", url_prefix="/api/auth")
account = Blueprint("account", url_prefix="/api/auth")
account.on_request(authenticate)
well_known = Blueprint("well_known", url_prefix="/.well-known")

PASSWORD_TRIES = 3
"""A login may find that another one has just renewed the same password's hash, once in the life of its parameters."""

T = TypeVar("T")


@sessions.post("/signup")
async def signup(request: Request) -> HTTPResponse:
    """Create an account and begin a session"""
    body = parse(Signup, request)
    services = services_of(request)
    await services.limits.attempt(services.signup_limit, client_address(request))
    password_hash = await services.passwords.hash(body.password)
    return _answer(request, await services.store.sign_up(body.email, password_hash, body.name), status=201)


@sessions.post("/login")
async def login(request: Request) -> HTTPResponse:
    """Begin a session"""
    body = parse(Login, request)
    services = services_of(request)
    email, address = account_email(body.email), client_address(request)
    attempts = [
        await services.limits.attempt(services.login_limit, email or body.email, address),
        await services.limits.attempt(services.login_address_limit, address),
    ]

    async def find() -> User | None:
        return None if email is None else await services.store.user_by_email(email)

    async def begin(user: User) -> Session:
        outdated = services.passwords.outdated(user.password_hash)
        new_hash = await services.passwords.hash(body.password) if outdated else None
        return await services.store.log_in(user, new_hash=new_hash)

    session = await _with_password(request, body.password, attempts, find, begin)
    return announce(_answer(request, session), attempts[0])


@sessions.post("/refresh")
async def refresh(request: Request) -> HTTPResponse:
    """Prolong a session: a new access token, and a new refresh token in place of this one"""
    services = services_of(request)
    try:
        return _answer(request, await services.store.rotate(parse(RefreshToken, request).refresh_token))
    except RefreshTokenReused:
        services.auth_failures.labels("refresh_reuse").inc()
        raise


@sessions.post("/logout")
async def logout(request: Request) -> HTTPResponse:
    """End a session"""
    await services_of(request).store.end_session(parse(RefreshToken, request).refresh_token)
    return no_content()


@account.route("/me", methods=READ)
async def me(request: Request) -> HTTPResponse:
    """Read one's own account"""
    return conditional_json(request, await _me(request), NO_STORE)


@account.put("/password")
async def change_password(request: Request) -> HTTPResponse:
    """Change the password; every other session ends"""
    body = parse(NewPassword, request)
    services = services_of(request)
    principal = principal_of(request)
    attempt = await services.limits.attempt(services.login_limit, str(principal.user_id), client_address(request))

    async def find() -> User:
        return await _user(request, principal.user_id)

    async def change(user: User) -> None:
        new_hash = await services.passwords.hash(body.new_password)
        await services.store.change_password(user, new_hash, keep=principal.session)

    await _with_password(request, body.current_password, [attempt], find, change)
    return no_content()


@account.delete("/me")
async def delete_account(request: Request) -> HTTPResponse:
    """Delete one's account and all its tasks"""
    if is_conditional(request.headers):
        check(request.headers, body_tag(await _me(request)))
    await services_of(request).store.end_account(principal_of(request).user_id)
    return no_content()


@well_known.route("/jwks.json", methods=READ)
async def jwks(request: Request) -> HTTPResponse:
    """The public keys that verify this service's access tokens"""
    return conditional_json(
        request, orjson.dumps(services_of(request).tokens.jwks()), {"Cache-Control": "public, max-age=300"}
    )


async def _with_password(
    request: Request,
    password: str,
    attempts: list[Attempt],
    find: Callable[[], Awaitable[User | None]],
    work: Callable[[User], Awaitable[T]],
) -> T:
    """Do the work for the user whose password this is.

    Raises BadCredentials, after the same time and with the same answer whether there is such a user or not. Verifying
    takes 20 ms, too long for a transaction: when the work finds that the password has changed meanwhile, the new one
    counts.
    """
    services = services_of(request)
    for _ in range(PASSWORD_TRIES):
        user = await find()
        if not await services.passwords.matches(password, user.password_hash if user else None) or user is None:
            break
        for attempt in attempts:
            await services.limits.forgive(attempt)
        with suppress(PasswordChanged):
            return await work(user)
    services.auth_failures.labels("bad_credentials").inc()
    raise BadCredentials(headers=attempts[0].headers())


async def _user(request: Request, user_id: UUID) -> User:
    user = await services_of(request).store.user(user_id)
    if user is None:
        raise Unauthorized  # the token outlived its account
    return user


async def _me(request: Request) -> bytes:
    """The caller's account, as it is sent."""
    return _user_document(await _user(request, principal_of(request).user_id)).model_dump_json().encode()


def _user_document(user: User) -> schemas.User:
    return schemas.User(id=user.id, email=user.email, name=user.name, created_at=user.created_at)


def _answer(request: Request, session: Session, status: int = 200) -> HTTPResponse:
    tokens = services_of(request).tokens
    document = schemas.Session(
        user=_user_document(session.user),
        access_token=tokens.issue(session.user.id, session.family),
        token_type="Bearer",  # noqa: S106  a word of RFC 6750, no secret
        expires_in=tokens.ttl_seconds,
        refresh_token=session.refresh_token,
    )
    return json_model(document, status=status, headers=NO_STORE)
