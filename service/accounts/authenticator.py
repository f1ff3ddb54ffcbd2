"""From a bearer token to a principal."""

from service.accounts.tokens import AccessTokens, Principal


class Authenticator:
    def __init__(self, own: AccessTokens) -> None:
        self._own = own

    async def verify(self, token: str) -> Principal:
        """Raises BadToken."""
        return self._own.verify(token)
