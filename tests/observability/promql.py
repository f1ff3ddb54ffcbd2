"""Just enough of PromQL's grammar to find what an expression selects."""

import re

_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(?!\s*\(|[a-zA-Z0-9_:])")
_KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset"})
_DURATION = re.compile(r"\[[^]]*\]")


def selectors(expression: str) -> list[str]:
    """List the instant vector selectors of an expression, as `metric{matchers}`."""
    strings: list[str] = []

    def hide(match: re.Match[str]) -> str:
        strings.append(match[0])
        return f'"{len(strings) - 1}"'

    bare = _LABEL_LIST.sub(" ", _DURATION.sub("", _STRING.sub(hide, expression)))
    found = []
    for name, matchers in _SELECTOR.findall(bare):
        # A selector without matchers reads like a word of the language, or like the exponent of a number.
        if name in _KEYWORDS:
            continue
        found.append(name + re.sub(r'"(\d+)"', lambda m: strings[int(m[1])], matchers))
    return found


def filled(expression: str, variables: dict[str, str]) -> str:
    """Replace Grafana's `$name`, longest name first, so that $pod leaves $pod_name alone."""
    for name in sorted(variables, key=len, reverse=True):
        expression = expression.replace(f"${name}", variables[name])
    return expression
