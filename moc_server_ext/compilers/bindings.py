"""The guest API for guests' own languages: the text that a source includes, by import module and language.

The header for C is written by hand, and held against the registry of host functions by a test; the description in JSON,
from which bindings for any other language can be made, is made of the registry itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ..errors import InvalidInputError

INCLUDE_DIRECTORY: Final = Path(__file__).parent.absolute() / "include"
"""Where C sources find ``<moc/core.h>``."""

_HEADER: Final = INCLUDE_DIRECTORY / "moc" / "core.h"

MODULES: Final = ("core",)
LANGUAGES: Final = ("c", "json")


def bindings(module: str, language: str) -> str:
    """Give the declarations of an import module for a language, or as JSON.

    Raises
    ------
    InvalidInputError
        There are none; the message lists those that there are.
    """
    if module not in MODULES or language.lower() not in LANGUAGES:
        known = " and ".join(f"`moc guest-api {each} {tongue}`" for each in MODULES for tongue in LANGUAGES)
        raise InvalidInputError(
            f"There are no declarations of module {module!r} for {language!r}. There are those that {known} print.",
            module=module,
            language=language,
        )
    if language.lower() == "json":
        return json.dumps(_description(), indent=2) + "\n"
    return _HEADER.read_text(encoding="utf-8")


def _description() -> dict[str, Any]:
    # Not at the top: completion asks this module for its words, and must not load all host functions for them.
    from ..guest_api.core import CORE

    return {
        "module": CORE.name,
        "aliases": list(CORE.aliases),
        "functions": [
            {
                "name": each.name,
                "parameters": [
                    {"name": name, "type": kind}
                    for name, kind in zip(each.parameters, each.signature.params, strict=True)
                ],
                "results": list(each.signature.results),
                "waits": each.waits,
                "summary": each.summary,
                "errors": {error.name: error.value for error in each.errors},
                "since": each.since,
                "instead": each.instead or None,
            }
            for each in CORE.functions.values()
        ],
    }
