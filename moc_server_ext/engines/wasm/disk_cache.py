"""Compiled modules on disk: machine code that this installation made, and nothing else.

What is loaded from here runs natively, so the directory must belong to this user and be closed to others, each file
must be a regular one of this user, and its checksum must fit; what does not is compiled again. Nothing here is worth a
backup: a lost file costs one compilation. A file is mapped for as long as its module is loaded, so it is replaced or
removed and never written again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import mmap
import os
import platform
import stat
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from ...errors import InvalidInputError
from .profiles import CONFIGURATION

_log = logging.getLogger(__name__)

MAX_BYTES: Final = 1 << 30
_MAGIC: Final = b"moc-cwasm 3\n"
# At the end, so that the library can map the file as it is.
_TRAILER: Final = struct.Struct(f"<{len(_MAGIC)}sII32s")
_SUFFIX: Final = ".cwasm"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled module.

    Parameters
    ----------
    memories, tables
        How many of them the module defines.
    path
        A file that begins with the same machine code; empty where there is none.
    """

    machine_code: bytes | memoryview
    memories: int
    tables: int
    path: str = ""


class DiskCache:
    """Compiled modules by blob id; safe for several threads and processes.

    Parameters
    ----------
    directory
        Made with mode 0700 when it is not there.
    max_bytes
        Above this the files that were not used for longest go.

    Raises
    ------
    InvalidInputError
        Others may write into `directory`, or it belongs to someone else.
    """

    def __init__(self, directory: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._fingerprint = _fingerprint()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            whose = "belongs to another user" if found.st_uid != os.geteuid() else (
                f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
            )  # fmt: skip
            raise InvalidInputError(
                f"The directory for compiled modules, {str(directory)!r}, {whose}, and what lies there would be run as "
                f"native code. Run `chmod 700 {directory}` as its owner, or choose another directory.",
                path=str(directory),
            )

    @contextlib.contextmanager
    def open(self, blob_id: str) -> Iterator[Artifact | None]:
        """Look at a module, whose file stays open meanwhile; None when there is none that can be trusted."""
        path = self._path(blob_id)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            artifact = _read(descriptor)
            if artifact is None:
                _log.warning("the compiled module %s is damaged, or not of this user, and will be compiled again", path)
            else:
                with contextlib.suppress(OSError):
                    os.utime(path)
            yield artifact
        finally:
            os.close(descriptor)

    def put(self, blob_id: str, artifact: Artifact) -> None:
        """Keep a module; readers see all of it or nothing. A full disk is logged: it costs the next compilation."""
        trailer = _TRAILER.pack(_MAGIC, artifact.memories, artifact.tables, _digest(artifact))
        temporary = None
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self._directory, suffix=".part")
            with open(descriptor, "wb") as file:
                file.write(artifact.machine_code)
                file.write(trailer)
            os.replace(temporary, self._path(blob_id))
            temporary = None
        except OSError as error:
            _log.warning("the compiled module %s could not be kept: %s", blob_id, error)
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
        self._shrink()

    def remove(self, blob_id: str) -> None:
        """Forget a module."""
        with contextlib.suppress(OSError):
            self._path(blob_id).unlink()

    def _path(self, blob_id: str) -> Path:
        return self._directory / f"{blob_id}-{self._fingerprint}{_SUFFIX}"

    def _shrink(self) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self._directory.glob(f"*{_SUFFIX}"):
            # Another process may be at the same.
            with contextlib.suppress(OSError):
                about = path.stat()
                files.append((about.st_mtime, about.st_size, path))
        excess = sum(size for _, size, _ in files) - self._max_bytes
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= size


def _read(descriptor: int) -> Artifact | None:
    about = os.fstat(descriptor)
    size = about.st_size - _TRAILER.size
    if size <= 0 or not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
        return None
    content = memoryview(mmap.mmap(descriptor, about.st_size, access=mmap.ACCESS_READ))
    magic, memories, tables, digest = _TRAILER.unpack_from(content, size)
    # By the descriptor: what is loaded is what was looked at, whatever its name now stands for.
    artifact = Artifact(content[:size], memories, tables, f"/dev/fd/{descriptor}")
    return artifact if magic == _MAGIC and digest == _digest(artifact) else None


def _digest(artifact: Artifact) -> bytes:
    counts = struct.pack("<II", artifact.memories, artifact.tables)
    return hashlib.sha256(counts + hashlib.sha256(artifact.machine_code).digest()).digest()


def _fingerprint() -> str:
    facts = (
        _MAGIC,
        metadata.version("wasmtime"),
        platform.system(),
        platform.machine(),
        _processor_features(),
        CONFIGURATION,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _processor_features() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return platform.processor()
