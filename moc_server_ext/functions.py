"""The functions noun: names that point to executable blobs, with their declarations.

A function is stored as one entry of the name table, whose attributes hold the declaration and the exports; blob and
name appear in one transaction. Looking one up touches no disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import FunctionNotFoundError, InvalidInputError, MissingImportError, nearest
from .invocation import START, check_limits, check_posix_entry, choose_entry
from .model import (
    EXECUTABLE_CONTENT_TYPES,
    WASM_CONTENT_TYPE,
    BoundImport,
    Declaration,
    FunctionRecord,
    Grants,
    Mode,
    ModuleInterface,
    parse_name,
)
from .model.bound_imports import check_bound_import, not_registered

if TYPE_CHECKING:
    from .storage.names import NameRecord, NameTable

BLOB_ID = re.compile(r"[0-9a-f]{64}")


Inspect = Callable[[str, bytes], ModuleInterface]


class FunctionTable:
    """Registered functions; implements ``abc.Functions``. Thread-safe.

    Parameters
    ----------
    names
        Where they are kept; answers from memory.
    inspect
        Reads a module's interface and refuses what cannot run here; never runs it.
    guest_modules
        Names of the import modules that the host provides, for messages.
    """

    def __init__(self, names: NameTable, inspect: Inspect, guest_modules: Collection[str] = ()) -> None:
        self._names = names
        self._inspect = inspect
        self.guest_modules = guest_modules
        # The records as the orchestrator needs them, beside the entry that each was read from: an entry that was
        # replaced is another object, so nothing here can be stale.
        self._records: dict[str, tuple[NameRecord, FunctionRecord]] = {}

    def put(
        self,
        name: str,
        content: bytes,
        declaration: Declaration = Declaration(),
        content_type: str = WASM_CONTENT_TYPE,
    ) -> FunctionRecord:
        """Register `content` under `name`, replacing what was there; durable on return.

        Raises
        ------
        InvalidInputError
            The name, the content type or the declaration is none. Nothing was stored.
        InvalidModuleError, MissingImportError
            The module cannot run here, or imports what no function exports, or exports with another type. Nothing was
            stored.
        NotGrantedError
            It imports from a function that the declaration does not let it call. Nothing was stored.
        EntryPointNotFoundError
            The declared entry point is not exported. Nothing was stored.
        """
        parse_name(name, "function name")
        if BLOB_ID.fullmatch(name):
            raise InvalidInputError("A function cannot be named like a blob id (64 hex digits).", name=name)
        if content_type not in EXECUTABLE_CONTENT_TYPES:
            raise InvalidInputError(
                f"Content type {content_type!r} cannot be executed: a function is one of "
                f"{', '.join(sorted(EXECUTABLE_CONTENT_TYPES))}.",
                content_type=content_type,
            )
        declaration = replace(declaration, limits=check_limits(declaration.limits))
        interface = self._inspect(name, content)
        if declaration.entry is not None:
            entry = choose_entry(name, declaration.entry, interface.exports)
            if declaration.mode is Mode.POSIX or (declaration.mode is None and START in interface.exports):
                check_posix_entry(name, entry, interface.exports[entry])
        for wanted in interface.bound_imports:
            self._check_bound(name, wanted, declaration.grants, interface)
        attributes = {**declaration.to_json(), **interface.to_json()}
        return self._record(self._names.register(name, content, content_type, attributes))

    def find(self, name: str) -> FunctionRecord | None:
        """Look a function up; None when there is none."""
        entry = self._names.get(name)
        return None if entry is None else self._record(entry)

    def get(self, name: str) -> FunctionRecord:
        """Look a function up; FunctionNotFoundError names the nearest ones."""
        record = self.find(name)
        if record is None:
            raise self.not_found(name)
        return record

    def list(self) -> Sequence[FunctionRecord]:
        """List all functions, sorted by name."""
        return sorted((self._record(each) for each in self._names.list()), key=lambda each: each.name)

    def delete(self, name: str) -> None:
        """Remove the name; its blob stays. FunctionNotFoundError when there is none."""
        self._names.delete(name)
        self._records.pop(name, None)

    def not_found(self, name: str) -> FunctionNotFoundError:
        """Make the error for an unknown name."""
        return FunctionNotFoundError(
            name[:512], nearest=nearest(name[:512], (each.name for each in self._names.list()))
        )

    def not_registered(self, importer: str, wanted: BoundImport) -> MissingImportError:
        """Make the error for an import from a function that is not there."""
        return not_registered(importer, wanted, (each.name for each in self._names.list()), self.guest_modules)

    def _check_bound(self, name: str, wanted: BoundImport, grants: Grants, interface: ModuleInterface) -> None:
        # A function may import from itself, and then from what is being registered, not from what it replaces.
        exports = interface.exports
        if wanted.function != name:
            callee = self.find(wanted.function)
            if callee is None:
                raise self.not_registered(name, wanted)
            exports = callee.exports
        check_bound_import(name, wanted, grants, exports)

    def _record(self, entry: NameRecord) -> FunctionRecord:
        cached = self._records.get(entry.name)
        if cached is not None and cached[0] is entry:
            return cached[1]
        record = FunctionRecord.from_json(
            {
                **entry.attributes,
                "name": entry.name,
                "blob_id": entry.blob_id,
                "size": entry.size,
                "content_type": entry.content_type,
                "created_at": entry.created_at,
            }
        )
        self._records[entry.name] = (entry, record)
        return record
