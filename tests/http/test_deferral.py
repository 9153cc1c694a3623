"""What a server does not import when it starts, and that it is there all the same."""

from __future__ import annotations

import subprocess
import sys

DEFERRED = """
import sys
from moc_server_ext.http.deferral import defer_address_grammar
defer_address_grammar()
import jupyter_events
assert "lark" not in sys.modules
import rfc3987_syntax
assert not hasattr(rfc3987_syntax, "__nothing__")
assert "lark" not in sys.modules
"""
USED = {
    "by jsonschema": """
from jsonschema import FormatChecker
assert [FormatChecker().conforms(text, "iri") for text in ("a:é", "é")] == [True, False]
""",
    "by name": """
rfc3987_syntax.parse("iri", "a:b")
import rfc3987_syntax
assert rfc3987_syntax.is_valid_syntax("iri", "a:b") and not hasattr(rfc3987_syntax, "nothing")
""",
}
MADE = """
made = sys.modules["rfc3987_syntax"]
assert "lark" in sys.modules and made.__file__
defer_address_grammar()
assert sys.modules["rfc3987_syntax"] is made
"""


def run_at_once(programs: list[str]) -> None:
    """Run programs in processes of their own, none of which may fail."""
    running = [subprocess.Popen([sys.executable, "-c", each], stderr=subprocess.PIPE, text=True) for each in programs]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said


def test_the_grammar_of_addresses_is_made_when_somebody_asks_for_it_and_then_stays() -> None:
    run_at_once([DEFERRED + use + MADE for use in USED.values()])
