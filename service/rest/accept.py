"""Which of two media types a request would rather have: its `Accept`, RFC 9110, section 12.5.1."""

import re
from collections.abc import Iterator

from sanic.compat import Header

_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def prefers(headers: Header, wanted: str, default: str) -> bool:
    """Whether `wanted` is asked for more than `default`, which is what anybody gets who does not care."""
    field = headers.getall("accept", None)
    if field is None:
        return False
    ranges = list(_ranges(",".join(field)))
    return _quality(ranges, wanted) > _quality(ranges, default)


def _quality(ranges: list[tuple[str, float]], media_type: str) -> float:
    """Of several ranges that fit, the narrowest one counts."""
    family = media_type.partition("/")[0]
    for name in (media_type, f"{family}/*", "*/*"):
        found = [quality for range_, quality in ranges if range_ == name]
        if found:
            return max(found)
    return 0.0


def _ranges(field: str) -> Iterator[tuple[str, float]]:
    """Without those whose weight is none: they ask for nothing."""
    for item in field.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weights = [value.strip() for key, _, value in (p.partition("=") for p in parameters) if key.strip() == "q"]
        if not weights:
            yield name, 1.0
        elif _QUALITY.fullmatch(weights[0]):
            yield name, float(weights[0])
