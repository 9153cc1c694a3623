"""From source to module: ``compile`` for files, and the cell verbs ``c`` and ``wat``, which register as well.

Compilers run where the person is, never on a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import click

from ..abc import Compiled, Compiler
from ..errors import InvalidInputError
from ..model import WASM_CONTENT_TYPE, Declaration
from .commands import Verb, usage_error
from .completion import file_names, function_names, language_names, module_names
from .describe import how_to_call
from .host import Host
from .options import declaration_options, read_source
from .outcome import MessageOutcome, format_size

WASM_MAGIC = b"\0asm"

CELL_LANGUAGES = (
    ("c", "C", ", such as -g, with which backtraces show the lines of the cell"),
    ("wat", "WebAssembly text", ""),
)
"""Languages that have a cell verb, their titles, and what is to be said about flags."""


def compile_source(
    host: Host, compiler: Compiler, source: bytes, *, filename: str, first_line: int = 1, flags: Sequence[str] = ()
) -> Compiled:
    """Compile one source text, with progress.

    Raises
    ------
    CompileFailedError
        The source is wrong.
    MissingExtraError
        The compiler is not installed.
    InvalidInputError
        The source is no UTF-8.
    """
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{filename!r} is not UTF-8 text: byte {error.start} is {error.reason}.") from None
    with host.progress(f"compiling {filename}") as progress:
        return compiler.compile(
            text,
            filename=filename,
            first_line=first_line,
            flags=flags,
            progress=lambda sentence: progress.update(label=sentence),
        )


def module_of(host: Host, path: str, *, content_type: str | None = None) -> Compiled:
    """Read a module from a file, or compile it when the file is a source; ``-`` is a module on stdin.

    What is neither is given as it is: whoever gets it says what is wrong with it.
    """
    content = read_source(host, path)
    if content.startswith(WASM_MAGIC):
        return Compiled(content, content_type or WASM_CONTENT_TYPE, "")
    from .. import compilers

    suffix = PurePath(path).suffix.lower()
    sources = {each for compiler in compilers.all_compilers() for each in compiler.suffixes}
    if content_type is None and suffix in sources:
        return compile_source(host, compilers.compiler_for_file(path), content, filename=path)
    return Compiled(content, content_type or WASM_CONTENT_TYPE, "")


@click.command(
    "compile",
    cls=Verb,
    compiler_flags=True,
    example=["moc compile uppercase.c", "moc compile uppercase.c -o upper.wasm -O3"],
)
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    shell_complete=file_names,
    help="The module to write. Without it: FILE with the suffix .wasm.",
)
@click.argument("file", shell_complete=file_names)
@click.argument("flags", metavar="[FLAGS]…", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def compile_file(host: Host, file: str, output: str | None, flags: tuple[str, ...]) -> MessageOutcome:
    """Compile a source file to a WebAssembly module.

    The suffix of FILE says the language. A C file without main exports every function that is not static. FLAGS go to
    the compiler as they are.
    """
    from .. import compilers

    compiler = compilers.compiler_for_file(file)
    compiled = compile_source(host, compiler, host.read_file(file), filename=file, flags=flags)
    target = output or str(PurePath(file).with_suffix(".wasm"))
    host.write_file(target, compiled.content)
    size = len(compiled.content)
    return MessageOutcome(
        f"{target}: {format_size(size)}",
        {"file": target, "size": size, "content_type": compiled.content_type, "diagnostics": compiled.diagnostics},
        diagnostics=compiled.diagnostics,
    )


@click.command(
    "guest-api", cls=Verb, example=["moc guest-api core c", "moc guest-api core c -o core.h", "moc guest-api core json"]
)
@click.option("-o", "--output", metavar="FILE", shell_complete=file_names, help="Write it into FILE.")
@click.argument("module", shell_complete=module_names)
@click.argument("language", metavar="LANG", shell_complete=language_names)
@click.pass_obj
def guest_api(host: Host, module: str, language: str, output: str | None) -> MessageOutcome:
    """Print the declarations of what guests may import, for their own language.

    MODULE is an import module of the guest API: core. LANG is c or json. What moc compiles finds them by itself; other
    compilers need the file. The header for C is for C++ as well; bindings for any other language can be made of the
    JSON.
    """
    from ..compilers.bindings import bindings

    text = bindings(module, language)
    facts = {"module": module, "language": language.lower()}
    if output is None:
        return MessageOutcome(text.removesuffix("\n"), {**facts, "text": text})
    host.write_file(output, text.encode())
    return MessageOutcome(f"{output}: {format_size(len(text.encode()))}", {**facts, "file": output})


def cell_verb(language: str, title: str, about_flags: str) -> Verb:
    """Make the verb that compiles a cell and registers it."""

    @click.command(
        language,
        cls=Verb,
        face="magic",
        compiler_flags=True,
        example=[f"%%moc {language} NAME", f"%%moc {language} --grant kv:visits/ NAME"],
        help=f"Compile the cell, written in {title}, and register it under NAME.\n\n"
        f"FLAGS go to the compiler as they are{about_flags}.",
    )
    @declaration_options
    @click.argument("name", shell_complete=function_names)
    @click.argument("flags", metavar="[FLAGS]…", nargs=-1, type=click.UNPROCESSED)
    @click.pass_obj
    def register_cell(host: Host, name: str, flags: tuple[str, ...], declaration: Declaration) -> MessageOutcome:
        from .. import compilers

        if name.startswith("-"):
            raise usage_error(f"The function's name comes before the compiler's flag {name!r}")
        if host.cell is None:
            raise usage_error(f"There is no cell to compile: write `%%moc {language} {name}` above the source")
        compiled = compile_source(
            host,
            compilers.compiler_for(language),
            host.cell.encode(),
            filename="cell",
            first_line=host.cell_first_line,
            flags=flags,
        )
        record = host.client.platform.functions.put(name, compiled.content, declaration, compiled.content_type)
        return MessageOutcome(
            f"registered function {name!r}: {how_to_call(record)}", record.to_json(), compiled.diagnostics
        )

    return register_cell
