"""The one list of verbs."""

from __future__ import annotations

from . import (
    backups,
    buffers,
    calls,
    checking,
    collecting,
    compiling,
    doctor,
    exporting,
    functions,
    inspecting,
    keyvalues,
    plans,
    replication,
    status,
)
from .commands import Face, VerbGroup

_CLI_HELP = """My Own Cluster: functions in WebAssembly, storage and an HTTPS API on this machine.

Talks to the server at --url or to the one that owns the storage; without a server it opens the storage itself.
"""
_MAGIC_HELP = "My Own Cluster: functions in WebAssembly, storage and an HTTPS API on this machine."


def build_group(face: Face) -> VerbGroup:
    """Give all verbs of a face, newly built.

    What needs a process of its own (``serve``, ``run``) is added by the command line.

    Parameters
    ----------
    face
        ``cli`` for the command line, ``magic`` for notebook cells.
    """
    group = VerbGroup("moc", help=_CLI_HELP if face == "cli" else _MAGIC_HELP)
    for verb in (
        functions.push,
        calls.call,
        calls.calls,
        functions.functions,
        functions.function,
        buffers.buffers,
        buffers.buffer,
        inspecting.inspect_buffer,
        keyvalues.kv,
        exporting.export_zarr,
        plans.mapreduce,
        plans.runs,
        compiling.compile_file,
        compiling.guest_api,
        *(compiling.cell_verb(*each) for each in compiling.CELL_LANGUAGES),
        inspecting.browse,
        backups.backup,
        backups.take_over,
        checking.fsck,
        status.connect,
        status.status,
        collecting.gc,
        replication.promote,
        doctor.doctor,
    ):
        group.add_command(verb)
    return group.for_face(face)
