"""The account routes: parse, call, render."""

from uuid import UUID

from sanic import Blueprint, HTTPResponse

from service.accounts.limits import Attempt, announce, client_address
from service.accounts.model import User
from service.accounts.principal import authenticate, principal_of
from service.accounts.schemas import Login, NewPassword, Refresh, SessionOut, Signup, UserOut, account_email
from service.accounts.services import services_of
from service.accounts.store import RefreshTokenReused, Session
from service.http.requests import Request
from service.http.responses import NO_STORE, READ, json_model, json_value, no_content
from service.problems import BadCredentials, Unauthorized
from service.rest.bodies import parse

sessions = Blueprint("sessions", url_prefix="/api/auth")
account = Blueprint("account", url_prefix="/api/auth")
account.on_request(authenticate)
well_known = Blueprint("well_known", url_prefix="/.well-known")


@sessions.post("/signup")
async def signup(request: Request) -> HTTPResponse:
    """Create an account and begin a session"""
    body = parse(Signup, request)
    services = services_of(request)
    await services.limits.attempt(services.signup_limit, client_address(request))
    user = await services.store.create_user(body.email, await services.passwords.hash(body.password), body.name)
    return _session(request, user, await services.store.begin_session(user.id), status=201)


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
    user: User | None = None if email is None else await services.store.user_by_email(email)
    await _check_password(request, user, body.password, attempts)
    assert user is not None  # noqa: S101  nobody's password was just found wrong
    if services.passwords.outdated(user.password_hash):
        await services.store.set_password_hash(user.id, await services.passwords.hash(body.password))
    return announce(_session(request, user, await services.store.begin_session(user.id)), attempts[0])


@sessions.post("/refresh")
async def refresh(request: Request) -> HTTPResponse:
    """Prolong a session: a new access token, and a new refresh token in place of this one"""
    services = services_of(request)
    try:
        session = await services.store.rotate(parse(Refresh, request).refresh_token)
    except RefreshTokenReused:
        services.auth_failures.labels("refresh_reuse").inc()
        raise
    return _session(request, await _user(request, session.user_id), session)


@sessions.post("/logout")
async def logout(request: Request) -> HTTPResponse:
    """End a session"""
    await services_of(request).store.end_session(parse(Refresh, request).refresh_token)
    return no_content()


@account.route("/me", methods=READ)
async def me(request: Request) -> HTTPResponse:
    """Read one's own account"""
    return json_model(_user_out(await _user(request, principal_of(request).user_id)), headers=NO_STORE)


@account.put("/password")
async def change_password(request: Request) -> HTTPResponse:
    """Change the password; every other session ends"""
    body = parse(NewPassword, request)
    services = services_of(request)
    principal = principal_of(request)
    user = await _user(request, principal.user_id)
    attempt = await services.limits.attempt(services.login_limit, str(user.id), client_address(request))
    await _check_password(request, user, body.current_password, [attempt])
    await services.store.change_password(user.id, await services.passwords.hash(body.new_password), principal.session)
    return no_content()


@account.delete("/me")
async def delete_account(request: Request) -> HTTPResponse:
    """Delete one's account and all its tasks"""
    if not await services_of(request).store.delete_user(principal_of(request).user_id):
        raise Unauthorized
    return no_content()


@well_known.route("/jwks.json", methods=READ)
async def jwks(request: Request) -> HTTPResponse:
    """The public keys that verify this service's access tokens"""
    return json_value(services_of(request).tokens.jwks(), headers={"Cache-Control": "public, max-age=300"})


async def _check_password(request: Request, user: User | None, password: str, attempts: list[Attempt]) -> None:
    """Raises BadCredentials, after the same time and with the same answer whether there is such a user or not."""
    services = services_of(request)
    if not await services.passwords.matches(password, user.password_hash if user else None):
        services.auth_failures.labels("bad_credentials").inc()
        raise BadCredentials(headers=attempts[0].headers())
    for attempt in attempts:
        await services.limits.forgive(attempt)


async def _user(request: Request, user_id: UUID) -> User:
    user = await services_of(request).store.user(user_id)
    if user is None:
        raise Unauthorized  # the token outlived its account
    return user


def _user_out(user: User) -> UserOut:
    return UserOut(id=user.id, email=user.email, name=user.name, created_at=user.created_at)


def _session(request: Request, user: User, session: Session, status: int = 200) -> HTTPResponse:
    tokens = services_of(request).tokens
    document = SessionOut(
        user=_user_out(user),
        access_token=tokens.issue(user.id, session.family),
        expires_in=tokens.ttl_seconds,
        refresh_token=session.refresh_token,
    )
    return json_model(document, status=status, headers=NO_STORE)
