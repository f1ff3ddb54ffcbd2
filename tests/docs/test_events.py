"""The catalogue of log events in docs/observability.md is complete and true."""

import re

from tests.support.database import ROOT

_CALL = re.compile(r"""\.(?:debug|info|warning|error|critical|exception|log)\(\s*(?:[\w.]+,\s*)?"([a-z_]+)"[,)]""")


def logged() -> set[str]:
    """Every event that a call such as `log.info("name", …)` in service/ writes."""
    found: set[str] = set()
    for path in ROOT.glob("service/**/*.py"):
        found |= set(_CALL.findall(path.read_text()))
    return found


def test_every_event_is_in_the_catalogue_and_every_entry_is_an_event() -> None:
    text = (ROOT / "docs/observability.md").read_text()
    catalogue = text[text.index("## Log events") :]
    assert set(re.findall(r"^\| `(\w+)` \|", catalogue, re.MULTILINE)) == logged()
