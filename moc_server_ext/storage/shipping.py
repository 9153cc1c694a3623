"""What a commit changed, for a copy of the storage that is kept elsewhere: captured here, and applied there.

Owns the form of what is shipped: an SQLite changeset over the tables that are the same everywhere, and the ids of the
object files that appeared with it. How it gets there, and what is told when it does not, is the shipper's.

Every transaction that is shipped has a number, one more than that of the one before, which is written in the same
transaction (the fact ``sequence``). A copy that has the number has the commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, Protocol

import apsw

from ..errors import CorruptStorageError
from .catalog import Row
from .objects import is_object_id

SHIPPED_TABLES: Final = ("entries", "keyvalues", "names", "parts", "facts")
"""``garbage`` is not among them: which files may go is each storage's own affair."""

_CONTENT_TABLES: Final = ("entries", "keyvalues", "parts")
_OBJECT_COLUMN: Final = 3
_PUT_SEQUENCE: Final = "INSERT OR REPLACE INTO facts(name, value) VALUES ('sequence', ?)"
_FIND_SEQUENCE: Final = "SELECT value FROM facts WHERE name = 'sequence'"

Select = Callable[[str, Sequence[Any]], list[Row]]
"""Gives the rows of a SELECT."""


class Shipper(Protocol):
    """Who is told of every commit, and brings it elsewhere."""

    def admit(self) -> None:
        """Let a write begin; called before anything of it is staged.

        Raises
        ------
        MocError
            What is written now could not be brought elsewhere, as was asked for. Nothing was written.
        """
        ...

    def committed(self, sequence: int, changes: bytes, objects: Sequence[str]) -> None:
        """Take note of a commit: called right after it, as the one writer, in the order of `sequence`; must not wait.

        Parameters
        ----------
        sequence
            The commit's number.
        changes
            An SQLite changeset over `SHIPPED_TABLES`.
        objects
            Ids of the object files that were published with it, in no order. One may be there already.
        """
        ...

    def wait(self, sequence: int) -> None:
        """Return once the copy has the commit, if that was asked for, and at once otherwise.

        Called by each thread whose writes were committed with `sequence`, before they are acknowledged. Others write
        meanwhile.

        Raises
        ------
        MocError
            The commit is stored here, and not there.
        """
        ...


class Capture:
    """What one transaction changes, from its beginning on. For the one writer.

    The number of the commit is written before the recording begins: where the changes are applied, it is written anew.
    """

    def __init__(self, connection: apsw.Connection, sequence: int) -> None:
        write_sequence(connection, sequence)
        self._session = apsw.Session(connection, "main")
        for table in SHIPPED_TABLES:
            self._session.attach(table)

    def changes(self) -> bytes:
        """Give what was changed so far, as a changeset; what was rolled back is not in it."""
        return self._session.changeset()

    def close(self) -> None:
        """Record no more; idempotent."""
        self._session.close()


class Shipping:
    """Who is told of commits now, and the number of the last one. For the one writer."""

    def __init__(self) -> None:
        self.shipper: Shipper | None = None
        self.sequence = 0

    def begin(self, connection: apsw.Connection) -> Capture | None:
        """Record what is changed from now on, if somebody is to be told."""
        return None if self.shipper is None else Capture(connection, self.sequence + 1)

    def committed(self, changes: bytes, objects: Sequence[str]) -> tuple[Shipper, int]:
        """Tell of the commit; give whom to wait for, and its number."""
        assert self.shipper is not None  # noqa: S101 - a commit was recorded
        self.sequence += 1
        self.shipper.committed(self.sequence, changes, objects)
        return self.shipper, self.sequence


def read_sequence(select: Select) -> int:
    """Tell the number of the last commit that was shipped, or applied; 0 where there was none."""
    rows = select(_FIND_SEQUENCE, ())
    return int(json.loads(rows[0][0])) if rows else 0


def write_sequence(connection: apsw.Connection, sequence: int) -> None:
    """Write the number of a commit, as a part of it."""
    connection.execute(_PUT_SEQUENCE, (json.dumps(sequence),))


class Change:
    """What a changeset says, as far as its receiver must know it before and after it is applied.

    Attributes
    ----------
    entries, names
        Keys of ``entries`` and of ``names`` that change.
    gained, lost
        Object files that rows begin, and cease, to refer to.

    Raises
    ------
    CorruptStorageError
        These bytes are no changeset of moc's.
    """

    def __init__(self, changes: bytes) -> None:
        self.entries: set[str] = set()
        self.names: set[str] = set()
        self.gained: set[str] = set()
        self.lost: set[str] = set()
        self._changes = changes
        # What begins otherwise is a patchset, which would be applied without a look at what is there.
        if changes and changes[:1] != b"T":
            raise CorruptStorageError("a commit of another storage", "it is no changeset")
        try:
            for change in apsw.Changeset.iter(changes):
                self._note(change)
        except (apsw.Error, IndexError, TypeError) as error:
            raise CorruptStorageError("a commit of another storage", str(error)) from error

    def apply(self, connection: apsw.Connection) -> None:
        """Change what the changeset says, inside of a transaction.

        Raises
        ------
        CorruptStorageError
            What is stored here is not what was stored there before the commit. The transaction must be rolled back.
        """
        conflicts: list[str] = []

        def conflict(reason: int, change: apsw.TableChange) -> int:
            if change.name == "facts":
                # What a storage knows of itself differs from one to the other.
                replaces = reason in (apsw.SQLITE_CHANGESET_DATA, apsw.SQLITE_CHANGESET_CONFLICT)
                return apsw.SQLITE_CHANGESET_REPLACE if replaces else apsw.SQLITE_CHANGESET_OMIT
            conflicts.append(f"{change.op} in {change.name}")
            return apsw.SQLITE_CHANGESET_ABORT

        try:
            apsw.Changeset.apply(self._changes, connection, conflict=conflict)
        except apsw.AbortError as error:
            found = f"it has diverged from the storage that it follows ({', '.join(conflicts)})"
            raise CorruptStorageError("the copy of the storage", found) from error

    def _note(self, change: apsw.TableChange) -> None:
        if change.name not in SHIPPED_TABLES:
            raise CorruptStorageError("a commit of another storage", f"it changes the table {change.name!r}")
        key = _value(change.old, 0) if change.new is None or change.op == "UPDATE" else _value(change.new, 0)
        if change.name == "names":
            self.names.add(str(key))
        if change.name == "entries":
            self.entries.add(str(key))
        if change.name in _CONTENT_TABLES:
            self.gained.update(_object_ids(change.new))
            self.lost.update(_object_ids(change.old))


def referred_to(select: Select, object_ids: Collection[str]) -> Iterator[str]:
    """Give those of the object files that a row refers to."""
    for object_id in object_ids:
        for table in _CONTENT_TABLES:
            if select(f"SELECT 1 FROM {table} WHERE object = ? LIMIT 1", (object_id,)):  # noqa: S608
                yield object_id
                break


def check_object_id(object_id: str) -> str:
    """Refuse what is no object id, and would lead to a file elsewhere; CorruptStorageError."""
    if not is_object_id(object_id):
        raise CorruptStorageError("a commit of another storage", f"{object_id[:100]!r} is no object id")
    return object_id


def _object_ids(row: tuple[object, ...] | None) -> Iterator[str]:
    found = _value(row, _OBJECT_COLUMN)
    if isinstance(found, str):
        yield check_object_id(found)


def _value(row: tuple[object, ...] | None, column: int) -> object:
    return None if row is None else row[column]
