"""Bodies that are no stored thing by themselves, on their way to what becomes of them: spooled, or in memory.

Each is a :class:`~..abc.Receiver`, so that such a body comes as those of buffers do. What it becomes, the nouns know.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Generic, Self, TypeVar

from ..abc import Bytes
from ..errors import BodyTooLargeError, StorageError, StorageFullError

Record = TypeVar("Record")

_MEMORY_BYTES: Final = 1 << 20


class SpooledBody(Generic[Record]):
    """A body that goes to a file without a name, which is gone with the request; small ones stay in memory.

    Parameters
    ----------
    store
        Makes what is stored of the file, which it reads from the beginning.
    max_bytes
        What is larger is refused.
    what
        Names it, for messages.
    """

    def __init__(self, store: Callable[[IO[bytes]], Record], *, max_bytes: int, what: str) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._what = what
        self._size = 0
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115 - closed by `close`

    def write(self, part: Bytes) -> None:
        """Take the next part.

        Raises
        ------
        BodyTooLargeError, StorageFullError, StorageError
            It is larger than it may be, or cannot be written. Nothing is stored.
        """
        self._size += len(part)
        if self._size > self._max_bytes:
            raise BodyTooLargeError(self._max_bytes)
        try:
            self._file.write(part)
        except OSError as error:
            self.close()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFullError(self._what) from error
            raise StorageError(f"Receiving {self._what} failed: {error.strerror}.", what=self._what) from error

    def commit(self) -> Record:
        """Store what came."""
        self._file.seek(0)
        return self._store(self._file)

    def close(self) -> None:
        """Forget what came; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
