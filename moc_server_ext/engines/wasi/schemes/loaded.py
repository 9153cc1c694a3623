# ruff: noqa: D102 - methods are documented by the class `Descriptor` that they override
"""Something stored as a file that can be changed anywhere: loaded when it is opened, stored when it is closed.

While it is open it is a file of the call's scratch space that has no name, under its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ....abc import Bytes
from ....errors import StorageError
from ....guest_api.context import CallContext
from ....guest_api.core.support import Failure, attempt, refusal
from ....guest_api.errno import Errno, GuestErrno
from ....guest_api.registry import Waiting, Work
from .. import layout
from ..content import FileContent
from ..descriptors import Stat
from ..memory_tree import OpenFile
from ..nodes import NODE_BYTES, File
from .access import allowed, raised

if TYPE_CHECKING:
    from ..state import WasiState

Store = Callable[[Bytes], object]
_UNBOUNDED: Final = 1 << 63


class LoadedFile(OpenFile):
    """A file in memory that is stored as a whole.

    Parameters
    ----------
    content
        What is there when it is opened.
    store
        Puts the content in place; blocks.
    is_new
        Whether it is stored even if nothing is changed.
    limit_bytes
        How large it may become, beside the limit of the scratch space.

    Raises
    ------
    GuestErrno
        ENOSPC when the scratch space has no room.
    """

    __slots__ = ("_is_changed", "_is_dropped", "_limit_bytes", "_scratch", "_stat", "_store")

    def __init__(
        self,
        state: WasiState,
        content: Bytes,
        stat: Stat,
        store: Store,
        *,
        rights: int,
        flags: int,
        is_new: bool,
        limit_bytes: int = _UNBOUNDED,
    ) -> None:
        quota = state.tree.quota
        quota.charge(NODE_BYTES + len(content))
        file = File(stat.inode, state.clock.now(), quota)
        file.content = FileContent(content)
        file.links = 0
        super().__init__(file, allowed(layout.FILE_RIGHTS, rights), flags, state.clock)
        self._scratch = file
        self._stat = stat
        self._store = store
        self._is_changed = is_new
        self._is_dropped = False
        self._limit_bytes = limit_bytes

    def write_at(self, call: CallContext, part: bytes, offset: int) -> int:
        self._require_size((self._scratch.size if self.flags & layout.FLAG_APPEND else offset) + len(part))
        count = super().write_at(call, part, offset)
        self._is_changed = self._is_changed or bool(part)
        return count

    def resize(self, state: WasiState, size: int) -> None:
        self._require_size(size)
        super().resize(state, size)
        self._is_changed = True

    def allocate(self, state: WasiState, offset: int, length: int) -> None:
        self._require_size(offset + length)
        super().allocate(state, offset, length)
        self._is_changed = True

    def stat(self, state: WasiState) -> Stat:
        self.require(layout.RIGHT_STAT)
        return self._stat._replace(size=self._scratch.size)

    def sync(self, *, data_only: bool) -> None:
        super().sync(data_only=data_only)
        if self._is_changed:
            # It is stored when it is closed, as a whole.
            raise GuestErrno(Errno.EINVAL)

    def before_close(self, call: CallContext) -> Waiting | None:
        commit = self._commit()

        def told(outcome: Failure | None) -> int:
            if outcome is not None:
                raise refusal(call, outcome.error)
            return 0

        return commit and Work(commit, told)

    def before_end(self, call: CallContext) -> Waiting | None:
        commit = self._commit()
        return commit and Work(commit, raised)

    def close(self) -> None:
        self._is_dropped = True
        super().close()

    def _commit(self) -> Callable[[], Failure | None] | None:
        """Give what stores the content; None when nothing was changed."""
        if not self._is_changed:
            return None
        self._is_changed = False
        content = self._scratch.content

        def store() -> None:
            if self._is_dropped:
                raise StorageError("The call that wrote this has ended.")
            self._store(bytes(content))

        return attempt(store)

    def _require_size(self, size: int) -> None:
        if size > self._limit_bytes:
            raise GuestErrno(Errno.EFBIG)
