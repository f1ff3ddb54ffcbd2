"""What clients carry for us, a cursor or a sync token: signed, so that a forged or foreign one is refused."""

import base64
import hmac
from hashlib import blake2b
from uuid import UUID

MAC_BYTES = 16
KEY_ID_BYTES = 4


class Signer:
    def __init__(self, *keys: bytes) -> None:
        """The first key signs; all of them verify."""
        self._keys = keys
        self.key_ids = [blake2b(key, person=b"key id", digest_size=KEY_ID_BYTES).digest() for key in keys]
        """What tells the keys apart, for a payload that names its own: the first one signs."""

    def seal(self, user_id: UUID, scope: str, payload: bytes) -> str:
        """`scope` is what the text is good for beside its user, such as one list with its order and filters."""
        return base64.urlsafe_b64encode(_mac(self._keys[0], user_id, scope, payload) + payload).rstrip(b"=").decode()

    def unseal(self, user_id: UUID, scope: str, text: str) -> bytes:
        """The payload. Raises ValueError for what was not sealed with one of the keys, for this user and scope."""
        mac, payload = _opened(text)
        if not any(hmac.compare_digest(mac, _mac(key, user_id, scope, payload)) for key in self._keys):
            raise ValueError("not sealed here, or for something else")
        return payload


def unverified(text: str) -> bytes:
    """The payload, whoever made it. Raises ValueError."""
    return _opened(text)[1]


def _opened(text: str) -> tuple[bytes, bytes]:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    return raw[:MAC_BYTES], raw[MAC_BYTES:]


def _mac(key: bytes, user_id: UUID, scope: str, payload: bytes) -> bytes:
    bound = f"{user_id}\n{scope}\n".encode("utf-8", "surrogatepass")
    return blake2b(bound + payload, key=key, digest_size=MAC_BYTES).digest()
