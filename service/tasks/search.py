"""`q`, in any case and in any database: which letters belong together is decided here, not by the server's locale.

With locale C, PostgreSQL's own ILIKE knows the case of ASCII letters only.
"""

import re
from functools import cache

CASED_MAX = 0x1E943
"""The last code point that has a case (Adlam): beyond it there is nothing to look for."""


def search(text: str) -> tuple[str, str]:
    """The clause, with {0} in the place of its value, and the value.

    The pattern of the second costs twice as much as ILIKE, so that only a text with other than ASCII letters pays it.
    """
    if text.isascii():
        escaped = re.sub(r"([\\%_])", r"\\\1", text)
        return '(title COLLATE "C" ILIKE {0} OR description COLLATE "C" ILIKE {0})', f"%{escaped}%"
    pattern = "".join(_one_of(letter) for letter in text)
    return '(title COLLATE "C" ~ {0} OR description COLLATE "C" ~ {0})', pattern


def _one_of(letter: str) -> str:
    same = _same_letters().get(letter.casefold(), letter)
    if len(same) > 1:
        return f"[{same}]"
    return f"\\{letter}" if letter.isascii() and not letter.isalnum() else letter


@cache
def _same_letters() -> dict[str, str]:
    """All letters that are one when case is left out, such as the three sigmas, by what Unicode folds them to."""
    found: dict[str, str] = {}
    for letter in map(chr, range(CASED_MAX + 1)):
        folded = letter.casefold()
        found[folded] = found.get(folded, "") + letter
    return {folded: letters for folded, letters in found.items() if len(letters) > 1}
