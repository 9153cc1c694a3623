"""Reading a backup back, all of it, and saying everything that is wrong with it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from ...model.backups import BackupRecord
from ..schema import APPLICATION_ID, SCHEMA_VERSION
from ..targets.target import Target
from .copying import Progress, Work
from .creating import count_things
from .layout import TLS_FILE, backup_key, catalog_key, choose_backup, object_key, read_objects
from .manifest import ListedObject, Manifest, sha256_of

_PROBLEMS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. `damage` is empty where everything is as it was written; else a sentence for each thing."""

    backup: BackupRecord
    objects: int
    bytes: int
    damage: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)


def verify_backup(target: Target, backup_id: str | None = None, *, progress: Progress | None = None) -> Verified:
    """Read the newest backup of a target, or the named one, and check each byte of it.

    Raises
    ------
    BackupTargetError
        There is no such backup, or the target cannot be read.
    BackupError
        Its manifest is damaged, so that nobody knows what else there should be.
    """
    manifest = choose_backup(target, backup_id)
    damage: list[str] = []
    total = manifest.record.object_bytes + manifest.record.catalog_bytes
    work = Work("verifying", total, progress)
    try:
        listed = read_objects(target, manifest)
    except ValueError as error:
        damage.append(str(error))
        listed = {}

    def check(item: tuple[str, ListedObject]) -> str | None:
        object_id, expected = item
        parts = target.read(object_key(object_id))
        if parts is None:
            return f"the object {object_id} is missing"
        sha256, size = sha256_of(bytes(part) for part in work.watched(parts))
        if size != expected.size:
            return f"the object {object_id} has {size:,} bytes instead of {expected.size:,}"
        return None if sha256 == expected.sha256 else f"the object {object_id} is not what was written"

    damage += [each for each in work.run(listed.items(), check) if each is not None]
    with tempfile.TemporaryDirectory(prefix="moc-verify-") as directory:
        catalog = Path(directory) / "catalog.sqlite3"
        problem = fetch_catalog(target, manifest, catalog, work)
        damage += [problem] if problem else catalog_damage(catalog, listed, manifest.record.counts)
    if manifest.tls_sha256 is not None:
        tls = target.get(backup_key(manifest.record.id, TLS_FILE))
        if tls is None or hashlib.sha256(tls).hexdigest() != manifest.tls_sha256:
            damage.append("the gateway's key is missing or is not what was written")
    return Verified(manifest.record, len(listed), total, tuple(damage))


def fetch_catalog(target: Target, manifest: Manifest, path: Path, work: Work) -> str | None:
    """Write the catalog of a backup to the new file `path`; tell what is wrong with it, None if nothing is."""
    parts = target.read(catalog_key(manifest.catalog_sha256))
    if parts is None:
        return "its catalog is missing"
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for part in work.watched(parts):
            digest.update(part)
            file.write(part)
    return None if digest.hexdigest() == manifest.catalog_sha256 else "its catalog is not what was written"


def catalog_damage(path: Path, listed: Mapping[str, ListedObject], counts: Mapping[str, int]) -> Iterator[str]:
    """Tell what is wrong with a catalog: in itself, and against the list of objects and the manifest's counts."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOFOLLOW
    try:
        with contextlib.closing(apsw.Connection(str(path), flags=flags)) as connection:
            yield from _damage(connection, listed, counts)
    except apsw.Error as error:
        yield f"its catalog cannot be read: {error}"


def _damage(
    connection: apsw.Connection, listed: Mapping[str, ListedObject], counts: Mapping[str, int]
) -> Iterator[str]:
    connection.execute("PRAGMA trusted_schema = OFF").fetchall()
    connection.execute("PRAGMA cell_size_check = ON").fetchall()
    version = connection.pragma("user_version")
    if connection.pragma("application_id") != APPLICATION_ID or not 0 < version <= SCHEMA_VERSION:
        yield f"its catalog has format {version}, and this moc reads up to format {SCHEMA_VERSION}"
        return
    for (text,) in connection.execute(f"PRAGMA integrity_check({_PROBLEMS_MAX})"):
        if text != "ok":
            yield f"its catalog is damaged: {text}"
    tables = ["entries", "keyvalues", *(["parts"] if version > 1 else [])]
    for table in tables:
        for object_id, size in connection.execute(f"SELECT object, size FROM {table} WHERE object NOT NULL"):  # noqa: S608 - the names above
            expected = listed.get(object_id)
            if expected is None:
                yield f"its catalog refers to the object {object_id}, which is not in its list"
            elif expected.size != size:
                yield f"its catalog says {size:,} bytes of the object {object_id}, its list {expected.size:,}"
    found = count_things(connection)
    if found != dict(counts):
        yield f"its catalog holds {found}, its manifest says {dict(counts)}"
