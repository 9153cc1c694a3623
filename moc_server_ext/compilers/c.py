"""C: a cell or a file to a WebAssembly module.

- A source with ``main`` becomes a program (``_start``); one without exports every function that is not static.
- ``-ffreestanding`` or ``-nostdlib`` among the flags makes a module without C library and without WASI.
- Imports from the host are declared by ``__attribute__((import_module("core"), import_name("…")))``;
  ``#include <moc/core.h>`` declares those of the guest API.

The source is compiled to an object first: its symbol table, not its text, says whether there is a ``main`` and what is
to be exported. The same source and compiler give the same bytes, wherever they lie.

For the machine of the person who wrote the source only. A compiler reads any file that an ``#include`` names and shows
lines of it in its messages, and flags can name files to write.
"""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from ..abc import Compiled
from ..errors import CompileFailedError, InvalidInputError
from ..model import WASM_CONTENT_TYPE
from .bindings import INCLUDE_DIRECTORY
from .diagnostics import clean, quote
from .objects import function_symbols, without_custom_sections
from .process import run_compiler
from .toolchains import Toolchain, describe_toolchain, find_toolchain

# How clang names `main` on WebAssembly: by its parameters, with `main` itself as an alias or not at all.
_MAIN: Final = frozenset(("main", "__main_argc_argv", "__main_void", "__original_main"))
_FREESTANDING_FLAGS: Final = frozenset(("-ffreestanding", "-nostdlib"))
_LINK_PREFIXES: Final = ("-Wl,", "-l", "-L", "-z", "-Xlinker", "-nostdlib", "-nodefaultlibs", "-nostartfiles")
_LINK_FLAGS_WITH_A_VALUE: Final = frozenset(("-l", "-L", "-z", "-Xlinker"))
# The compilers' own default is 16 MiB, which each guest of a call tree would have to pay for.
_STACK_BYTES: Final = 1 << 20

BUILDING_LIBRARIES: Final = "building the C library for WebAssembly, once; about half a minute"


class CCompiler:
    """C, by whichever C compiler for WebAssembly this machine has.

    Safe to use from several threads and processes at once.

    Parameters
    ----------
    toolchain
        The compiler to use; None looks for one when something is compiled.
    timeout_seconds
        How long compiling or linking may take; the first use builds the C library.
    """

    language = "c"
    suffixes: tuple[str, ...] = (".c",)

    def __init__(self, toolchain: Toolchain | None = None, *, timeout_seconds: float = 300) -> None:
        self._toolchain = toolchain
        self._timeout_seconds = timeout_seconds

    def describe(self) -> str | None:
        """Name the compiler and its version, or None when there is none."""
        return self._toolchain.name if self._toolchain else describe_toolchain()

    def compile(
        self,
        source: str,
        *,
        filename: str,
        first_line: int = 1,
        flags: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> Compiled:
        """Compile one source text; see :class:`~moc_server_ext.abc.Compiler`.

        Blocks; whatever ends it early, Ctrl-C included, leaves no process and no file behind. ``#include "…"`` looks
        beside `filename` when that is a path to a file, else in the working directory.

        Raises
        ------
        CompileFailedError
            The compiler or the linker refused it, or was still busy at the time limit.
        MissingExtraError
            No C compiler for WebAssembly is installed.
        InvalidInputError
            The flags ask for something else than a module (``-flto``).
        """
        toolchain = self._toolchain or find_toolchain()
        with tempfile.TemporaryDirectory(prefix="moc-c-") as directory:
            build = _Build(self, toolchain, Path(directory), filename, first_line)
            return build.run(source, flags, progress)


@contextlib.contextmanager
def _alone(marker: Path) -> Iterator[None]:
    """Wait until no other process builds the libraries of `marker`: two at once take twice as long and gain nothing."""
    with marker.with_name(f"{marker.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Build:
    """One source on its way, in a directory of its own."""

    def __init__(
        self, compiler: CCompiler, toolchain: Toolchain, directory: Path, filename: str, first_line: int
    ) -> None:
        self._compiler = compiler
        self._toolchain = toolchain
        self._directory = directory
        self._filename = filename
        self._first_line = first_line
        self._diagnostics: list[str] = []

    def run(self, source: str, flags: Sequence[str], progress: Callable[[str], None] | None) -> Compiled:
        """Compile, link and tidy."""
        freestanding = not _FREESTANDING_FLAGS.isdisjoint(flags)
        target = self._toolchain.freestanding if freestanding else self._toolchain.hosted
        compile_flags, link_flags = _split(flags)
        marker = None if freestanding else self._toolchain.libraries_marker

        object_file = self._compile(source, target, compile_flags)
        if marker is None or marker.exists():
            module = self._link(object_file, target, link_flags, freestanding)
        else:
            if progress is not None:
                progress(BUILDING_LIBRARIES)
            with _alone(marker):
                module = self._link(object_file, target, link_flags, freestanding)
                marker.touch()
        if "-g" not in flags:
            module = without_custom_sections(module, lambda name: name.startswith(".debug"))
        return Compiled(module, WASM_CONTENT_TYPE, "\n".join(self._diagnostics))

    def _compile(self, source: str, target: Sequence[str], flags: Sequence[str]) -> Path:
        source_file, object_file = self._directory / "source.c", self._directory / "source.o"
        line = f'#line {self._first_line} "{quote(self._filename)}"\n'
        source_file.write_text(line + source, encoding="utf-8", errors="surrogatepass", newline="\n")
        path = Path(self._filename)
        parent = path.parent if path.is_file() else Path()
        command = [
            *self._toolchain.command,
            *(flag for flag in target if not flag.startswith(_LINK_PREFIXES)),
            "-Os",
            "-iquote",
            str(parent.absolute()),
            # `__FILE__`, and the file in a backtrace, is the bare name, so that the bytes do not depend on where the
            # source lies.
            f"-fdebug-prefix-map={Path.cwd()}=",
            *([f"-ffile-prefix-map={path.parent}/="] if path.parent != Path() else []),
            f"-ffile-prefix-map={self._directory}/=",
            # Zig defines it whenever it optimises; `assert` is the person's to switch off.
            "-UNDEBUG",
            "-fno-color-diagnostics",
            *flags,
            # Last, so that a header of the person's own with the same name wins.
            f"-I{INCLUDE_DIRECTORY}",
            "-c",
            str(source_file),
            "-o",
            str(object_file),
        ]
        self._run(command, makes=object_file)
        return object_file

    def _link(self, object_file: Path, target: Sequence[str], flags: Sequence[str], freestanding: bool) -> bytes:
        try:
            symbols = function_symbols(object_file.read_bytes())
        except ValueError as error:
            raise InvalidInputError(
                f"With these flags the compiler made no object file of WebAssembly ({error}). "
                "Leave out flags that change the kind of output, such as -flto."
            ) from None
        module_file = self._directory / "module.wasm"
        program = not freestanding and any(symbol.name in _MAIN for symbol in symbols)
        if not program:
            exports = [each.name for each in symbols if not each.exported]
        else:
            # What `_start` begins with, for whoever calls another export.
            exports = ["__wasm_call_ctors"] if any(each.exported for each in symbols) else []
        if not program and not symbols:
            self._fail(
                f"{self._filename}: error: there is nothing to call: it has neither `main` nor a function that is "
                "not static"
            )
        command = [
            *self._toolchain.command,
            *target,
            *self._toolchain.link,
            *([] if program or freestanding else ["-mexec-model=reactor"]),
            f"-Wl,-z,stack-size={_STACK_BYTES}",
            *(f"-Wl,--export={name}" for name in exports),
            str(object_file),
            *flags,
            "-o",
            str(module_file),
        ]
        self._run(command, makes=module_file)
        return module_file.read_bytes()

    def _run(self, command: Sequence[str], *, makes: Path) -> None:
        # Zig copies every object into its local cache: in here it goes away with the rest.
        environment = {**self._toolchain.environment, "ZIG_LOCAL_CACHE_DIR": str(self._directory / "zig")}
        try:
            status, said = run_compiler(
                command, environment=environment, timeout_seconds=self._compiler._timeout_seconds
            )
        except TimeoutError:
            limit = self._compiler._timeout_seconds
            self._fail(f"{self._filename}: error: the compiler took longer than {limit:g} s and was stopped")
        text = clean(said, self._filename, directory=self._directory, hidden=self._toolchain.shown_without)
        if text:
            self._diagnostics.append(text)
        if status != 0 or not makes.exists():
            if not text:
                self._diagnostics.append(
                    f"{self._filename}: error: the compiler ended with status {status} and said nothing"
                )
            self._fail()

    def _fail(self, text: str | None = None) -> NoReturn:
        if text is not None:
            self._diagnostics.append(text)
        raise CompileFailedError(self._compiler.language, self._filename, "\n".join(self._diagnostics))


def _split(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part flags into those of the compiler and those of the linker; a flag's value stays with it."""
    compile_flags: list[str] = []
    link_flags: list[str] = []
    value_follows = False
    for flag in flags:
        if value_follows or flag.startswith(_LINK_PREFIXES):
            value_follows = not value_follows and flag in _LINK_FLAGS_WITH_A_VALUE
            link_flags.append(flag)
        else:
            compile_flags.append(flag)
    return compile_flags, link_flags
