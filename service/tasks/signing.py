"""What clients carry for us, a cursor or a sync token: signed, so that a forged or foreign one is refused."""

import base64
import hmac
from hashlib import blake2b
from uuid import UUID

MAC_BYTES = 16


class Signer:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, user_id: UUID, scope: str, payload: bytes) -> str:
        """`scope` is what the text is good for beside its user, such as one list with its order and filters."""
        return base64.urlsafe_b64encode(self._mac(user_id, scope, payload) + payload).rstrip(b"=").decode()

    def unseal(self, user_id: UUID, scope: str, text: str) -> bytes:
        """The payload. Raises ValueError for what was not sealed with this key, for this user and scope."""
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mac, payload = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(user_id, scope, payload)):
            raise ValueError("not sealed here, or for something else")
        return payload

    def _mac(self, user_id: UUID, scope: str, payload: bytes) -> bytes:
        bound = f"{user_id}\n{scope}\n".encode("utf-8", "surrogatepass")
        return blake2b(bound + payload, key=self._key, digest_size=MAC_BYTES).digest()
