"""Every error of the platform, in one tree.

Each class builds its own message from typed fields (what happened, to which thing, what was found, what was expected,
what to do next) and carries the ``code`` and HTTP status under which it leaves through the API. :func:`from_json`
rebuilds the same class on the client's side, so that ``except FunctionNotFoundError`` works through every door.

::

    MocError
    ├── NotFoundError        FunctionNotFound, BlobNotFound, BufferNotFound, KeyNotFound, RunNotFound,
    │                        CallNotFound, EntryPointNotFound
    ├── ConflictError        AddressInUse, KeyConflict, NoBytes
    ├── InvalidInputError    InvalidModule, InvalidArguments, ArrayRequired, CompileFailed, UnknownLanguage, InvalidUrl,
    │                        Usage, BodyTooLarge, AnswerTooLarge, RangeNotSatisfiable, ReadOnlyKey, MethodNotAllowed
    ├── AccessDeniedError    Unauthorized, NotGranted, HostNotAllowed
    ├── StorageError         ReadOnly, Corrupt, Full, Locked, Format (NotAStorage), UnsuitableFileSystem,
    │                        BackupTarget, Backup
    ├── ExchangeBufferError
    ├── GuestError           Trap, LimitExceeded, Cancelled, MissingImport, HostCall, ArrayResult,
    │                        GuestExit (GuestStatus)
    ├── PlanError            TaskFailed
    ├── UnavailableError     Overloaded (MemoryBudget), HandedOver, OutboundRequest, MissingExtra,
    │                        ServerUnreachable (ConnectionLost, UntrustedEndpoint)
    └── InternalError
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

__all__ = [
    "AccessDeniedError",
    "AddressInUseError",
    "AnswerTooLargeError",
    "ArrayMemoryError",
    "ArrayRequiredError",
    "ArrayResultError",
    "BackupError",
    "BackupTargetError",
    "BlobNotFoundError",
    "BodyTooLargeError",
    "BufferNotFoundError",
    "CallNotFoundError",
    "CancelledError",
    "CompileFailedError",
    "ConflictError",
    "ConnectionLostError",
    "CorruptStorageError",
    "DirectoriesNotServedError",
    "EntryPointNotFoundError",
    "ExchangeBufferError",
    "FunctionNotFoundError",
    "GuestError",
    "GuestExitError",
    "GuestStatusError",
    "HandedOverError",
    "HostCallError",
    "HostNotAllowedError",
    "InternalError",
    "InvalidArgumentsError",
    "InvalidInputError",
    "InvalidModuleError",
    "InvalidUrlError",
    "KeyConflictError",
    "KeyNotFoundError",
    "LimitExceededError",
    "LockedStorageError",
    "LogNotFoundError",
    "MemoryBudgetError",
    "MethodNotAllowedError",
    "MissingExtraError",
    "MissingImportError",
    "MocError",
    "NoBytesError",
    "NotAStorageError",
    "NotFoundError",
    "NotGrantedError",
    "OutboundRequestError",
    "OverloadedError",
    "PlanError",
    "QuotaExceededError",
    "RangeNotSatisfiableError",
    "ReadOnlyKeyError",
    "ReadOnlyStorageError",
    "ReplicationError",
    "RunNotFoundError",
    "ServerUnreachableError",
    "StorageError",
    "StorageFormatError",
    "StorageFullError",
    "TaskFailedError",
    "TrapError",
    "UnauthorizedError",
    "UnavailableError",
    "UnknownLanguageError",
    "UnsuitableFileSystemError",
    "UntrustedEndpointError",
    "UsageError",
    "from_json",
    "nearest",
    "oxford",
]

_CLASSES: dict[str, type[MocError]] = {}
_SHOWN_VALUE_BYTES = 64


class MocError(Exception):
    """The root: anything that moc refuses or fails to do.

    Attributes
    ----------
    code
        Stable word for programs (``function_not_found``); part of the web API.
    http_status
        Status under which the error leaves through HTTP.
    message
        One or two sentences for people.
    details
        The typed fields, JSON-compatible.
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500

    message: str
    details: dict[str, Any]

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            _CLASSES[cls.code] = cls

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take fields of their own, so the default (cls, args) would not unpickle.
        return from_json, ({"code": self.code, "message": self.message, "details": self.details},)

    def to_json(self) -> dict[str, Any]:
        """Give the shape of the web API: ``{"code", "message", "details"}``."""
        return {"code": self.code, "message": self.message, "details": self.details}

    @classmethod
    def _rebuild(cls, message: str, details: Mapping[str, Any]) -> Self:
        error = cls.__new__(cls)
        MocError.__init__(error, message, **dict(details))
        return error


def from_json(body: Mapping[str, Any]) -> MocError:
    """Rebuild the error whose :meth:`MocError.to_json` gave `body`; an unknown code gives a plain :class:`MocError`."""
    details = body.get("details")
    return _CLASSES.get(str(body.get("code")), MocError)._rebuild(
        str(body.get("message", "The server gave no message.")), details if isinstance(details, Mapping) else {}
    )


def oxford(words: Sequence[str], conjunction: str = "or") -> str:
    """Join words as prose does: ``a``, ``a or b``, ``a, b or c``."""
    quoted = [repr(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {conjunction} {quoted[-1]}"


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Give the `count` names of `known` that are most like `name`, best first."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def _printable(content: bytes) -> str | None:
    """Give bytes as text, if that is what they are."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


# -- not found --------------------------------------------------------------------------------------------------------


class NotFoundError(MocError):
    """What was asked for is not there."""

    code = "not_found"
    http_status = 404


class FunctionNotFoundError(NotFoundError):
    """No function has this name in this cluster."""

    code = "function_not_found"

    def __init__(self, name: str, *, nearest: Sequence[str] = ()) -> None:
        hint = f"Did you mean {oxford(nearest)}?" if nearest else "`moc functions` lists what there is."
        super().__init__(f"No function is named {name!r}. {hint}", name=name, nearest=list(nearest))


class EntryPointNotFoundError(NotFoundError):
    """The module does not export this function, or no entry point could be chosen."""

    code = "entry_point_not_found"

    def __init__(self, function: str, entry: str | None, *, exports: Sequence[str]) -> None:
        found = f"It exports {oxford(exports, 'and')}." if exports else "It exports no function."
        if entry is None:
            text = f"Function {function!r} needs an entry point: it has neither `_start` nor one obvious export."
            text += f" {found} Name one with --entry."
        else:
            text = f"Function {function!r} has no entry point {entry!r}. {found}"
        super().__init__(text, function=function, entry=entry, exports=list(exports))


class BlobNotFoundError(NotFoundError):
    """No blob has this id."""

    code = "blob_not_found"

    def __init__(self, blob_id: str) -> None:
        super().__init__(f"No blob has the id {blob_id!r}. A blob id is a SHA-256 in 64 hex digits.", blob_id=blob_id)


class BufferNotFoundError(NotFoundError):
    """No stored buffer has this name."""

    code = "buffer_not_found"

    def __init__(self, name: str, *, nearest: Sequence[str] = ()) -> None:
        hint = f"Did you mean {oxford(nearest)}?" if nearest else "`moc buffers` lists what there is."
        super().__init__(f"No buffer is named {name!r}. {hint}", name=name, nearest=list(nearest))


class LogNotFoundError(NotFoundError):
    """No log is open for a buffer of this name, or another one than the one that was opened."""

    code = "log_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"No such log is open for buffer {name!r}: it was sealed, abandoned, or never begun. "
            f"`moc buffer append {name} FILE` begins one.",
            name=name,
        )


class KeyNotFoundError(NotFoundError):
    """The key-value store has no such key."""

    code = "key_not_found"

    def __init__(self, key: str) -> None:
        super().__init__(f"The key-value store has no key {key!r}. `moc kv list` lists the keys.", key=key)


class RunNotFoundError(NotFoundError):
    """No run has this id, or it is forgotten."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"No run has the id {run_id!r}. `moc runs` lists the recent ones.", run_id=run_id)


class CallNotFoundError(NotFoundError):
    """No call has this id, or it is forgotten."""

    code = "call_not_found"

    def __init__(self, call_id: str) -> None:
        super().__init__(
            f"No call has the id {call_id!r}. Calls that have ended are known for a while only.", call_id=call_id
        )


# -- conflict and invalid input ---------------------------------------------------------------------------------------


class ConflictError(MocError):
    """The request is well formed, but the present state does not allow it."""

    code = "conflict"
    http_status = 409


class AddressInUseError(ConflictError):
    """Another process listens on this port."""

    code = "address_in_use"

    def __init__(self, host: str, port: int, *, option: str) -> None:
        super().__init__(
            f"Port {port} on {host} is taken by another process. Stop it, or choose another port with {option}.",
            host=host,
            port=port,
            option=option,
        )


class KeyConflictError(ConflictError):
    """A key does not have the value that a compare-and-set expects. Nothing was changed."""

    code = "key_conflict"

    def __init__(self, key: str, *, expected: str, found: bytes | None, found_size: int | None) -> None:
        shown = None if found is None or len(found) > _SHOWN_VALUE_BYTES else _printable(found)
        if found_size is None:
            there = "there is no such key"
        else:
            there = f"it has {found_size:,} bytes" if shown is None else f"it has {shown!r}"
        super().__init__(
            f"Key {key!r} is not as expected ({expected}): {there}. Nothing was changed; read it again, and decide "
            "anew.",
            key=key,
            expected=expected,
            found=shown,
            found_size=found_size,
        )


class NoBytesError(ConflictError):
    """The buffer is a group of arrays without a main one, or an array of a data type that moc does not know."""

    code = "no_bytes"

    def __init__(self, name: str, *, arrays: Sequence[str]) -> None:
        what = f"it is a group of {', '.join(arrays)}" if arrays else "moc knows no data type for what it holds"
        super().__init__(
            f"Buffer {name!r} has no bytes to give as one: {what}. Open it as what it is, with to_xarray() or "
            "to_zarr(), or read its parts below zarr/buffers.",
            name=name,
            arrays=list(arrays),
        )


class InvalidInputError(MocError):
    """A value from outside is not what it must be; nothing was changed."""

    code = "invalid_input"
    http_status = 400


class InvalidModuleError(InvalidInputError):
    """The bytes are not a WebAssembly module that this platform can run."""

    code = "invalid_module"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name!r} is not a WebAssembly module that can run here: {reason}", name=name, reason=reason)


class InvalidArgumentsError(InvalidInputError):
    """A direct call got the wrong number or type of arguments."""

    code = "invalid_arguments"

    def __init__(
        self, function: str, entry: str, *, expected: Sequence[str], found: Sequence[str], wrong: int | None = None
    ) -> None:
        takes = f"({', '.join(expected)})"
        got = f"({', '.join(found)})"
        # `wrong` is the place of the first one that has not its type, where the number of arguments is right.
        which = "" if wrong is None else f", where {found[wrong]!r} is no {expected[wrong]}"
        super().__init__(
            f"{entry!r} of function {function!r} takes {len(expected)} argument{'' if len(expected) == 1 else 's'} "
            f"{takes} and was given {len(found)}: {got}{which}.",
            function=function,
            entry=entry,
            expected=list(expected),
            found=list(found),
        )


class ArrayRequiredError(InvalidInputError):
    """An array function was called with an input that is no array. Nothing was started."""

    code = "array_required"

    def __init__(self, function: str, entry: str) -> None:
        super().__init__(
            f"{entry!r} of function {function!r} takes an array as its input, and this input is none. Give one: "
            f"`moc.call({function!r}, input=array)`, `%moc call -i VARIABLE {function}`, "
            f"`moc call --input-file FILE --dtype float32 --shape 120,180 {function}`, or over HTTP the headers "
            "Moc-Dtype and Moc-Shape.",
            function=function,
            entry=entry,
        )


class CompileFailedError(InvalidInputError):
    """The compiler refused the source.

    ``details["diagnostics"]`` is the compiler's own text, with the line numbers of the source that the person wrote.
    """

    code = "compile_failed"

    def __init__(self, language: str, name: str, diagnostics: str) -> None:
        first = next((line for line in diagnostics.splitlines() if "error" in line), diagnostics.strip())
        super().__init__(
            f"{name!r} does not compile as {language}: {first.strip()}",
            language=language,
            name=name,
            diagnostics=diagnostics,
        )


class InvalidUrlError(InvalidInputError):
    """An outbound request's URL, or one that it was redirected to, cannot be read in one way only. Nothing was sent."""

    code = "invalid_url"

    def __init__(self, url: str, reason: str) -> None:
        shown = url if len(url) <= 200 else f"{url[:200]}…"
        super().__init__(f"{shown!r} cannot be requested: {reason}.", url=shown, reason=reason)


class UnknownLanguageError(InvalidInputError):
    """No compiler is known for this language or file suffix."""

    code = "unknown_language"

    def __init__(self, language: str, *, known: Sequence[str]) -> None:
        super().__init__(
            f"No compiler is known for {language!r}. Known languages: {', '.join(known)}.",
            language=language,
            known=list(known),
        )


class UsageError(InvalidInputError):
    """A verb was typed with options or arguments that it does not take. Nothing was done."""

    code = "usage"

    def __init__(self, reason: str, *, command: str) -> None:
        sentence = reason if reason.endswith((".", "?", "!")) else f"{reason}."
        super().__init__(f"{sentence} `{command} -h` shows how it is used.", command=command)


class BodyTooLargeError(InvalidInputError):
    """A request's body is larger than the server accepts; nothing of it was stored."""

    code = "body_too_large"
    http_status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The request's body is larger than the {limit_bytes:,} bytes that this server accepts. "
            "Send less, or start the server with a higher MocExtension.max_body_bytes.",
            limit_bytes=limit_bytes,
        )


class AnswerTooLargeError(InvalidInputError):
    """A call's output is too large to be answered as JSON; the call was ended, and its output is lost."""

    code = "answer_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The output is larger than the {limit_bytes:,} bytes that this server answers as JSON. Ask for it raw "
            "(without `Accept: application/json`) or as frames (`Accept: application/vnd.moc.frames`), which have no "
            "such limit.",
            limit_bytes=limit_bytes,
        )


class RangeNotSatisfiableError(InvalidInputError):
    """The bytes that a Range header asks for lie beyond the end."""

    code = "range_not_satisfiable"
    http_status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"The range begins behind the end: there are {size:,} bytes.", size=size)


class ReadOnlyKeyError(InvalidInputError):
    """A key of the Zarr hierarchy cannot be written: only those below ``buffers/NAME/`` can."""

    code = "read_only_key"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Zarr key {key[:200]!r} cannot be written: only what is below 'buffers/NAME/' can. Open the store "
            "with a path below 'buffers', or create the array there.",
            key=key[:200],
        )


class DirectoriesNotServedError(InvalidInputError):
    """A directory was to be mounted for a call that a server runs, which opens none for its callers."""

    code = "directories_not_served"

    def __init__(self, hosts: Sequence[str]) -> None:
        super().__init__(
            f"A server opens no directories for its callers, so that {hosts[0]!r} cannot be mounted. Use "
            "`moc run --dir`, or a client that has the storage open in its own process.",
            hosts=list(hosts),
        )


class MethodNotAllowedError(InvalidInputError):
    """The address exists, but not for this HTTP method."""

    code = "method_not_allowed"
    http_status = 405

    def __init__(self, method: str, *, allowed: Sequence[str]) -> None:
        super().__init__(
            f"This address does not take {method}; it takes {', '.join(allowed)}.", method=method, allowed=list(allowed)
        )


# -- access -----------------------------------------------------------------------------------------------------------


class AccessDeniedError(MocError):
    """The caller may not do this. Never says whether the thing exists."""

    code = "access_denied"
    http_status = 403


class UnauthorizedError(AccessDeniedError):
    """The request carries no valid token."""

    code = "unauthorized"
    http_status = 401

    def __init__(self) -> None:
        super().__init__(
            "This address needs a valid token: send the header `Authorization: Bearer TOKEN`. "
            "`moc status` on the server's machine tells where the token is kept."
        )


class NotGrantedError(AccessDeniedError):
    """A guest asked for something that its function was not granted."""

    code = "not_granted"

    def __init__(self, function: str, grant: str, *, because: str = "") -> None:
        what = f"Function {function!r} has no grant {grant!r}"
        super().__init__(
            f"{what}, and {because}. Register it with `moc push --grant {shlex.quote(grant)} …`."
            if because
            else f"{what}. Register it again with `moc push --grant {shlex.quote(grant)} …`.",
            function=function,
            grant=grant,
        )


class HostNotAllowedError(AccessDeniedError):
    """A guest asked for a host that its function may not reach. Nothing was sent."""

    code = "host_not_allowed"

    def __init__(self, function: str, host: str, *, because: str = "") -> None:
        reason = f" ({because})" if because else ""
        super().__init__(
            f"Function {function!r} may not reach {host!r}{reason}. Allow it when it is registered: "
            f"`moc push --allow-host {host} …`, or `moc run --allow-host {host} …` for a file.",
            function=function,
            host=host,
        )


# -- storage ----------------------------------------------------------------------------------------------------------


class StorageError(MocError):
    """The storage directory cannot do what was asked; what was acknowledged before is still there."""

    code = "storage_error"


class ReadOnlyStorageError(StorageError):
    """The storage directory cannot be written."""

    code = "storage_read_only"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"The storage {path!r} cannot be written: {reason}. Choose another with --storage or MOC_STORAGE.",
            path=path,
            reason=reason,
        )


class CorruptStorageError(StorageError):
    """Stored bytes are missing or are not what was stored."""

    code = "storage_corrupt"

    def __init__(self, what: str, found: str) -> None:
        super().__init__(f"Stored data is damaged: {what}: {found}. Restore it from a backup.", what=what, found=found)


class StorageFullError(StorageError):
    """There is no room left. Nothing of the refused write is visible, and what was there before is untouched."""

    code = "storage_full"
    http_status = 507

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The disk is full: {what} was not stored, and nothing of it is visible. Make room and try again.",
            what=what,
        )


class QuotaExceededError(StorageError):
    """The write would store more than may be stored. Nothing of it is visible, and what was there is untouched."""

    code = "quota_exceeded"
    http_status = 507

    def __init__(self, what: str, *, limit_bytes: int, stored_bytes: int) -> None:
        super().__init__(
            f"The storage may hold {limit_bytes:,} bytes and holds {stored_bytes:,}: {what} was not stored, and "
            "nothing of it is visible. Remove something, or raise MocExtension.storage_bytes.",
            what=what,
            limit_bytes=limit_bytes,
            stored_bytes=stored_bytes,
        )


class LockedStorageError(StorageError):
    """Another process owns the storage directory."""

    code = "storage_locked"
    http_status = 409

    def __init__(self, path: str, *, pid: int | None = None, url: str | None = None, busy: bool = False) -> None:
        who = f"process {pid}" if pid else "another process"
        if busy:
            who += ", which has work under way and does not hand it over now"
        how = f"Reach it with --url {url}" if url else "Close that process"
        super().__init__(
            f"The storage {path!r} is owned by {who}. {how}, or choose another directory "
            "with --storage or MOC_STORAGE.",
            path=path,
            pid=pid,
            url=url,
        )


class StorageFormatError(StorageError):
    """The storage was written by a newer moc, or is no moc storage."""

    code = "storage_format"

    def __init__(self, path: str, *, found: object, expected: int) -> None:
        super().__init__(
            f"The storage {path!r} has format {found!r}; this moc reads up to format {expected}. "
            "Upgrade my-own-cluster, or choose another directory with --storage or MOC_STORAGE.",
            path=path,
            found=found,
            expected=expected,
        )


class NotAStorageError(StorageFormatError):
    """The directory holds something else, or is none (nothing is `found` in it). Nothing was touched."""

    code = "not_a_storage"

    def __init__(self, path: str, *, found: Sequence[str]) -> None:
        some = ", ".join(repr(each) for each in found[:3]) + (", …" if len(found) > 3 else "")
        reason = f"it has no FORMAT.json, and it holds {some}" if found else "it is not a directory"
        MocError.__init__(
            self,
            f"{path!r} is no moc storage: {reason}. Choose an empty or a new directory with --storage or MOC_STORAGE.",
            path=path,
            found=list(found[:3]),
        )


class BackupTargetError(StorageError):
    """A backup target refused, cannot be reached, or holds something else. The storage itself is untouched."""

    code = "backup_target"

    def __init__(self, target: str, reason: str, *, what: str = "") -> None:
        super().__init__(
            f"The backup target {target!r} {f'cannot {what}: ' if what else ''}{reason}.",
            target=target,
            reason=reason,
        )


class UnsuitableFileSystemError(StorageError):
    """The directory lies on a file system that cannot keep a storage safe. Nothing of what it holds was touched."""

    code = "unsuitable_file_system"

    def __init__(self, path: str, file_system: str, reason: str) -> None:
        super().__init__(
            f"The storage {path!r} cannot lie on this file system ({file_system}): {reason}. Choose a directory on a "
            "disk of this machine with --storage or MOC_STORAGE; a backup target may be anywhere.",
            path=path,
            file_system=file_system,
            reason=reason,
        )


class ReplicationError(StorageError):
    """What is asked for needs the replication target, which is behind or belongs to another instance.

    ``details["stored"]`` tells whether the write is stored on this machine; it is not known to be on the target then.
    """

    code = "replication"
    http_status = 503

    def __init__(self, target: str, reason: str, *, stored: bool) -> None:
        state = (
            "The write is stored here, and not known to be on the replication target"
            if stored
            else "Nothing was changed, because of the replication target"
        )
        super().__init__(f"{state} {target!r}: {reason}.", target=target, reason=reason, stored=stored)


class BackupError(StorageError):
    """A backup is damaged, or only half there; nothing was made from it."""

    code = "backup_damaged"
    http_status = 422

    def __init__(self, backup: str, target: str, damage: Sequence[str]) -> None:
        first = "; ".join(damage[:3]) + (f"; and {len(damage) - 3} more" if len(damage) > 3 else "")
        super().__init__(
            f"The backup {backup!r} in {target!r} is damaged: {first}. `moc backup list` shows the others there.",
            backup=backup,
            target=target,
            damage=list(damage[:100]),
        )

    @property
    def damage(self) -> list[str]:
        """What was found, a sentence each; the first 100."""
        return list(self.details.get("damage", []))


class ExchangeBufferError(MocError):
    """An exchange buffer was used against its rules: written after it was closed, or by a second writer."""

    code = "exchange_buffer"


# -- guests -----------------------------------------------------------------------------------------------------------


class GuestError(MocError):
    """A guest failed. Its output up to there is lost; nothing outside the call was changed by the failure itself."""

    code = "guest_error"
    http_status = 422

    @property
    def backtrace(self) -> list[str]:
        """The guest's own frames, innermost first: ``name`` or ``name at file:line``."""
        return list(self.details.get("backtrace", []))

    @property
    def stderr(self) -> str:
        """The last lines that the guest wrote to stderr."""
        return str(self.details.get("stderr", ""))

    @property
    def called_by(self) -> list[str]:
        """The functions whose imports led to the one that failed, innermost first: they ended with it."""
        return list(self.details.get("called_by", []))

    def ended_caller(self, function: str, backtrace: Sequence[str], stderr: str) -> None:
        """Note that the failure ended `function` as well, which was inside of an import that is bound to what failed.

        Parameters
        ----------
        backtrace
            The caller's own frames; they follow those that are known.
        stderr
            The end of what the caller and its callees wrote.
        """
        if self.called_by:
            self.message = f"{self.message.removesuffix('.')}, which was called by function {function!r}."
        else:
            self.message = f"{self.message} It was called by function {function!r}."
        self.args = (self.message,)
        self.details["called_by"] = [*self.called_by, function]
        self.details["backtrace"] = [*self.backtrace, *(f"{frame} in function {function!r}" for frame in backtrace)]
        self.details["stderr"] = stderr

    def leave_out_stderr(self) -> None:
        """Drop the guest's stderr, because whoever is told of the error has seen it come."""
        self.details["stderr"] = ""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        """What Python shows below the message in a traceback: the guest's backtrace and stderr, then added notes."""
        return [*self._told(), *vars(self).get("_added", ())]

    def add_note(self, note: str, /) -> None:
        """Add a note of PEP 678."""
        vars(self).setdefault("_added", []).append(note)

    def explain(self) -> str:
        """Give the message, then the guest's backtrace and stderr, as several lines."""
        return "\n".join([self.message, *self._told()])

    def _told(self) -> list[str]:
        parts = []
        if self.backtrace:
            parts += ["guest backtrace (innermost first):", *(f"  {frame}" for frame in self.backtrace)]
        if self.stderr:
            parts += ["guest stderr (its end):", *(f"  {line}" for line in self.stderr.splitlines())]
        return parts


class TrapError(GuestError):
    """The guest did something that WebAssembly stops: unreachable, out of bounds, division by zero."""

    code = "guest_trap"

    def __init__(
        self,
        function: str,
        reason: str,
        *,
        where: str = "",
        backtrace: Sequence[str] = (),
        stderr: str = "",
        note: str = "",
    ) -> None:
        place = f" in {where}" if where else ""
        super().__init__(
            f"Function {function!r} trapped{place}: {reason}.{' ' + note if note else ''}",
            function=function,
            reason=reason,
            backtrace=list(backtrace),
            stderr=stderr,
        )


class LimitExceededError(GuestError):
    """The guest reached one of its limits."""

    code = "limit_exceeded"

    def __init__(
        self,
        function: str,
        limit: str,
        allowed: float,
        *,
        found: float | None = None,
        backtrace: Sequence[str] = (),
        stderr: str = "",
        advice: str | None = None,
    ) -> None:
        wanted = "" if found is None else f" (it asked for {found:,})"
        if advice is None:
            advice = (
                "That is the lowest of the server's (`moc status` shows it), of the function's "
                f"(`moc push --limit {limit}=…`) and of the call's."
            )
        super().__init__(
            f"Function {function!r} reached its limit {limit} = {allowed:,}{wanted}. {advice}",
            function=function,
            limit=limit,
            allowed=allowed,
            found=found,
            backtrace=list(backtrace),
            stderr=stderr,
        )


class CancelledError(GuestError):
    """The call was cancelled before it ended."""

    code = "cancelled"

    def __init__(self, function: str) -> None:
        super().__init__(f"The call of function {function!r} was cancelled.", function=function)


class MissingImportError(GuestError):
    """The module imports something that nothing here provides, or that is not what it expects."""

    code = "missing_import"

    def __init__(
        self,
        function: str,
        module: str,
        name: str,
        *,
        available: Sequence[str],
        reason: str = "",
        nearest: Sequence[str] = (),
        advice: str = "",
    ) -> None:
        why = reason or "which no guest API provides"
        hint = f" Did you mean {oxford(nearest)}?" if nearest else ""
        listed = ", ".join(available) or "nothing"
        more = f" {advice}" if advice else ""
        super().__init__(
            f"Function {function!r} imports `{module}.{name}`, {why}.{hint} Available: {listed}.{more}",
            function=function,
            module=module,
            name=name,
            available=list(available),
        )


class HostCallError(GuestError):
    """A host function failed for a reason that is not the guest's."""

    code = "host_call"

    def __init__(self, function: str, host_function: str, reason: str) -> None:
        super().__init__(
            f"Host function {host_function!r}, called by function {function!r}, failed: {reason}",
            function=function,
            host_function=host_function,
            reason=reason,
        )


class GuestExitError(GuestError):
    """A function called from Python ended with a non-zero exit code (elsewhere that is a result, not an error)."""

    code = "guest_exit"

    def __init__(self, function: str, exit_code: int, *, stderr: str = "") -> None:
        super().__init__(
            f"Function {function!r} ended with exit code {exit_code}.",
            function=function,
            exit_code=exit_code,
            stderr=stderr,
        )


class GuestStatusError(GuestExitError):
    """An array function gave a number other than 0 back, or ended its program: there is no array."""

    code = "guest_status"

    def __init__(
        self, function: str, entry: str, status: int, *, exited: bool = False, stderr: str = "", note: str = ""
    ) -> None:
        what = f"ended its program with exit code {status}" if exited else f"gave {status} back, where 0 is success"
        GuestError.__init__(
            self,
            f"{entry!r} of function {function!r} {what}: there is no array.{' ' + note if note else ''}",
            function=function,
            entry=entry,
            exit_code=status,
            stderr=stderr,
        )


class ArrayResultError(GuestError):
    """What an array function left as its result describes no array in its memory."""

    code = "array_result"

    def __init__(
        self, function: str, entry: str, *, field: str, found: object, expected: str, stderr: str = ""
    ) -> None:
        super().__init__(
            f"{entry!r} of function {function!r} gave no array back: the field {field!r} of its result is {found}, "
            f"expected {expected}.",
            function=function,
            entry=entry,
            field=field,
            found=str(found),
            expected=expected,
            stderr=stderr,
        )


class ArrayMemoryError(GuestError):
    """An array function wrote over memory that the host keeps beside the array: nothing of it can be relied on."""

    code = "array_memory"

    def __init__(self, function: str, entry: str, *, place: str, stderr: str = "", note: str = "") -> None:
        super().__init__(
            f"{entry!r} of function {function!r} wrote over memory that is the host's, {place} the array that it was "
            "given: nothing of the call can be relied on. Either it goes beyond the array, or its allocator hands out "
            "pages that it did not ask for, and must be used in `_initialize` already, which <moc/core.h> sees to in C "
            f"(guest reference, 'Allocators').{' ' + note if note else ''}",
            function=function,
            entry=entry,
            place=place,
            stderr=stderr,
        )


# -- plans, availability, faults --------------------------------------------------------------------------------------


class PlanError(MocError):
    """A plan cannot be made or run."""

    code = "plan_error"
    http_status = 422


class TaskFailedError(PlanError):
    """One task of a run failed, which ended the run. No output was stored."""

    code = "task_failed"

    def __init__(self, stage: str, function: str, index: int, cause: MocError) -> None:
        super().__init__(
            f"Task {index} of stage {stage!r} (function {function!r}) failed: {cause.message}",
            stage=stage,
            function=function,
            index=index,
            cause=cause.to_json(),
        )

    @property
    def cause(self) -> MocError:
        """The error of the task itself, such as a TrapError or a GuestExitError."""
        return from_json(self.details.get("cause", {}))

    def leave_out_stderr(self) -> None:
        """Drop the guest's stderr, because whoever is told of the error has seen it come."""
        self.details["stderr"] = ""

    def explain(self) -> str:
        """Give the message, then the guest's backtrace and stderr, as several lines."""
        cause = self.cause
        below = cause.explain().splitlines()[1:] if isinstance(cause, GuestError) else []
        return "\n".join([self.message, *below])


class UnavailableError(MocError):
    """Something needed is not there right now, or is not installed."""

    code = "unavailable"
    http_status = 503


class OverloadedError(UnavailableError):
    """The server has as much work as it accepts; try again after ``retry_after_seconds``."""

    code = "overloaded"

    def __init__(self, retry_after_seconds: float = 1) -> None:
        super().__init__(
            f"The server is busy and took no further call. Try again in {retry_after_seconds:g} s.",
            retry_after_seconds=retry_after_seconds,
        )


class MemoryBudgetError(OverloadedError):
    """All guests together hold as much memory as the server gives them; the one that grew last was ended."""

    code = "memory_budget"

    def __init__(self, function: str, memory_bytes: int, retry_after_seconds: float = 1) -> None:
        UnavailableError.__init__(
            self,
            f"Function {function!r} was ended: it grew while all guests together hold the server's whole memory budget "
            f"of {memory_bytes:,} bytes. Try again in {retry_after_seconds:g} s, or let the server give them more "
            "(--MocExtension.memory_bytes).",
            function=function,
            memory_bytes=memory_bytes,
            retry_after_seconds=retry_after_seconds,
        )


class OutboundRequestError(UnavailableError):
    """An outbound request of a guest got no usable answer: no connection, no trust, or no HTTP."""

    code = "outbound_request"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"The request to {url} failed: {reason}.", url=url, reason=reason)


class ServerUnreachableError(UnavailableError):
    """No server answers at the address, or it is not a moc server."""

    code = "server_unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"No moc server answers at {url}: {reason}. Start one with `moc serve`, or check --url and MOC_URL.",
            url=url,
            reason=reason,
        )


class ConnectionLostError(ServerUnreachableError):
    """The connection to the server broke during a call, which the server cancels then, if it still lives."""

    code = "connection_lost"

    def __init__(self, url: str, reason: str, *, output_bytes: int | None) -> None:
        came = (
            "before the server said that it began"
            if output_bytes is None
            else f"behind {output_bytes:,} bytes of output"
        )
        MocError.__init__(
            self,
            f"The connection to {url} broke during the call, {came}: {reason}. "
            "What the guest changed until then stays; look before you call again.",
            url=url,
            reason=reason,
            output_bytes=output_bytes,
        )


class UntrustedEndpointError(ServerUnreachableError):
    """A file that tells where a server is cannot be believed: others could have written or read it. It was not used."""

    code = "untrusted_endpoint"

    def __init__(self, path: str, reason: str) -> None:
        MocError.__init__(
            self,
            f"The file {path!r}, which tells where a server is, is not used: {reason}. "
            "Remove it, and start that server again.",
            path=path,
            reason=reason,
        )


class HandedOverError(UnavailableError):
    """The owner hands its storage over to a server that starts. Nothing was done; clients turn to that server."""

    code = "handed_over"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The storage {path!r} is being handed over to a server that starts. Ask again: its new owner answers.",
            path=path,
        )


class MissingExtraError(UnavailableError):
    """An optional part is not installed."""

    code = "missing_extra"
    http_status = 501

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(
            f"{what} is not installed. Install it with: pip install 'my-own-cluster[{extra}]'", what=what, extra=extra
        )


class InternalError(MocError):
    """The server failed in a way that nobody foresaw; its log has the traceback."""

    code = "internal"

    def __init__(self, incident: str) -> None:
        super().__init__(
            f"The server failed unexpectedly. Its log tells more about incident {incident}.", incident=incident
        )
