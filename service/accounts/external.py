"""Access tokens of an external issuer: what OpenID Connect and RFC 9068 require of them, and no more."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt

from service.accounts.discovery import ALGORITHMS
from service.accounts.issuer import IssuerKeys
from service.accounts.model import EMAIL_MAX, NAME_MAX, SUBJECT_MAX
from service.accounts.tokens import REMEMBERED_TOKENS, TOKEN_FAULTS, BadToken, check_shape

TOKEN_LENGTH_MAX = 16 * 1024
"""Entra ID puts up to 200 groups into a token before it leaves them out, which makes some 13 KiB."""

LEEWAY_SECONDS = 30
"""Between the issuer's clock and ours; PyJWT applies it to exp, nbf and iat."""

EXP_MAX = 253_402_300_799
"""The last second of the year 9999: what is later is no time that anything could be stored or compared as."""

_TYPES = frozenset({"jwt", "at+jwt"})
"""RFC 9068 has at+jwt; the access tokens of most issuers are older than it. Others, such as logout+jwt, are no access
tokens."""

_KEYCLOAK_OTHERS = frozenset({"ID", "Refresh", "Offline", "Logout"})
"""Keycloak's tokens are all of type JWT in the header, and say in a claim of the same name what they are."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks of, verified; which user that is, the database knows. `email` only if it was verified."""

    issuer: str
    subject: str
    email: str | None
    name: str | None
    expires_at: float


class ExternalTokens:
    def __init__(self, keys: IssuerKeys, audiences: Sequence[str]) -> None:
        """A token is for us if any of `audiences` is among its own."""
        self.issuer = keys.issuer
        self._keys = keys
        self._audiences = tuple(audiences)
        # By digest: ten thousand tokens of Entra ID would be 100 MB.
        self._remembered: OrderedDict[bytes, Identity] = OrderedDict()
        self._version = keys.version

    def remembered(self, token: str) -> Identity | None:
        """Of a token that was verified before, with the keys of today. Raises BadToken when it has expired since."""
        if self._version != self._keys.version:
            self._version = self._keys.version
            self._remembered.clear()
        digest = _digest(token)
        identity = self._remembered.get(digest)
        if identity is None:
            return None
        if identity.expires_at <= time.time() - LEEWAY_SECONDS:
            del self._remembered[digest]
            raise BadToken("expired_token")
        self._remembered.move_to_end(digest)
        return identity

    async def verify(self, token: str) -> Identity:
        """Raises BadToken, or IssuerUnavailable when there are no keys to verify it with."""
        check_shape(token, TOKEN_LENGTH_MAX)
        try:
            algorithm, key_id = _usable_header(token)
            key = await self._keys.key(key_id, algorithm)
            version = self._keys.version
            identity = self._identity(token, key)
        except jwt.ExpiredSignatureError as error:
            raise BadToken("expired_token") from error
        except TOKEN_FAULTS as error:
            raise BadToken("bad_token") from error
        if version == self._version:
            self._remembered[_digest(token)] = identity
            if len(self._remembered) > REMEMBERED_TOKENS:
                self._remembered.popitem(last=False)
        return identity

    def _identity(self, token: str, key: jwt.PyJWK) -> Identity:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=self._audiences,
            issuer=self.issuer,
            leeway=LEEWAY_SECONDS,
            options={
                "require": ["iss", "aud", "exp", "sub"],
                "verify_jti": False,
                "enforce_minimum_key_length": True,
            },
        )
        if any(type(claims.get(name, 0)) not in (int, float) for name in ("exp", "nbf", "iat")):
            raise jwt.InvalidTokenError("PyJWT also takes strings and booleans for times")
        if claims["exp"] > EXP_MAX:
            raise jwt.InvalidTokenError("exp is absurd")
        if "events" in claims or claims.get("typ") in _KEYCLOAK_OTHERS:  # RFC 8417: a logout token, for example
            raise jwt.InvalidTokenError("no access token")
        subject = _storable(claims["sub"], SUBJECT_MAX)
        if subject is None:
            raise jwt.InvalidTokenError("sub cannot be stored")
        name = _storable(claims.get("name"), NAME_MAX)
        return Identity(self.issuer, subject, _verified_email(claims), name, float(claims["exp"]))


def _usable_header(token: str) -> tuple[str, str | None]:
    """Algorithm and key id. Raises BadToken, or one of TOKEN_FAULTS."""
    header = jwt.get_unverified_header(token)
    algorithm, kind = header.get("alg"), header.get("typ", "JWT")
    # A media type, RFC 7515, section 4.1.9: in any case, and with or without its first part.
    named = kind.lower().removeprefix("application/") in _TYPES
    if not named or algorithm not in ALGORITHMS or "crit" in header:
        raise BadToken("bad_token")
    return algorithm, header.get("kid")


def _verified_email(claims: dict[str, Any]) -> str | None:
    email = claims.get("email") if claims.get("email_verified") is True else None
    return _storable(email.lower(), EMAIL_MAX) if isinstance(email, str) else None


def _storable(value: object, length_max: int) -> str | None:
    """A string that its column can hold, neither empty nor too long; half of a surrogate pair is not even JSON."""
    return value if isinstance(value, str) and 0 < len(value) <= length_max and "\0" not in value else None


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
