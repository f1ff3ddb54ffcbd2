"""From a bearer token to a principal: tokens of our own, and of an external OpenID Connect issuer if there is one."""

import asyncio
import json
import urllib.request
from time import monotonic
from typing import Any, cast
from uuid import UUID

import jwt
import structlog

from service.accounts.store import AccountStore
from service.accounts.tokens import TOKEN_FAULTS, AccessTokens, BadToken, Principal, check_shape, decode_claims
from service.problems import IssuerUnavailable

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
FETCH_TIMEOUT_SECONDS = 3.0
FETCH_PAUSE_SECONDS = 10.0
"""Between two looks for new keys: tokens with made-up key ids must not turn into requests to the issuer."""

KEYS_FRESH_SECONDS = 3600.0
REMEMBERED_USERS = 10_000

log = structlog.get_logger()


class Authenticator:
    def __init__(self, own: AccessTokens, external: "ExternalIssuer | None" = None) -> None:
        self._own = own
        self._external = external

    async def verify(self, token: str) -> Principal:
        """Raises BadToken, or IssuerUnavailable when an external token cannot be checked."""
        if self._external is not None and _claimed_issuer(token) == self._external.issuer:
            return await self._external.verify(token)
        return self._own.verify(token)


class ExternalIssuer:
    """Keys by the issuer's discovery document; its users come to life here on first sight."""

    def __init__(self, issuer: str, audience: str, accounts: AccountStore) -> None:
        self.issuer = issuer
        self._audience = audience
        self._accounts = accounts
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._users: dict[str, UUID] = {}

    async def verify(self, token: str) -> Principal:
        check_shape(token)
        try:
            header = jwt.get_unverified_header(token)
            algorithm, key_id = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or not isinstance(key_id, str | None):
                raise BadToken("bad_token")
            key = await self._key(key_id)
            claims = decode_claims(
                token, key, algorithm=algorithm, issuer=self.issuer, audience=self._audience, one_audience=False
            )
        except jwt.ExpiredSignatureError as error:
            raise BadToken("expired_token") from error
        except TOKEN_FAULTS as error:
            raise BadToken("bad_token") from error
        user_id = await self._user(claims)
        return Principal(user_id, str(user_id), None, claims["exp"])

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        async with self._fetching:
            age = monotonic() - self._fetched_at
            if age > KEYS_FRESH_SECONDS or (key_id not in self._keys and age > FETCH_PAUSE_SECONDS):
                await self._fetch_keys()
        if key_id not in self._keys:
            raise BadToken("bad_token")
        return self._keys[key_id]

    async def _fetch_keys(self) -> None:
        """Replace the keys; while the issuer is away, those known go on to be used. Raises IssuerUnavailable."""
        self._fetched_at = monotonic()
        try:
            found = await asyncio.to_thread(_jwks, self.issuer)
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            log.warning("issuer_keys_failed", error=type(error).__name__)
            if not self._keys:
                self._fetched_at = float("-inf")
                raise IssuerUnavailable from error
        else:
            self._keys = {key.key_id: key for key in found.keys}

    async def _user(self, claims: dict[str, Any]) -> UUID:
        subject: str = claims["sub"]
        user_id = self._users.get(subject)
        if user_id is None:
            email = claims.get("email") if claims.get("email_verified") is True else None
            user_id = await self._accounts.external_user(self.issuer, subject, email, claims.get("name"))
            if len(self._users) >= REMEMBERED_USERS:
                self._users.clear()
            self._users[subject] = user_id
        return user_id


def _claimed_issuer(token: str) -> object:
    """What the token says of itself, unverified: it only decides who has to verify it."""
    try:
        check_shape(token)
        return jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (BadToken, *TOKEN_FAULTS):
        return None


def _jwks(issuer: str) -> jwt.PyJWKSet:
    configuration = _get_json(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if configuration["issuer"] != issuer:
        raise ValueError("the discovery document is another issuer's")
    return jwt.PyJWKSet.from_dict(_get_json(configuration["jwks_uri"]))


def _get_json(url: str) -> dict[str, Any]:
    if not url.startswith(("https://", "http://")):
        raise ValueError("not an HTTP URL")
    with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_SECONDS) as response:  # noqa: S310  checked above
        return cast(dict[str, Any], json.loads(response.read(1_000_000)))
