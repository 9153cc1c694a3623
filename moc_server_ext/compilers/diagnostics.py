"""What a C compiler says, made fit for the person who wrote the source.

The compilers are told by ``#line`` what the source is called and where it begins, so that places are right already.
What is left is what only concerns this machine: temporary paths, the linker's way to name an object, and colours.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_LIMIT: Final = 64 << 10
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_COUNT: Final = re.compile(r"(\d+ (warning|error)s?( and )?)+ generated\.")
_LINKER: Final = re.compile(r"(?:\S*/)?wasm-ld(?:-\d+)?: (error|warning): (?:\S+\.o: )?(.*)")
_CLANG_SUMMARY: Final = re.compile(r"\S*clang\S*: error: linker command failed .*")
_UNDEFINED: Final = re.compile(r"error: undefined symbol: ")
_UNDEFINED_HINT: Final = (
    "note: a function of the host is declared with "
    '__attribute__((import_module("core"), import_name("NAME"))); others must be defined in the source'
)


def quote(filename: str) -> str:
    """Write a file name inside the quotes of a ``#line``; control characters become ``?``."""
    printable = "".join(each if each.isprintable() else "?" for each in filename)
    return printable.replace("\\", "\\\\").replace('"', '\\"')


def clean(text: str, filename: str, *, directory: Path, hidden: str) -> str:
    """Tidy what the compiler said; at most 64 KiB.

    Parameters
    ----------
    filename
        What the linker's messages are about, which knows temporary objects only.
    directory
        The temporary directory.
    hidden
        Regular expression of what else is left out of paths.
    """
    lines = []
    undefined = False
    for line in _COLOUR.sub("", text[:_LIMIT]).splitlines():
        if _COUNT.fullmatch(line) or _CLANG_SUMMARY.fullmatch(line):
            continue
        if match := _LINKER.fullmatch(line):
            line = f"{filename}: {match[1]}: {match[2]}"
        undefined = undefined or _UNDEFINED.search(line) is not None
        line = line.replace(f"{directory}/source.c", filename).replace(f"{directory}/", "")
        lines.append(re.sub(hidden, "", line))
    if undefined:
        lines.append(_UNDEFINED_HINT)
    return "\n".join(lines).strip("\n")
