"""The nouns in Python's own forms: ``moc.functions[name]``, ``moc.buffers[name] = …``, ``moc.kv[key]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..abc import Bytes
from ..errors import BufferNotFoundError, FunctionNotFoundError, InvalidInputError, KeyNotFoundError, MocError
from ..model import (
    DEFAULT_CONTENT_TYPE,
    WASM_CONTENT_TYPE,
    BufferRecord,
    Declaration,
    FunctionRecord,
    parse_content_type,
)
from .handles import BufferHandle, FunctionHandle
from .http import hurried
from .inspection import describe_functions
from .parts import FileParts

if TYPE_CHECKING:
    from .client import Client

_TEXT_CONTENT_TYPE = "text/plain; charset=utf-8"
_PAGE = 1000
_GLANCE_SECONDS = 0.4
# Inside of the classes, `list` is a method.
_Names = list[str]
_Keys = list[bytes]


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
        content: Any,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> BufferRecord:
        """Store `content` under `name`, replacing what was there; durable on return.

        Parameters
        ----------
        content
            Bytes, text (as UTF-8), a file that is open in binary mode, or an iterator that gives bytes in parts. Of
            the last two no more than a part is in memory at once; what they raise goes on, and nothing is stored.
        """
        if content_type is None:
            content_type = _TEXT_CONTENT_TYPE if isinstance(content, str) else DEFAULT_CONTENT_TYPE
        content_type = parse_content_type(content_type)
        return self._client.platform.buffers.put(to_text(name), to_content(content), content_type, headers)

    def list(self) -> Sequence[BufferRecord]:
        """List all buffers, sorted by name."""
        return self._client.platform.buffers.list()

    def __getitem__(self, name: str) -> BufferHandle:
        self._client.platform.buffers.stat(to_text(name))  # A name that is not there fails here, not at the first read.
        return BufferHandle(self._client, name)

    def __setitem__(self, name: str, content: Any) -> None:
        if isinstance(content, BufferHandle):
            self.put(name, content.parts(), content.content_type)
        else:
            self.put(name, content)

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


class KeyValuesView:
    """The key-value store. Keys and values are bytes; text is sent as UTF-8."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, prefix: str | bytes = b"") -> Sequence[bytes]:
        """List all keys that begin with `prefix`, in bytewise order."""
        keys: _Keys = []
        while True:
            page = self._client.platform.kv.list(to_bytes(prefix), limit=_PAGE, after=keys[-1] if keys else None)
            keys += page
            if len(page) < _PAGE:
                return keys

    def __getitem__(self, key: str | bytes) -> bytes:
        return self._client.platform.kv.get(to_bytes(key))

    def __setitem__(self, key: str | bytes, value: Any) -> None:
        self._client.platform.kv.set(to_bytes(key), to_bytes(value))

    def __delitem__(self, key: str | bytes) -> None:
        self._client.platform.kv.delete(to_bytes(key))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str | bytes):
            return False
        try:
            self._client.platform.kv.get(to_bytes(key))
        except KeyNotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def _ipython_key_completions_(self) -> _Names:
        try:
            keys = hurried(self._client.platform, _GLANCE_SECONDS).kv.list(limit=_PAGE)
        except MocError:
            return []
        return [key.decode(errors="replace") for key in keys]

    def __repr__(self) -> str:
        return "<kv>"


def to_bytes(content: Any) -> bytes:
    """Give the bytes of text (UTF-8) or of a bytes-like object.

    Raises
    ------
    InvalidInputError
        `content` is neither. Arrays are refused too: their bytes alone would lose type and shape.
    """
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytearray) or (isinstance(content, memoryview) and content.format == "B"):
        return bytes(content)
    hint = " Give the bytes of an array with array.tobytes()." if hasattr(content, "tobytes") else ""
    raise InvalidInputError(f"Expected bytes or text, found {type(content).__name__}.{hint}")


def to_content(content: Any) -> Bytes | Iterable[Bytes]:
    """Give bytes, or the parts of a file or of an iterator, each of which must be bytes or text.

    Raises
    ------
    InvalidInputError
        `content` is none of these; for a part, while the parts are iterated.
    """
    if hasattr(content, "read"):
        return FileParts(content)
    if isinstance(content, FileParts):
        return content
    # An iterator, and not whatever has one: an array or a list of numbers is meant as something else.
    return map(to_bytes, content) if isinstance(content, Iterator) else to_bytes(content)


def to_text(name: Any) -> str:
    """Give `name` if it is text; InvalidInputError if not."""
    if isinstance(name, str):
        return name
    raise InvalidInputError(f"A name is text, not {type(name).__name__}.")


def _names(what: str, names: Iterator[str] | Any) -> str:
    listed = list(names)
    return f"<{what}: {', '.join(listed)}>" if listed else f"<{what}: none>"
