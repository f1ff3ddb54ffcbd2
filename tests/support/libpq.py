"""PostgreSQL's own client library, out of the wheel that holds the server: what it makes of a connection URL."""

import ctypes
from functools import cache

from service.database.postgres_programs import binaries


class _Option(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")),
        ("dispsize", ctypes.c_int),
    )


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(next((binaries().parent / "lib").glob("libpq.*5*"))))
    library.PQconndefaults.restype = ctypes.POINTER(_Option)
    library.PQconninfoParse.restype = ctypes.POINTER(_Option)
    library.PQconninfoFree.argtypes = (ctypes.POINTER(_Option),)
    return library


def keywords() -> set[str]:
    """All parameters that it has."""
    options = _library().PQconndefaults()
    found, number = set(), 0
    while keyword := options[number].keyword:
        found.add(keyword.decode())
        number += 1
    return found


def parse(url: str) -> dict[str, str] | None:
    """What the URL gives, or None when it is refused."""
    options = _library().PQconninfoParse(url.encode(), ctypes.byref(ctypes.c_char_p()))
    if not options:
        return None
    given, number = {}, 0
    while keyword := options[number].keyword:
        if (value := options[number].val) is not None:
            given[keyword.decode()] = value.decode(errors="surrogateescape")
        number += 1
    _library().PQconninfoFree(options)
    return given
