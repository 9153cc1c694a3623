"""What a server does not import when it starts, and that it is there all the same."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from moc_server_ext.http.deferral import defer_address_grammar
defer_address_grammar()
import jupyter_events
import rfc3987_syntax as deferred
assert not hasattr(deferred, "__nothing__")
assert "lark" not in sys.modules

# By name, and as jsonschema has imported it.
deferred.parse("iri", "a:b")
from jsonschema import FormatChecker
assert [FormatChecker().conforms(text, "iri") for text in ("a:é", "é")] == [True, False]

import rfc3987_syntax as made
assert made is not deferred and made.__file__ and not hasattr(deferred, "nothing")
defer_address_grammar()
assert sys.modules["rfc3987_syntax"] is made
"""


def test_the_grammar_of_addresses_is_made_when_somebody_asks_for_it_and_then_stays() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
