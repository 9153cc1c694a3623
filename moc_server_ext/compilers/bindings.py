"""The guest API for guests' own languages: the text that a source includes, by import module and language."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..errors import InvalidInputError

INCLUDE_DIRECTORY: Final = Path(__file__).parent.absolute() / "include"
"""Where C sources find ``<moc/core.h>``."""

_FILES: Final = {("core", "c"): INCLUDE_DIRECTORY / "moc" / "core.h"}

MODULES: Final = tuple(dict.fromkeys(module for module, _ in _FILES))
LANGUAGES: Final = tuple(dict.fromkeys(language for _, language in _FILES))


def bindings(module: str, language: str) -> str:
    """Give the declarations of an import module for a language.

    Raises
    ------
    InvalidInputError
        There are none; the message lists those that there are.
    """
    file = _FILES.get((module, language.lower()))
    if file is None:
        known = ", ".join(f"`moc guest-api {each} {tongue}`" for each, tongue in _FILES)
        raise InvalidInputError(
            f"There are no declarations of module {module!r} for {language!r}. There is {known}.",
            module=module,
            language=language,
        )
    return file.read_text(encoding="utf-8")
