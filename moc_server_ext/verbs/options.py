"""Options and arguments that several verbs share, and what reads them."""

from __future__ import annotations

import functools
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, TypeVar

import click

from ..errors import InvalidInputError
from ..model import (
    INPUTS_MAX,
    CallInput,
    Declaration,
    Grants,
    Mode,
    Number,
    array_headers,
    parse_array,
    parse_dtype,
    parse_grants,
    parse_limits,
    parse_mode,
    parse_mount,
    parse_mounts,
    parse_shape,
    too_many_inputs,
)
from .commands import FacedOption, parsed_by, usage_error
from .completion import (
    directory_names,
    dtype_words,
    entry_names,
    file_names,
    grant_words,
    limit_words,
    mode_words,
    variables,
    variables_with_bytes,
)
from .host import Host

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_PART_BYTES: Final = 256 << 10


def parse_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs of an environment; a later one wins."""
    environment = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or "\0" in pair:
            raise InvalidInputError(f"{pair!r} is no environment variable: expected NAME=VALUE.")
        environment[name] = value
    return environment


mode_option = click.option(
    "--mode",
    metavar="posix|direct",
    shell_complete=mode_words,
    callback=parsed_by(parse_mode),
    help="How the call starts: posix (arguments, stdin, stdout, exit code) or direct (an export, with numbers). "
    "Without it: posix if the module exports _start.",
)
entry_option = click.option(
    "--entry",
    metavar="EXPORT",
    shell_complete=entry_names,
    help="The export that a call starts. Without it: _start, else the export named like the function, "
    "else the only one.",
)
env_option = click.option(
    "--env",
    "env",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parsed_by(parse_pairs),
    help="Environment variable of the guest; may be repeated.",
)
dir_option = click.option(
    "--dir",
    "mounts",
    metavar="HOST::GUEST[:ro]",
    multiple=True,
    shell_complete=directory_names,
    callback=parsed_by(lambda texts: parse_mounts([parse_mount(each) for each in texts])),
    help="Let the guest see the directory HOST of this machine as GUEST, and nothing above it; with :ro it cannot "
    "change anything there. May be repeated.",
)
input_files_option = click.option(
    "--input-file",
    "input_files",
    metavar="FILE|-",
    multiple=True,
    shell_complete=file_names,
    help="A file whose content is the guest's stdin; - reads this command's stdin. Repeated, the others are "
    "api://input/1 and so on.",
)
dtypes_option = click.option(
    "--dtype",
    "dtypes",
    metavar="TYPE",
    multiple=True,
    shell_complete=dtype_words,
    callback=parsed_by(lambda texts: tuple(map(parse_dtype, texts))),
    help="The input is an array of this type, such as float32: its elements in C order, little-endian. With --shape. "
    "Repeated, the second one tells of the second input, and so on.",
)
shapes_option = click.option(
    "--shape",
    "shapes",
    metavar="N,N…",
    multiple=True,
    callback=parsed_by(lambda texts: tuple(map(parse_shape, texts))),
    help="The shape of the array that the input is, such as 120,180; one for each --dtype.",
)
output_file_option = click.option(
    "--output-file",
    cls=FacedOption,
    face="cli",
    metavar="FILE",
    shell_complete=file_names,
    help="Write the output into FILE instead of stdout.",
)
variable_in_option = click.option(
    "-i",
    "variable_in",
    cls=FacedOption,
    face="magic",
    metavar="VAR",
    shell_complete=variables_with_bytes,
    help="Take the bytes from this variable (bytes, str, array).",
)
variables_in_option = click.option(
    "-i",
    "variables_in",
    cls=FacedOption,
    face="magic",
    metavar="VAR",
    multiple=True,
    shell_complete=variables_with_bytes,
    help="Take the input from this variable (bytes, str, array). Repeated, the others are api://input/1 and so on.",
)
variable_out_option = click.option(
    "-o",
    "variable_out",
    cls=FacedOption,
    face="magic",
    metavar="VAR",
    shell_complete=variables,
    help="Put what comes back into this variable, unshown.",
)


noblock_option = click.option(
    "--noblock",
    cls=FacedOption,
    face="magic",
    is_flag=True,
    help="Start the call and go on at once: what comes back is a handle that can be awaited and cancelled.",
)


def limit_option(help: str) -> Callable[[Decorated], Decorated]:
    """Declare ``--limit``, with what it does for this verb."""
    return click.option(
        "--limit",
        "limits",
        metavar="NAME=VALUE",
        multiple=True,
        shell_complete=limit_words,
        callback=parsed_by(parse_limits),
        help=f"{help} For example timeout_seconds=2 or memory_bytes=64MiB; may be repeated.",
    )


allow_host_option = click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="HOST[:PORT]",
    multiple=True,
    callback=parsed_by(lambda hosts: parse_grants((), hosts)),
    help="A host that the function may send requests to; may be repeated.",
)


def declaration_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare what is said about a function when it is registered; the callback gets it as ``declaration``."""

    @functools.wraps(function)
    def with_declaration(
        *args: Any,
        mode: Mode | None,
        entry: str | None,
        grants: Grants,
        allowed_hosts: Grants,
        limits: Mapping[str, Number],
        reusable: bool,
        deterministic: bool,
        **kwargs: Any,
    ) -> Any:
        sealed = Grants(grants.permissions, allowed_hosts.allowed_hosts)
        declaration = Declaration(mode, entry, sealed, limits, reusable, deterministic)
        return function(*args, declaration=declaration, **kwargs)

    decorators = (
        mode_option,
        entry_option,
        click.option(
            "--grant",
            "grants",
            metavar="GRANT",
            multiple=True,
            shell_complete=grant_words,
            callback=parsed_by(parse_grants),
            help="What the function may reach: kv:PREFIX, buffer:GLOB, blob, call:GLOB and so on; may be repeated.",
        ),
        allow_host_option,
        limit_option("Lower a limit of this function."),
        click.option("--reusable", is_flag=True, help="A warm instance may serve several direct calls of one caller."),
        click.option("--deterministic", is_flag=True, help="Equal inputs give equal outputs: no clock, no random."),
    )
    for decorate in reversed(decorators):
        decorate(with_declaration)
    return with_declaration


def with_arrays(
    inputs: Sequence[CallInput], dtypes: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> list[CallInput]:
    """Give the inputs with the headers that ``--dtype`` and ``--shape`` stand for, the first with the first of them.

    Raises
    ------
    UsageError
        There are not as many of the one as of the other, or more than inputs.
    """
    if len(dtypes) != len(shapes):
        raise usage_error("--dtype and --shape say only together what array the input is")
    if len(dtypes) > len(inputs):
        raise usage_error(f"--dtype is given {len(dtypes)} times, more often than there are inputs ({len(inputs)})")
    told = [array_headers(parse_array(dtype, shape)) for dtype, shape in zip(dtypes, shapes, strict=True)]
    arrays = [
        CallInput(each.content, {**each.headers, **{name: headers[name] for name in ("moc-dtype", "moc-shape")}})
        for each, headers in zip(inputs, told, strict=False)
    ]
    return [*arrays, *inputs[len(arrays) :]]


def only_one(given: Mapping[str, object]) -> str | None:
    """Give the name of the one source that was given, or None; UsageError when there are several."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise usage_error(f"{' and '.join(named)} exclude one another")
    return named[0] if named else None


def read_source(host: Host, path: str) -> bytes:
    """Read a file, or stdin for ``-``."""
    return host.stdin() if path == "-" else host.read_file(path)


def check_sources(files: Sequence[str]) -> None:
    """Refuse to read standard input twice (UsageError), or more files than a call has inputs (InvalidInputError)."""
    if len(files) > INPUTS_MAX:
        raise too_many_inputs(len(files))
    if files.count("-") > 1:
        raise usage_error("--input-file - is given twice, and there is one standard input")


def parts_of(file: BinaryIO, path: str) -> Iterator[bytes]:
    """Read a file, a pipe or a terminal in parts, as they come; InvalidInputError when it cannot be read further."""
    try:
        yield from _parts(file)
    except OSError as error:
        raise InvalidInputError(f"{path!r} cannot be read: {error.strerror or error}.", path=path) from None


def _parts(file: BinaryIO) -> Iterator[bytes]:
    # What lies below the buffer: a thread that waits in it would keep its lock to the end of the process.
    raw: Any = getattr(file, "raw", file)
    while True:
        part = raw.read(_PART_BYTES)
        if part is None:  # Somebody else has made it non-blocking.
            select.select([raw], [], [])
        elif part:
            yield part
        else:
            return


def variable_bytes(host: Host, name: str) -> bytes:
    """Give the bytes of the person's variable.

    Raises
    ------
    InvalidInputError
        There is no such variable, or it is neither text nor bytes.
    """
    value = host.variable(name)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if hasattr(type(value), "__bytes__"):
        return bytes(value)  # type: ignore[call-overload, no-any-return]
    try:
        return memoryview(value).tobytes()  # type: ignore[arg-type]
    except TypeError:
        raise InvalidInputError(
            f"Variable {name!r} is {type(value).__name__}: expected bytes, str, or an array that has a buffer."
        ) from None
