"""A call in a terminal: output to stdout or into a file, stderr to stderr, both as they come."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import BinaryIO, Self

from ..abc import CallStreams
from ..errors import GuestError, InvalidInputError
from ..model import CallResult
from ..verbs.outcome import CallOutcome, format_size
from .progress import SilentProgress, TerminalProgress, terminal_progress
from .show import write_stderr, write_stdout


@contextmanager
def terminal_call(function: str, *, output_file: str | None, as_json: bool, is_typed: bool) -> Iterator[TerminalCall]:
    """Show a call that runs inside of the ``with``.

    Parameters
    ----------
    as_json
        Show nothing and leave all in the result.
    is_typed
        The input is being typed into this terminal, where progress would be in the way.
    """
    showing = nullcontext(SilentProgress()) if is_typed else terminal_progress(f"calling {function!r}")
    with ReplacedFile(output_file) as file, showing as progress:
        call = TerminalCall(function, file, progress, as_json=as_json)
        try:
            yield call
        except GuestError as error:
            call.failed(error)
            raise


class TerminalCall:
    """One call on its way: the :class:`~..verbs.host.CallView` of a terminal."""

    def __init__(
        self, function: str, file: ReplacedFile, progress: TerminalProgress | SilentProgress, *, as_json: bool
    ) -> None:
        self._function = function
        self._file = file
        self._progress = progress
        self._size = 0
        self._in_line = False
        self._in_stderr_line = False
        self._as_json = as_json

    @property
    def streams(self) -> CallStreams:
        """What writes the parts."""
        return CallStreams() if self._as_json else CallStreams(output=self._write, stderr=self._write_stderr)

    def ended(self, result: CallResult) -> CallOutcome:
        """Complete the file; the numbers of a direct call are left to be shown."""
        if self._as_json and self._file.path is not None:
            self._file.write(result.output)
        self._file.commit()
        if self._in_line and result.result is not None:
            write_stdout(b"\n")
        return CallOutcome(result, self._function, is_shown=not self._as_json)

    def failed(self, error: GuestError) -> None:
        """Make way for the message, which need not repeat what was shown."""
        if not self._as_json:
            error.leave_out_stderr()
        if self._in_stderr_line:
            write_stderr(b"\n")

    def _write(self, part: bytes) -> None:
        self._size += len(part)
        if self._file.path is not None:
            self._file.write(part)
        else:
            if _is_terminal(sys.stdout):
                self._progress.end()
            write_stdout(part)
            self._in_line = part[-1:] != b"\n"
        self._progress.update(label=f"calling {self._function!r}, {format_size(self._size)} of output")

    def _write_stderr(self, part: bytes) -> None:
        self._progress.end()
        write_stderr(part)
        self._in_stderr_line = part[-1:] != b"\n"


class ReplacedFile:
    """A file that is written beside its place and put there at the end; without a commit nothing has changed.

    What is no regular file (a device, a pipe) is written directly. Use it in a ``with``.

    Parameters
    ----------
    path
        None for no file at all.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._target = ""
        self._temporary: str | None = None
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            try:
                self._open(self.path)
            except (OSError, ValueError) as error:
                raise self._unwritable(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # What failed was said when it did.
                self._file.close()
        if self._temporary is not None:
            with suppress(OSError):
                os.unlink(self._temporary)

    def write(self, part: bytes) -> None:
        """Write one part; InvalidInputError says why it cannot be."""
        if self._file is not None:
            try:
                self._file.write(part)
                if self._temporary is None:
                    self._file.flush()  # Somebody may be reading at the other end.
            except OSError as error:
                raise self._unwritable(error) from None

    def commit(self) -> None:
        """Put the file in its place."""
        if self._file is None:
            return
        try:
            self._file.close()
            if self._temporary is not None:
                os.replace(self._temporary, self._target)
                self._temporary = None
        except OSError as error:
            raise self._unwritable(error) from None

    def _open(self, path: str) -> None:
        # A link stays a link: what it leads to is replaced.
        self._target = os.path.realpath(path)
        mode = None
        with suppress(FileNotFoundError):
            mode = os.stat(self._target).st_mode
        if mode is not None and not stat.S_ISREG(mode):
            self._file = open(self._target, "wb")  # noqa: SIM115 - closed by __exit__
            return
        if mode is not None and not os.access(self._target, os.W_OK):
            raise PermissionError(13, "Permission denied")
        temporary = f"{self._target}.{os.getpid():x}.part"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._temporary = temporary
        self._file = open(descriptor, "wb")  # noqa: SIM115 - closed by __exit__
        if mode is not None:
            os.fchmod(descriptor, stat.S_IMODE(mode))

    def _unwritable(self, error: OSError | ValueError) -> InvalidInputError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return InvalidInputError(f"{self.path!r} cannot be written: {reason}.", path=self.path)


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty is not None and isatty())
