"""Cursors: where a page starts, bound to the list that it belongs to."""

from typing import Any
from uuid import UUID

import orjson

from service.problems import Invalid
from service.tasks.signing import Signer


class Cursors:
    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def write(self, user_id: UUID, scope: str, place: list[Any]) -> str:
        """`scope` is the list that the cursor belongs to: its order and its filters."""
        return self._signer.seal(user_id, scope, orjson.dumps(place))

    def read(self, user_id: UUID, scope: str, text: str) -> list[Any]:
        """Raises Invalid."""
        try:
            place: list[Any] = orjson.loads(self._signer.unseal(user_id, scope, text))
        except ValueError:
            raise Invalid.field("cursor", "This cursor does not belong to this list", "cursor") from None
        return place
