"""The nouns in Python's own forms: ``moc.functions[name]`` and ``moc.buffers[name] = …``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import BufferNotFoundError, FunctionNotFoundError, InvalidInputError, MocError
from ..model import (
    DEFAULT_CONTENT_TYPE,
    WASM_CONTENT_TYPE,
    ArraySpec,
    BufferRecord,
    Declaration,
    FunctionRecord,
    LogRecord,
    parse_compression,
)
from ..storage.log_handle import OpenLog
from .copying import given_of
from .handles import BufferHandle, FunctionHandle
from .http import hurried
from .inspection import describe_functions
from .values import Labels, to_bytes, to_given

if TYPE_CHECKING:
    from .client import Client

_GLANCE_SECONDS = 0.4
# Inside of the classes, `list` is a method.
_Names = list[str]


class FunctionsView:
    """The registered functions, by name or as attributes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def put(
        self,
        name: str,
        content: Any,
        declaration: Declaration = Declaration(),
        content_type: str = WASM_CONTENT_TYPE,
    ) -> FunctionRecord:
        """Register `content` under `name`; see :meth:`..abc.Functions.put`."""
        return self._client.platform.functions.put(to_text(name), to_bytes(content), declaration, content_type)

    def list(self) -> Sequence[FunctionRecord]:
        """List all functions, sorted by name."""
        return self._client.platform.functions.list()

    def __getitem__(self, name: str) -> FunctionHandle:
        return FunctionHandle(self._client, self._client.platform.functions.get(to_text(name)))

    def __getattr__(self, name: str) -> FunctionHandle:
        # Protocols of Python and IPython are looked up here as well; they must not become requests.
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except FunctionNotFoundError as error:
            raise AttributeError(error.message) from error

    def __delitem__(self, name: str) -> None:
        self._client.platform.functions.delete(to_text(name))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self._client.platform.functions.get(name)
        except FunctionNotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter([each.name for each in self.list()])

    def __len__(self) -> int:
        return len(self.list())

    def getdoc(self) -> str:
        """Describe the functions; IPython shows this for ``?`` and Shift-Tab, also inside of ``functions[…]``."""
        return describe_functions(hurried(self._client.platform, _GLANCE_SECONDS).functions.list())

    def __dir__(self) -> _Names:
        return [*super().__dir__(), *(name for name in self._ipython_key_completions_() if name.isidentifier())]

    def _ipython_key_completions_(self) -> _Names:
        try:
            return [each.name for each in hurried(self._client.platform, _GLANCE_SECONDS).functions.list()]
        except MocError:
            return []  # Whoever only looks is not told that the server is away.

    def __repr__(self) -> str:
        return _names("functions", self)


class BuffersView:
    """The stored buffers, by name."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def put(
        self,
        name: str,
        value: Any,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunks: Sequence[int] | None = None,
        dims: Sequence[str | None] | None = None,
        attributes: Mapping[str, Any] | None = None,
        compression: str | None = None,
    ) -> BufferRecord:
        """Store `value` under `name`, replacing what was there; durable on return.

        Parameters
        ----------
        value
            Bytes, text (as UTF-8), a `pathlib.Path` of a file, a file that is open in binary mode, an iterator that
            gives bytes in parts; an array of NumPy, or anything that gives one; an array or a group of zarr; a Dataset
            or a DataArray of xarray; another buffer; the result of a call. Of files, iterators, and arrays that are
            not in memory, no more than a part is in memory at once; what they raise goes on, and nothing is stored.
        content_type, headers
            In the place of those that the value brings along.
        chunks, dims, attributes
            For an array: the shape of its chunks (by default runs of about 8 MiB), a name for each axis, and what else
            there is to say of it, as JSON.
        compression
            ``"zstd"`` stores bytes or an array compressed, with a checksum; without it they are stored as they are.

        Raises
        ------
        InvalidInputError
            `value` cannot be stored, and the message says what to do instead. Nothing was changed.
        """
        labels = Labels(chunks, dims, attributes)
        if isinstance(value, BufferHandle):
            given = given_of(value._platform, value.name, labels, content_type=content_type, headers=headers)
        else:
            given = to_given(value, labels, content_type=content_type, headers=headers)
        return given.store(self._client.platform.buffers, to_text(name), parse_compression(compression))

    def open_log(
        self,
        name: str,
        content_type: str = DEFAULT_CONTENT_TYPE,
        headers: Mapping[str, str] | None = None,
        *,
        array: ArraySpec | None = None,
    ) -> OpenLog:
        """Begin a buffer that is appended to in parts: ``with moc.buffers.open_log(name) as log: log.append(b"…")``.

        Each part is durable when `append` returns. At the end of the block the log is sealed: it is the buffer then. A
        block that raises leaves it open.

        Raises
        ------
        ConflictError
            A log of this name is open; :meth:`resume_log` goes on with it.
        """
        log = self._client.platform.buffers.open_log(to_text(name), content_type, headers, array=array)
        return OpenLog(self._client.platform.buffers, log.record)

    def resume_log(self, name: str) -> OpenLog:
        """Go on with an open log, also after a crash or a restart; LogNotFoundError if there is none."""
        buffers = self._client.platform.buffers
        return OpenLog(buffers, buffers.log(to_text(name)))

    def logs(self) -> Sequence[LogRecord]:
        """List the open logs, sorted by name."""
        return self._client.platform.buffers.logs()

    def copy(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Store a buffer under another name as well, at once and without copying its bytes.

        Raises
        ------
        ConflictError
            There is a buffer of the new name; `overwrite` replaces it.
        """
        return self._client.platform.buffers.copy(to_text(old), to_text(new), overwrite=overwrite)

    def rename(self, old: str, new: str, *, overwrite: bool = False) -> BufferRecord:
        """Give a buffer another name; raises as :meth:`copy` does."""
        return self._client.platform.buffers.rename(to_text(old), to_text(new), overwrite=overwrite)

    def list(self) -> Sequence[BufferRecord]:
        """List all buffers, sorted by name."""
        return self._client.platform.buffers.list()

    def __getitem__(self, name: str) -> BufferHandle:
        self._client.platform.buffers.stat(to_text(name))  # A name that is not there fails here, not at the first read.
        return BufferHandle(self._client, name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.put(name, value)

    def __delitem__(self, name: str) -> None:
        self._client.platform.buffers.delete(to_text(name))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self._client.platform.buffers.stat(name)
        except BufferNotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter([each.name for each in self.list()])

    def __len__(self) -> int:
        return len(self.list())

    def _ipython_key_completions_(self) -> _Names:
        try:
            return [each.name for each in hurried(self._client.platform, _GLANCE_SECONDS).buffers.list()]
        except MocError:
            return []

    def __repr__(self) -> str:
        return _names("buffers", self)


def to_text(name: Any) -> str:
    """Give `name` if it is text; InvalidInputError if not."""
    if isinstance(name, str):
        return name
    raise InvalidInputError(f"A name is text, not {type(name).__name__}.")


def _names(what: str, names: Iterator[str] | Any) -> str:
    listed = list(names)
    return f"<{what}: {', '.join(listed)}>" if listed else f"<{what}: none>"
