"""Values from the environment, or from files that it names: `NAME_FILE=/path` beside `NAME`, for mounted secrets."""

from collections.abc import Iterable, Mapping
from pathlib import Path


class SettingsError(ValueError):
    """The environment does not describe a service that can start; one line per mistake."""


def read(env: Mapping[str, str], names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """What `NAME` or `NAME_FILE` gives for each of `names`, and what is wrong with it.

    An empty value or file gives nothing. Names are as they are written: a script's own `port` is none of ours.
    """
    given: dict[str, str] = {}
    mistakes: list[str] = []
    for name in names:
        if value := env.get(name):
            given[name] = value
        path = env.get(f"{name}_FILE")
        if not path:
            continue
        if value:
            mistakes.append(f"{name}: is given twice, also as {name}_FILE")
        try:
            # Editors on Windows put a byte order mark in front, which nobody sees in a message.
            text = Path(path).read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(f"{name}_FILE: cannot be read ({type(error).__name__})")
            continue
        if text:
            given[name] = text
    return given, mistakes
