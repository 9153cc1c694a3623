"""What a backup says of itself: its manifest, and the list of its objects. Both are hostile until parsed here."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import io
import json
import re
import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from ...model.backups import BackupRecord

KIND: Final = "moc backup"
FORMAT: Final = 1
_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{64}|[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object of a backup: its size, and the SHA-256 of its bytes in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A finished backup: its record, and the digests of all that it consists of.

    Attributes
    ----------
    token_sha256
        Of the tokens that clients of the instance hold: it is the digests that a restored instance lets in.
    tls_sha256
        Of the certificate and key; None where they are left out.
    """

    record: BackupRecord
    catalog_sha256: str
    objects_sha256: str
    token_sha256: tuple[str, ...]
    tls_sha256: str | None

    def dump(self) -> bytes:
        """Give the file's content."""
        body = {
            "kind": KIND,
            "format": FORMAT,
            **self.record.to_json(),
            "catalog_sha256": self.catalog_sha256,
            "objects_sha256": self.objects_sha256,
            "token_sha256": list(self.token_sha256),
            "tls_sha256": self.tls_sha256,
        }
        return json.dumps({**body, "check": _check(body)}, indent=2).encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes, backup_id: str) -> Self:
        """Read the file's content.

        Raises
        ------
        ValueError
            It is not what :meth:`dump` gave for this id, or of a newer format; the message says which.
        """
        try:
            body = json.loads(content)
            if not isinstance(body, dict) or body.get("kind") != KIND:
                raise ValueError("its manifest is none of moc's")
            if body.get("format") != FORMAT:
                raise ValueError(f"it has format {body.get('format')!r}, and this moc reads format {FORMAT}")
            check = body.pop("check", None)
            if check != _check(body):
                raise ValueError("its manifest is not what was written")
            record = BackupRecord.from_json(body)
            tls = body["tls_sha256"]
            found = cls(
                record,
                _digest(body["catalog_sha256"]),
                _digest(body["objects_sha256"]),
                tuple(map(_digest, body["token_sha256"])),
                None if tls is None else _digest(tls),
            )
        except (KeyError, TypeError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError("its manifest cannot be understood") from error
        if record.id != backup_id:
            raise ValueError(f"its manifest is that of {record.id!r}")
        return found


def new_backup_id(now: datetime.datetime) -> str:
    """Make the id of a backup that begins now; unique also where clocks jump."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def is_backup_id(text: str) -> bool:
    """Tell whether this can be the id of a backup."""
    return _ID.fullmatch(text) is not None


def dump_objects(objects: Mapping[str, ListedObject]) -> bytes:
    """Give the list of a backup's objects; equal for equal objects."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", compresslevel=1, mtime=0, filename="") as file:
        for object_id, each in sorted(objects.items()):
            file.write(b'{"id":"%s","size":%d,"sha256":"%s"}\n' % (object_id.encode(), each.size, each.sha256.encode()))
    return content.getvalue()


def parse_objects(content: bytes) -> dict[str, ListedObject]:
    """Read the list of a backup's objects; ValueError if it is none."""
    found: dict[str, ListedObject] = {}
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            for line in file:
                body = json.loads(line)
                object_id, size = body["id"], body["size"]
                if not _OBJECT_ID.fullmatch(object_id) or type(size) is not int or size < 0:
                    raise ValueError("its list of objects has something else in it")
                found[object_id] = ListedObject(size, _digest(body["sha256"]))
    except (OSError, EOFError, zlib.error, KeyError, TypeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError("its list of objects cannot be understood") from error
    return found


def sha256_of(parts: Iterable[bytes]) -> tuple[str, int]:
    """Give the SHA-256 of what comes in parts, in hex, and its size."""
    digest, size = hashlib.sha256(), 0
    for part in parts:
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size


def _check(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _digest(text: Any) -> str:
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise ValueError("its manifest has a digest that is none")
    return text
