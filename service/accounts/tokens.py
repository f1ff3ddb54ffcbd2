"""Access tokens: made here, checked here, and every way in which one can be bad ends in the same 401."""

import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt

from service.accounts.keys import SigningKey, encode
from service.identifiers import uuid7

TOKEN_LENGTH_MAX = 4096
LIFETIME_MAX_SECONDS = 366 * 24 * 3600
LEEWAY_SECONDS = 10
REMEMBERED_TOKENS = 10_000

# Beside PyJWT's own errors, absurd headers and claims reach us as whatever Python raises on them.
TOKEN_FAULTS = (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_REQUIRED = ["exp", "iat", "sub", "aud", "iss", "jti"]


class BadToken(Exception):
    """`reason` is for the metrics; the caller is told nothing but 401."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `session` is the refresh token family that the token came with, None for external tokens."""

    user_id: UUID
    path_id: str
    """`user_id` as it stands in a path."""
    session: UUID | None
    expires_at: float


class AccessTokens:
    def __init__(self, *, keys: list[SigningKey], issuer: str, audience: str, ttl_seconds: int) -> None:
        """The first key signs; all of them verify."""
        self._keys = {key.algorithm: key for key in keys}
        self._signing = keys[0]
        self._issuer = issuer
        self._audience = audience
        self.ttl_seconds = ttl_seconds
        # A signature that was right stays right; only its expiry is checked again, in `verify`.
        self._remembered = lru_cache(REMEMBERED_TOKENS)(self._decode)

    def issue(self, user_id: UUID, session: UUID) -> str:
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": str(session),
            "jti": str(uuid7()),
            "iat": now,
            "exp": now + self.ttl_seconds,
        }
        return encode(self._signing, claims)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        return {"keys": [dict(k.public_jwk) for k in self._keys.values() if k.public_jwk is not None]}

    def verify(self, token: str) -> Principal:
        """Raises BadToken."""
        principal = self._remembered(token)
        if principal.expires_at < time.time() - LEEWAY_SECONDS:
            raise BadToken("expired_token")
        return principal

    def _decode(self, token: str) -> Principal:
        check_shape(token, TOKEN_LENGTH_MAX)
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("alg", ""))
            if key is None:
                raise BadToken("bad_token")
            claims = self._claims(token, key)
            user_id = UUID(claims["sub"])
            session = UUID(claims["sid"]) if "sid" in claims else None
        except jwt.ExpiredSignatureError as error:
            raise BadToken("expired_token") from error
        except TOKEN_FAULTS as error:
            raise BadToken("bad_token") from error
        return Principal(user_id, str(user_id), session, claims["exp"])

    def _claims(self, token: str, key: SigningKey) -> dict[str, Any]:
        """Verified claims, with `exp` and `iat` as sane numbers. Raises jwt.PyJWTError."""
        claims: dict[str, Any] = jwt.decode(
            token,
            key.verification,
            algorithms=[key.algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": _REQUIRED, "strict_aud": True, "enforce_minimum_key_length": True},
        )
        for name in ("exp", "iat"):
            if type(claims[name]) not in (int, float):
                raise jwt.InvalidTokenError(f"{name} is not a number")
        if not 0 < claims["exp"] - claims["iat"] <= LIFETIME_MAX_SECONDS:
            raise jwt.InvalidTokenError("the lifetime is absurd")
        if not isinstance(claims["sub"], str) or not isinstance(claims["jti"], str):
            raise jwt.InvalidTokenError("sub and jti are strings")
        return claims


def check_shape(token: str, length_max: int) -> None:
    """Three parts of base64url, not too long: nothing else gets as far as a decoder. Raises BadToken."""
    if len(token) > length_max or not _SHAPE.fullmatch(token):
        raise BadToken("bad_token")
