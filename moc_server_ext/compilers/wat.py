"""WebAssembly text, assembled by wasmtime: the one language whose compiler is always there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from ..abc import Compiled
from ..errors import CompileFailedError, InvalidInputError
from ..model import WASM_CONTENT_TYPE

_PLACE: Final = re.compile(r"^ *--> <anon>:(\d+):(\d+)$")
_MARGIN: Final = re.compile(r"^( *\d+)( \|.*)$")


class WatCompiler:
    """WebAssembly text."""

    language = "wat"
    suffixes: tuple[str, ...] = (".wat",)

    def compile(
        self,
        source: str,
        *,
        filename: str,
        first_line: int = 1,
        flags: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> Compiled:
        """Assemble one source text; see :class:`~moc_server_ext.abc.Compiler`.

        Raises
        ------
        CompileFailedError
            The text is no WebAssembly.
        InvalidInputError
            There are flags; the assembler takes none.
        """
        from ..engines.wasm.text import wat_to_wasm  # loads wasmtime

        if flags:
            raise InvalidInputError(f"WebAssembly text is assembled without flags; leave out {' '.join(flags)!r}.")
        try:
            content = wat_to_wasm(source)
        except InvalidInputError as error:
            text = _with_place(error.message, filename, first_line)
            raise CompileFailedError(self.language, filename, text) from None
        return Compiled(content, WASM_CONTENT_TYPE, "")

    def describe(self) -> str | None:
        """Name the assembler and its version."""
        return f"wasmtime {version('wasmtime')}"


def _with_place(message: str, filename: str, first_line: int) -> str:
    """Turn wasmtime's message into ``FILE:LINE:COLUMN: error: …``, the form that C compilers use, with its excerpt."""
    what, *rest = message.split("\n")
    place = filename
    excerpt = []
    for line in rest:
        if match := _PLACE.match(line):
            place = f"{filename}:{int(match[1]) + first_line - 1}:{match[2]}"
        elif match := _MARGIN.match(line):
            excerpt.append(f"{int(match[1]) + first_line - 1:>5}{match[2]}")
        elif line.strip() != "|":
            excerpt.append(line)
    return "\n".join([f"{place}: error: {what}", *excerpt])
