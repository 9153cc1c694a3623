"""Compilers: from the source of a guest to a WebAssembly module, one file a language.

Compiling happens where the person is, in the kernel or in the command line, and never in the server: a compiler reads
whatever file an ``#include`` names, and shows lines of it in its messages.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from ..errors import UnknownLanguageError

if TYPE_CHECKING:
    from ..abc import Compiler

__all__ = ["all_compilers", "compiler_for", "compiler_for_file"]


def all_compilers() -> tuple[Compiler, ...]:
    """Give one compiler a language, whether it is installed or not."""
    from .c import CCompiler
    from .wat import WatCompiler

    return CCompiler(), WatCompiler()


def compiler_for(language: str) -> Compiler:
    """Give the compiler of a language, named as the magics name it (``c``, ``wat``).

    Raises
    ------
    UnknownLanguageError
        There is none; the message lists the languages.
    """
    compilers = all_compilers()
    for compiler in compilers:
        if compiler.language == language.lower():
            return compiler
    raise UnknownLanguageError(language, known=[each.language for each in compilers])


def compiler_for_file(path: str | PurePath) -> Compiler:
    """Give the compiler for a source file, by its suffix.

    Raises
    ------
    UnknownLanguageError
        No compiler takes this suffix; the message lists those that are known.
    """
    compilers = all_compilers()
    suffix = PurePath(path).suffix.lower()
    for compiler in compilers:
        if suffix in compiler.suffixes:
            return compiler
    raise UnknownLanguageError(str(path), known=[suffix for each in compilers for suffix in each.suffixes])
