"""What a backup target can do: durable objects by key. Nothing here knows what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from ...abc import Bytes


class Target(Protocol):
    """Objects by key (``a/b/c``: letters, digits, ``.``, ``_``, ``-`` and ``/``). Thread-safe.

    Every method raises BackupTargetError, which names the target, the key and the reason, when the target refuses or
    cannot be reached; what was there before under that key is then still there, whole.

    Attributes
    ----------
    url
        How people write it: a path, or ``s3://bucket/prefix``. Never holds a secret.
    """

    url: str

    def put(self, key: str, content: Bytes | Iterable[Bytes]) -> None:
        """Store `content` under `key`, atomically, replacing what was there; durable on return."""

    def put_new(self, key: str, content: Bytes) -> bool:
        """Store `content` under `key` if nothing is there, atomically; durable on return. Tell whether it was."""

    def get(self, key: str) -> bytes | None:
        """Read an object; None if there is none."""

    def read(self, key: str) -> Iterator[bytes] | None:
        """Read an object in parts of bounded size; None if there is none."""

    def size(self, key: str) -> int | None:
        """Tell the size of an object in bytes; None if there is none."""

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """List key and size of all objects whose keys begin with `prefix`, in no order."""

    def delete(self, key: str) -> None:
        """Remove an object; idempotent."""

    def close(self) -> None:
        """Let go of connections; idempotent."""


@runtime_checkable
class AppendableTarget(Target, Protocol):
    """A target whose objects can grow, for the replication log."""

    def append(self, key: str, content: Bytes) -> None:
        """Add `content` to the end of an object that is there; durable on return.

        When it raises BackupTargetError, a part of `content` may have been added.
        """

    def read_from(self, key: str, start: int) -> bytes | None:
        """Read what an object holds from `start` on; None if there is no such object."""
