"""What a row of the catalog belongs to: the word for people, and the thing that goes if the row is damaged.

Pure functions of a table's name and a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ...arrays.document import METADATA
from ..zarr_layout import BLOBS, BUFFERS, name_of_node

TableName = Literal["entries", "keyvalues", "parts", "names"]
TABLES: Final[tuple[TableName, ...]] = ("entries", "keyvalues", "parts")
"""The tables whose rows are stored bytes."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One stored thing.

    Parameters
    ----------
    key
        Of ``entries`` the node (``buffers/NAME``, ``blobs/ID``) that all its rows are below of; of the other tables
        the row's own.
    """

    table: TableName
    key: str | bytes

    @property
    def what(self) -> str:
        """Name it for people."""
        if isinstance(self.key, bytes):
            return f"the value of key {self.key.decode(errors='backslashreplace')!r}"
        if self.table == "names":
            return f"function {self.key!r}"
        if self.table == "parts":
            return f"the part {self.key!r} of an open buffer"
        group, _, node = self.key.partition("/")
        if group == BUFFERS and node and node != METADATA:
            return f"buffer {_name(node)!r}"
        if group == BLOBS and node and node != METADATA:
            return f"blob {node!r}"
        return f"the document {self.key!r} of the hierarchy"

    @property
    def is_removable(self) -> bool:
        """Whether it is something that a person stored, not a part of the hierarchy itself."""
        return self.table != "entries" or (str(self.key).count("/") == 1 and not str(self.key).endswith(f"/{METADATA}"))


def thing_of(table: TableName, key: str | bytes) -> Thing:
    """Give the thing that a row is of."""
    if table != "entries" or isinstance(key, bytes):
        return Thing(table, key)
    return Thing(table, "/".join(key.split("/", 2)[:2]))


def _name(node: str) -> str:
    try:
        return name_of_node(node)
    except UnicodeDecodeError:
        return node
