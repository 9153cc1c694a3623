"""From what people write to a target: ``s3://bucket/prefix``, or the path of a directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ...errors import BackupTargetError
from .directory import DirectoryTarget
from .target import Target

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET: Final = re.compile(r"(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(?P<prefix>[A-Za-z0-9._/-]*))?")


def open_target(text: str) -> Target:
    """Open what `text` names. Nothing is asked of it yet, and nothing is made.

    Raises
    ------
    BackupTargetError
        It is neither a path nor ``s3://bucket/prefix``.
    MissingExtraError
        What speaks S3 is not installed.
    """
    found = _SCHEME.fullmatch(text)
    if found is None:
        return DirectoryTarget(_directory(text))
    if found[1].lower() != "s3":
        raise BackupTargetError(f"{found[1]}://…", "is neither a directory nor s3://BUCKET/PREFIX")
    bucket = _BUCKET.fullmatch(found[2])
    prefix = (bucket["prefix"] or "").strip("/") if bucket else ""
    if bucket is None or any(each in ("", ".", "..") for each in prefix.split("/") if prefix):
        # What was written is not told: people put their keys in there.
        raise BackupTargetError(
            "s3://…",
            "has no usable bucket and prefix: expected s3://BUCKET/PREFIX with letters, digits, '.', '_' and '-'; "
            "the keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    from .object_store import ObjectStoreTarget

    return ObjectStoreTarget(bucket["bucket"], prefix)


def target_directory(text: str) -> Path | None:
    """Tell which directory `text` names, absolute; None if it names a bucket."""
    return None if _SCHEME.fullmatch(text) else _directory(text)


def _directory(text: str) -> Path:
    try:
        if not text:
            raise ValueError("it is empty")
        path = Path(text).expanduser().resolve()
        str(path).encode()
    except (OSError, ValueError, RuntimeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeError) else str(error)
        raise BackupTargetError(text, f"cannot be a directory: {reason}") from error
    if "\0" in text:
        raise BackupTargetError(text, "cannot be a directory: its name holds a NUL")
    return path
