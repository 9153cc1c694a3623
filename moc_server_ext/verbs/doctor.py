"""The verb ``doctor``: what this machine has, what is missing, and how to get it.

Every check really does what it speaks of: a guest runs, the storage opens, the server answers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import click

from ..errors import MocError
from .commands import Verb
from .host import Host
from .outcome import MessageOutcome, format_size, visible

_ANSWER = '(module (func (export "answer") (result i32) i32.const 42))'

_REINSTALL = "pip install --force-reinstall my-own-cluster"

_EXTRAS = {"lab": "jupyterlab", "c": "ziglang", "dask": "distributed"}


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Parameters
    ----------
    state
        ``missing`` is something optional; ``fault`` is something that moc cannot do without.
    fix
        What to do about it; empty when nothing is to be done.
    """

    subject: str
    state: Literal["ok", "missing", "fault"]
    found: str
    fix: str = ""


@click.command(cls=Verb, example=["moc doctor"])
@click.pass_obj
def doctor(host: Host) -> MessageOutcome:
    """Check what this machine has: compilers, engine, storage, server.

    The exit code is 1 when something is broken, 0 when only optional parts are missing.
    """
    checks = [
        _python(),
        _checked_engine(),
        *_compilers(),
        *_extras(),
        *_platform(host),
        Check("isolation", "ok", "wasmtime's own; no process isolation is claimed"),
    ]
    width = max(len(each.subject) for each in checks)
    lines = []
    for each in checks:
        lines.append(f"{each.state:<8} {each.subject:<{width}}  {visible(each.found)}")
        if each.fix:
            lines.append(f"{'':<8} {'':<{width}}  -> {each.fix}")
    faults = sum(each.state == "fault" for each in checks)
    lines.append("everything needed is here" if not faults else f"{faults} fault{'s' if faults > 1 else ''} found")
    return MessageOutcome("\n".join(lines), {"checks": [asdict(each) for each in checks]}, status=int(faults > 0))


def _checked_engine() -> Check:
    try:
        return _engine()
    except MocError as error:
        return Check("engine", "fault", error.message)
    except ImportError as error:
        return Check("engine", "fault", f"cannot be loaded: {error}", _REINSTALL)


def _python() -> Check:
    version = sys.version.split()[0]
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("python", "fault", f"{version} at {sys.executable}", "use Python 3.11, 3.12 or 3.13")
    return Check("python", "ok", f"{version} at {sys.executable}")


def _engine() -> Check:
    import tempfile
    from importlib.metadata import version
    from pathlib import Path

    from .. import compilers
    from ..buffers.exchange import ExchangeBuffer
    from ..engines.wasm import WasmEngine
    from ..guest_api.context import CallContext
    from ..model import Invocation, Mode

    module = compilers.compiler_for("wat").compile(_ANSWER, filename="answer.wat").content
    invocation = Invocation("answer", "0" * 64, Mode.DIRECT, "answer")
    with tempfile.TemporaryDirectory(prefix="moc-doctor-") as cache:
        engine = WasmEngine((), cache_directory=Path(cache))
        try:
            result = engine.run(CallContext(invocation, ExchangeBuffer(b"")), lambda: module)
        finally:
            engine.close()
    name = f"wasmtime {version('wasmtime')}"
    if result.result != 42:
        return Check("engine", "fault", f"{name}: a guest that answers 42 gave {result.result}")
    return Check("engine", "ok", f"{name}: a guest ran in {result.duration_us:,} µs")


def _compilers() -> Iterator[Check]:
    from .. import compilers

    for compiler in compilers.all_compilers():
        subject = f"compiler {compiler.language}"
        description = compiler.describe()
        if description is not None:
            yield Check(subject, "ok", description)
        else:
            yield Check(subject, "missing", "not installed", _install(compiler.language))


def _extras() -> Iterator[Check]:
    from importlib.util import find_spec

    for extra, package in _EXTRAS.items():
        if find_spec(package) is not None:
            yield Check(f"extra {extra}", "ok", f"{package} is installed")
        else:
            yield Check(f"extra {extra}", "missing", f"{package} is not installed", _install(extra))


def _install(extra: str) -> str:
    return f"pip install 'my-own-cluster[{extra}]'"


def _platform(host: Host) -> Iterator[Check]:
    """Talk to the server, or open the storage, as every verb does; opening proves that it can be written."""
    try:
        client = host.client
        facts = client.platform.status()
    except MocError as error:
        yield Check("platform", "fault", error.message)
        return
    except ImportError as error:
        yield Check("platform", "fault", f"cannot be loaded: {error}", _REINSTALL)
        return
    yield Check("platform", "ok", f"{client.origin} answers")
    storage = facts.get("storage")
    if isinstance(storage, Mapping):
        owner = "this command" if facts.get("pid") == os.getpid() else f"process {facts.get('pid')}"
        free = storage.get("free_bytes")
        room = f", {format_size(free)} free" if isinstance(free, int) else ""
        if storage.get("read_only"):
            yield Check("storage", "fault", f"{storage.get('path')} is only read: {storage['read_only']}", "moc fsck")
            return
        yield Check("storage", "ok", f"{storage.get('path')}: format {storage.get('format')}, owned by {owner}{room}")
