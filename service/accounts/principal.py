"""Who is calling: decided by the token alone; the path only has to agree."""

from time import perf_counter
from typing import cast

from service.accounts.external import Identity
from service.accounts.services import services_of
from service.accounts.tokens import BadToken, Principal
from service.http.requests import Request
from service.problems import Forbidden, Unauthorized
from service.telemetry.timing import spent


async def authenticate(request: Request) -> None:
    """Request middleware of every blueprint that needs a token.

    Raises Unauthorized or TooManyRequests; with an external token also IssuerUnavailable and the database's problems.
    """
    given = request.headers.getall("authorization", ())
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise _refused(request, "no_token")
    started_at = perf_counter()
    try:
        caller = await services_of(request).authenticator.verify(token.strip())
    except BadToken as error:
        raise _refused(request, error.reason) from error
    finally:
        spent("auth", "auth.token", perf_counter() - started_at)
    if isinstance(caller, Principal):
        request.ctx.principal = caller
        await request.ctx.slot.acquire(caller.path_id)
    else:
        # The slot comes before the statement that finds the user: its turn at the pool counts as the user's, too.
        await request.ctx.slot.acquire(f"{caller.issuer} {caller.subject}")
        request.ctx.principal = await _principal(request, caller)


async def owner_of_path(request: Request) -> None:
    """As `authenticate`, on paths that name a user. Raises Forbidden when they name another."""
    await authenticate(request)
    if request.match_info["user_id"].lower() != request.ctx.principal.path_id:
        services_of(request).auth_failures.labels("foreign_path").inc()
        raise Forbidden


def principal_of(request: Request) -> Principal:
    return cast(Principal, request.ctx.principal)


async def _principal(request: Request, identity: Identity) -> Principal:
    user_id = await services_of(request).identities.user_of(identity)
    return Principal(user_id, str(user_id), None, identity.expires_at)


def _refused(request: Request, reason: str) -> Unauthorized:
    services_of(request).auth_failures.labels(reason).inc()
    return Unauthorized(sent=reason != "no_token")
