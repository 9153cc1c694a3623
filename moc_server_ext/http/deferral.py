"""A module that takes long to import and that hardly anybody uses is imported when somebody uses it.

Jupyter's events import ``jsonschema``, which imports ``rfc3987_syntax``, which makes a parser from a grammar. That is
two thirds of the time that a server needs to start, for a format (``iri``) that no schema of Jupyter's has.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_MODULE = "rfc3987_syntax"


def defer_address_grammar() -> None:
    """Let ``rfc3987_syntax`` be imported at its first use.

    Without effect if it has been imported already, or is not installed.
    """
    if _MODULE in sys.modules:
        return
    spec = importlib.util.find_spec(_MODULE)
    if spec is None:
        return
    deferred = ModuleType(_MODULE, "Stands for the real module until something of it is used.")
    deferred.__spec__ = spec
    deferred.__path__ = spec.submodule_search_locations or []

    def real() -> ModuleType:
        if sys.modules.get(_MODULE) is deferred:
            del sys.modules[_MODULE]
        return importlib.import_module(_MODULE)

    def is_valid_syntax(term: str, value: str) -> bool:
        return bool(real().is_valid_syntax(term, value))

    def attribute(name: str) -> Any:
        if name.startswith("__"):  # What the import system asks of any module.
            raise AttributeError(name)
        return getattr(real(), name)

    # jsonschema takes the function at its own import; everything else is the real module's.
    vars(deferred).update(is_valid_syntax=is_valid_syntax, __getattr__=attribute)
    sys.modules[_MODULE] = deferred
