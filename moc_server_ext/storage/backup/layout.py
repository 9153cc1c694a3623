"""Where things are in a target, whose target it is, and which backups it has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ...errors import BackupError, BackupTargetError
from ..targets.target import Target
from .manifest import KIND, ListedObject, Manifest, is_backup_id, parse_objects

TARGET_FILE: Final = "moc-target.json"
TARGET_FORMAT: Final = 1
OBJECTS: Final = "objects/"
CATALOGS: Final = "catalogs/"
BACKUPS: Final = "backups/"
LOG: Final = "log/"
MANIFEST_FILE: Final = "manifest.json"
OBJECTS_FILE: Final = "objects.jsonl.gz"
PARTIAL_FILE: Final = "partial.jsonl.gz"
TLS_FILE: Final = "tls.json"


def object_key(object_id: str) -> str:
    """Tell where an object lies."""
    return f"{OBJECTS}{object_id[:2]}/{object_id}"


def catalog_key(sha256: str) -> str:
    """Tell where a catalog lies."""
    return f"{CATALOGS}{sha256}.sqlite3"


def backup_key(backup_id: str, file: str) -> str:
    """Tell where one of a backup's own files lies."""
    return f"{BACKUPS}{backup_id}/{file}"


def read_owner(target: Target) -> str | None:
    """Tell which instance the target belongs to; None if nothing says that it is a target.

    Raises
    ------
    BackupTargetError
        It is something else, or of a newer moc.
    """
    content = target.get(TARGET_FILE)
    if content is None:
        return None
    try:
        body: Any = json.loads(content)
        kind, found, instance_id = body["kind"], body["format"], body["instance_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        kind, found, instance_id = None, None, None
    if kind != KIND or not isinstance(instance_id, str):
        raise BackupTargetError(target.url, f"is none of moc's: its {TARGET_FILE} says something else")
    if found != TARGET_FORMAT:
        raise BackupTargetError(target.url, f"has format {found!r}, and this moc uses format {TARGET_FORMAT}")
    return instance_id


def claim(target: Target, instance_id: str, now: str, *, adopt: bool) -> None:
    """Make an empty target this instance's, or make sure that it is.

    Parameters
    ----------
    adopt
        Whether one of another instance is taken over, with the backups that are in it.

    Raises
    ------
    BackupTargetError
        It holds something else, or belongs to another instance. It is as it was.
    """
    body = {"kind": KIND, "format": TARGET_FORMAT, "instance_id": instance_id, "created_at": now}
    content = json.dumps(body, indent=2).encode() + b"\n"
    owner = read_owner(target)
    if owner is None:
        strange = next(iter(target.list()), None)
        if strange is not None:
            raise BackupTargetError(
                target.url, f"is none of moc's: it has no {TARGET_FILE}, and it holds {strange[0]!r}. Name an empty one"
            )
        if target.put_new(TARGET_FILE, content):
            return
        owner = read_owner(target)
    if owner == instance_id:
        return
    if not adopt:
        raise BackupTargetError(
            target.url,
            f"belongs to the instance {owner}, and this is {instance_id}. Name another one, or take it over with "
            "--adopt, after which that instance cannot use it any more",
        )
    target.put(TARGET_FILE, content)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is below ``backups/``.

    Attributes
    ----------
    manifests
        The finished ones, oldest first.
    unfinished
        Ids without a manifest: of backups that were interrupted, or are being removed.
    damaged
        Ids with a manifest that cannot be used, and why.
    """

    manifests: list[Manifest]
    unfinished: list[str]
    damaged: dict[str, str]

    def newest(self) -> Manifest | None:
        """Give the newest one."""
        return self.manifests[-1] if self.manifests else None


def find_backups(target: Target) -> Found:
    """Read all manifests of a target."""
    files: dict[str, set[str]] = {}
    for key, _ in target.list(BACKUPS):
        backup_id, _, file = key.removeprefix(BACKUPS).partition("/")
        if is_backup_id(backup_id):
            files.setdefault(backup_id, set()).add(file)
    found = Found([], [], {})
    for backup_id, names in sorted(files.items()):
        content = target.get(backup_key(backup_id, MANIFEST_FILE)) if MANIFEST_FILE in names else None
        if content is None:
            found.unfinished.append(backup_id)
            continue
        try:
            found.manifests.append(Manifest.parse(content, backup_id))
        except ValueError as error:
            found.damaged[backup_id] = str(error)
    found.manifests.sort(key=lambda each: (each.record.number, each.record.id))
    return found


def choose_backup(target: Target, backup_id: str | None) -> Manifest:
    """Give the newest backup of a target, or the named one.

    Raises
    ------
    BackupTargetError
        The target is none of moc's, or has no such backup.
    BackupError
        The named one, or the only ones that there are, are damaged.
    """
    if read_owner(target) is None:
        raise BackupTargetError(target.url, f"holds no backup of moc: it has no {TARGET_FILE}")
    found = find_backups(target)
    if backup_id is not None:
        for each in found.manifests:
            if each.record.id == backup_id:
                return each
        if backup_id in found.damaged:
            raise BackupError(backup_id, target.url, [found.damaged[backup_id]])
        half = " It was interrupted before it was finished." if backup_id in found.unfinished else ""
        raise BackupTargetError(target.url, f"has no backup {backup_id!r};{half} `moc backup list` shows those it has")
    newest = found.newest()
    if newest is not None:
        return newest
    for damaged_id, reason in found.damaged.items():
        raise BackupError(damaged_id, target.url, [reason])
    raise BackupTargetError(target.url, "has no finished backup yet")


def read_objects(target: Target, manifest: Manifest) -> dict[str, ListedObject]:
    """Read the list of a backup's objects; ValueError says what is wrong with it."""
    content = target.get(backup_key(manifest.record.id, OBJECTS_FILE))
    if content is None:
        raise ValueError("its list of objects is missing")
    if hashlib.sha256(content).hexdigest() != manifest.objects_sha256:
        raise ValueError("its list of objects is not what was written")
    found = parse_objects(content)
    if len(found) != manifest.record.objects:
        raise ValueError(f"its list has {len(found):,} objects instead of {manifest.record.objects:,}")
    return found


def read_unfinished(target: Target, backup_ids: list[str]) -> dict[str, ListedObject]:
    """Tell what backups that were interrupted have copied, as far as they noted it."""
    found: dict[str, ListedObject] = {}
    for backup_id in backup_ids:
        for file in (OBJECTS_FILE, PARTIAL_FILE):
            content = target.get(backup_key(backup_id, file))
            if content is not None:
                # A note that cannot be read is none: its objects are copied again.
                found.update(_objects_or_none(content))
    return found


def object_sizes(target: Target) -> dict[str, int]:
    """Tell id and size of all objects that the target has."""
    return dict(_object_ids(target))


def _object_ids(target: Target) -> Iterator[tuple[str, int]]:
    for key, size in target.list(OBJECTS):
        object_id = key.rpartition("/")[2]
        if key == object_key(object_id):
            yield object_id, size


def _objects_or_none(content: bytes) -> dict[str, ListedObject]:
    try:
        return parse_objects(content)
    except ValueError:
        return {}
