"""From a bearer token to whom it speaks of: tokens of our own, and of an external issuer if there is one."""

import binascii
from base64 import urlsafe_b64decode

import orjson

from service.accounts.external import ExternalTokens, Identity
from service.accounts.tokens import AccessTokens, Principal


class Authenticator:
    def __init__(self, own: AccessTokens, external: ExternalTokens | None = None) -> None:
        self._own = own
        self._external = external

    async def verify(self, token: str) -> Principal | Identity:
        """Raises BadToken, or IssuerUnavailable when an external token cannot be checked."""
        external = self._external
        if external is None:
            return self._own.verify(token)
        identity = external.remembered(token)
        if identity is not None:
            return identity
        if _claimed_issuer(token) == external.issuer:
            return await external.verify(token)
        return self._own.verify(token)


def _claimed_issuer(token: str) -> object:
    """What the token says of itself, unverified: it only decides who has to verify it."""
    try:
        payload = token.split(".")[1]
        return orjson.loads(urlsafe_b64decode(f"{payload}==")).get("iss")
    except (IndexError, AttributeError, UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError, ValueError):
        return None
