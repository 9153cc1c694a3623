"""The verb ``run``: one local module with this process's own streams: nothing is registered, no storage opened."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from ..errors import InvalidInputError, LimitExceededError, MocError
from ..invocation import (
    check_arguments,
    check_env,
    check_inputs,
    check_mounts,
    check_text_size,
    choose_start,
    has_array,
    parse_numbers,
)
from ..model import CallInput, Grants, Invocation, Limits, Mode, Mount, Number
from ..model.bound_imports import not_bound
from ..model.exports import caller_signature, entry_name
from ..verbs.commands import Verb
from ..verbs.compiling import module_of
from ..verbs.completion import file_names
from ..verbs.options import (
    allow_host_option,
    check_sources,
    dir_option,
    dtypes_option,
    entry_option,
    env_option,
    input_files_option,
    limit_option,
    mode_option,
    read_source,
    shapes_option,
    with_arrays,
)
from ..verbs.outcome import CallOutcome
from .host import TerminalHost

if TYPE_CHECKING:
    from ..model import CallResult, ModuleInterface


@click.command(
    cls=Verb,
    verbatim_tail=True,
    example=[
        "moc run uppercase.wasm",
        "moc run --dir ./texts::/texts:ro wc.wasm /texts/moby.txt",
        "moc run --env LANG=C --limit timeout_seconds=5 cowsay.wasm -d hello",
    ],
)
@mode_option
@entry_option
@env_option
@dir_option
@input_files_option
@dtypes_option
@shapes_option
@allow_host_option
@limit_option("Set a limit, in either direction; waiting for stdin counts as time.")
@click.argument("file", shell_complete=file_names)
@click.argument("arguments", metavar="[ARGS]…", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(
    host: TerminalHost,
    file: str,
    arguments: tuple[str, ...],
    mode: Mode | None,
    entry: str | None,
    env: Mapping[str, str],
    mounts: tuple[Mount, ...],
    input_files: tuple[str, ...],
    dtypes: tuple[str, ...],
    shapes: tuple[tuple[int, ...], ...],
    allowed_hosts: Grants,
    limits: dict[str, Number],
) -> CallOutcome:
    """Run one local module, with this terminal's stdin, stdout and stderr.

    FILE is a WebAssembly module, or a source file (.c, .wat), which is compiled first. Options come before it;
    everything after it belongs to the guest. The guest sees no file of this machine but what --dir opens, and of the
    network only the hosts that it was allowed. Its exit code becomes this command's.
    """
    if mounts:
        # Here already: compiling may take long.
        from ..engines.wasi.hostfs import check_directories

        check_directories(mounts)
    module = module_of(host, file).content
    check_sources(input_files)
    given = [CallInput(read_source(host, each)) for each in input_files]
    inputs = with_arrays(given or [CallInput(b"")], dtypes, shapes)
    name = PurePath(file).stem
    result = _run(host, name, module, arguments, mode, entry, env, mounts, inputs, not given, allowed_hosts, limits)
    return CallOutcome(result, name)


def _run(
    host: TerminalHost,
    name: str,
    module: bytes,
    arguments: tuple[str, ...],
    mode: Mode | None,
    entry: str | None,
    env: Mapping[str, str],
    mounts: tuple[Mount, ...],
    inputs: list[CallInput],
    reads_stdin: bool,
    allowed_hosts: Grants,
    limits: dict[str, Number],
) -> CallResult:
    from ..buffers.exchange import input_buffers
    from ..buffers.streamed import SourceBuffer
    from ..cluster import default_cache_directory
    from ..egress.network import Network
    from ..engines.wasi import PREVIEW1, UNSTABLE
    from ..engines.wasm import WasmEngine
    from ..guest_api.context import CallContext
    from ..guest_api.core import CORE
    from .streams import StreamBuffer, TerminalContext, stdin_parts

    if sys.stdout is None:
        raise InvalidInputError("Standard output is closed.")
    engine = WasmEngine([CORE, PREVIEW1, UNSTABLE], cache_directory=default_cache_directory())
    try:
        interface = engine.inspect(name, module)
        if interface.bound_imports:
            raise not_bound(name, interface.bound_imports[0], engine.guest_modules)
        invocation = _resolve(
            name,
            module,
            interface,
            arguments,
            mode,
            entry,
            env,
            mounts,
            allowed_hosts,
            limits,
            has_array(inputs[0].headers),
        )
        check_inputs(inputs[1:], first=1)
        source, *more = input_buffers(inputs)
        if reads_stdin:
            source = SourceBuffer(stdin_parts())
            source.headers.update(inputs[0].headers)
        if host.settings.json:
            context = CallContext(invocation, source, more_inputs=more, network=Network())
            return engine.run(context, lambda: module)
        stdout = StreamBuffer(sys.stdout.buffer)
        try:
            context = TerminalContext(invocation, source, stdout, more_inputs=more, network=Network())
            result = engine.run(context, lambda: module)
        except MocError:
            if stdout.broken:
                raise BrokenPipeError from None
            raise
        if result.result is not None and stdout.in_line:
            stdout.write(b"\n")
        return result
    except LimitExceededError as error:
        raise _for_run(error) from None
    finally:
        engine.close()


def _resolve(
    name: str,
    module: bytes,
    interface: ModuleInterface,
    arguments: tuple[str, ...],
    mode: Mode | None,
    entry: str | None,
    env: Mapping[str, str],
    mounts: tuple[Mount, ...],
    allowed_hosts: Grants,
    limits: dict[str, Number],
    is_array: bool,
) -> Invocation:
    chosen, start = choose_start(
        name, requested=(mode, entry), declared=(None, None), exports=interface.exports, has_array=is_array
    )
    signature = caller_signature(start, interface.exports[start])
    numbers: tuple[Number, ...] = ()
    size = check_env(env)
    if chosen is Mode.POSIX:
        size += check_arguments(arguments)
    else:
        numbers, arguments = parse_numbers(name, entry_name(start), signature, arguments), ()
    check_text_size(size)
    check_mounts(name, chosen, mounts, deterministic=False)
    return Invocation(
        function=name,
        blob_id=hashlib.sha256(module).hexdigest(),
        mode=chosen,
        entry=start,
        numbers=numbers,
        arguments=arguments,
        env=env,
        grants=allowed_hosts,
        limits=Limits().replaced(limits),
        mounts=mounts,
    )


def _for_run(error: LimitExceededError) -> LimitExceededError:
    """Say how `moc run` raises a limit: there is no server and no registration that could hold it down."""
    limit = error.details["limit"]
    return LimitExceededError(**error.details, advice=f"Raise it with `moc run --limit {limit}=…`.")
