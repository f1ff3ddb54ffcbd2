"""Cursors: where a page starts, signed, so that a forged, foreign or stale one is refused."""

import base64
import hmac
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

from service.problems import Invalid

MAC_BYTES = 16


class Cursors:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, user_id: UUID, scope: str, place: list[Any]) -> str:
        """`scope` is the list that the cursor belongs to: its order and its filters."""
        payload = orjson.dumps(place)
        return base64.urlsafe_b64encode(self._mac(user_id, scope, payload) + payload).rstrip(b"=").decode()

    def read(self, user_id: UUID, scope: str, text: str) -> list[Any]:
        """Raises Invalid."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            mac, payload = raw[:MAC_BYTES], raw[MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(user_id, scope, payload)):
                raise ValueError  # noqa: TRY301  one way out for every kind of nonsense
            place: list[Any] = orjson.loads(payload)
        except ValueError:
            raise Invalid.field("cursor", "This cursor does not belong to this list", "cursor") from None
        return place

    def _mac(self, user_id: UUID, scope: str, payload: bytes) -> bytes:
        bound = f"{user_id}\n{scope}\n".encode("utf-8", "surrogatepass")
        return blake2b(bound + payload, key=self._key, digest_size=MAC_BYTES).digest()
